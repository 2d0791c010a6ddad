package nodeaffinity

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
)

// term is a parsed node selector term: all of it must match. An empty one matches nothing.
type term struct {
	labels []labels.Requirement
	names  []nameRule
}

// nameRule is a rule on metadata.name, the only field that can be matched.
type nameRule struct {
	value string
	not   bool
}

var operators = map[corev1.NodeSelectorOperator]selection.Operator{
	corev1.NodeSelectorOpIn:           selection.In,
	corev1.NodeSelectorOpNotIn:        selection.NotIn,
	corev1.NodeSelectorOpExists:       selection.Exists,
	corev1.NodeSelectorOpDoesNotExist: selection.DoesNotExist,
	corev1.NodeSelectorOpGt:           selection.GreaterThan,
	corev1.NodeSelectorOpLt:           selection.LessThan,
}

func parseTerm(t *corev1.NodeSelectorTerm) (term, error) {
	var out term
	for _, e := range t.MatchExpressions {
		op, ok := operators[e.Operator]
		if !ok {
			return term{}, fmt.Errorf("operator %q is not known", e.Operator)
		}
		r, err := labels.NewRequirement(e.Key, op, e.Values)
		if err != nil {
			return term{}, err
		}
		out.labels = append(out.labels, *r)
	}
	for _, f := range t.MatchFields {
		in, not := f.Operator == corev1.NodeSelectorOpIn, f.Operator == corev1.NodeSelectorOpNotIn
		if f.Key != "metadata.name" || len(f.Values) != 1 || !in && !not {
			return term{}, fmt.Errorf("field rule %s %s %q is not supported", f.Key, f.Operator, f.Values)
		}
		out.names = append(out.names, nameRule{f.Values[0], not})
	}
	return out, nil
}

func (t term) matches(n *corev1.Node) bool {
	if len(t.labels) == 0 && len(t.names) == 0 {
		return false
	}
	return !slices.ContainsFunc(t.labels, func(r labels.Requirement) bool { return !r.Matches(labels.Set(n.Labels)) }) &&
		!slices.ContainsFunc(t.names, func(r nameRule) bool { return (r.value == n.Name) == r.not })
}
