package lifecycle

import (
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
)

// MatchesNode reports whether the pod's nodeSelector and required node affinity, if any,
// hold for the node.
func MatchesNode(pod *corev1.Pod, node *corev1.Node) bool {
	for key, value := range pod.Spec.NodeSelector {
		if have, ok := node.Labels[key]; !ok || have != value {
			return false
		}
	}
	a := pod.Spec.Affinity
	if a == nil || a.NodeAffinity == nil || a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return true
	}
	terms := a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	return slices.ContainsFunc(terms, func(t corev1.NodeSelectorTerm) bool { return termHolds(t, node) })
}

// termHolds: all expressions must hold; a term without any selects nothing.
func termHolds(t corev1.NodeSelectorTerm, node *corev1.Node) bool {
	if len(t.MatchExpressions)+len(t.MatchFields) == 0 {
		return false
	}
	fields := map[string]string{"metadata.name": node.Name}
	for _, r := range t.MatchExpressions {
		if !requirementHolds(r, node.Labels) {
			return false
		}
	}
	for _, r := range t.MatchFields {
		if !requirementHolds(r, fields) {
			return false
		}
	}
	return true
}

func requirementHolds(r corev1.NodeSelectorRequirement, values map[string]string) bool {
	have, ok := values[r.Key]
	switch r.Operator {
	case corev1.NodeSelectorOpExists:
		return ok
	case corev1.NodeSelectorOpDoesNotExist:
		return !ok
	case corev1.NodeSelectorOpIn:
		return ok && slices.Contains(r.Values, have)
	case corev1.NodeSelectorOpNotIn:
		return !ok || !slices.Contains(r.Values, have)
	case corev1.NodeSelectorOpGt, corev1.NodeSelectorOpLt:
		if len(r.Values) != 1 {
			return false
		}
		a, err1 := strconv.ParseInt(have, 10, 64)
		b, err2 := strconv.ParseInt(r.Values[0], 10, 64)
		if !ok || err1 != nil || err2 != nil {
			return false
		}
		return r.Operator == corev1.NodeSelectorOpGt && a > b || r.Operator == corev1.NodeSelectorOpLt && a < b
	}
	return false
}
