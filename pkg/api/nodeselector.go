package api

import (
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
)

// NodeSelectorMatches reports whether any of the selector's terms holds for the node. A nil
// selector holds for every node, one without terms for none.
func NodeSelectorMatches(s *corev1.NodeSelector, node *corev1.Node) bool {
	return s == nil || slices.ContainsFunc(s.NodeSelectorTerms, func(t corev1.NodeSelectorTerm) bool { return NodeTermMatches(&t, node) })
}

// NodeTermMatches reports whether all expressions of a term hold; a term without any holds
// for no node.
func NodeTermMatches(t *corev1.NodeSelectorTerm, node *corev1.Node) bool {
	if len(t.MatchExpressions)+len(t.MatchFields) == 0 {
		return false
	}
	fields := map[string]string{"metadata.name": node.Name}
	fails := func(in map[string]string) func(corev1.NodeSelectorRequirement) bool {
		return func(r corev1.NodeSelectorRequirement) bool { return !requirementHolds(&r, in) }
	}
	return !slices.ContainsFunc(t.MatchExpressions, fails(node.Labels)) && !slices.ContainsFunc(t.MatchFields, fails(fields))
}

func requirementHolds(r *corev1.NodeSelectorRequirement, values map[string]string) bool {
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
		return ok && len(r.Values) == 1 && exceeds(r.Operator, have, r.Values[0])
	}
	return false
}

func exceeds(op corev1.NodeSelectorOperator, have, limit string) bool {
	a, err1 := strconv.ParseInt(have, 10, 64)
	b, err2 := strconv.ParseInt(limit, 10, 64)
	if err1 != nil || err2 != nil {
		return false
	}
	return op == corev1.NodeSelectorOpGt && a > b || op == corev1.NodeSelectorOpLt && a < b
}
