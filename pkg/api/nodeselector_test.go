package api

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestNodeTermMatches(t *testing.T) {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: map[string]string{"zone": "a", "disks": "5"}}}
	rule := func(key string, op corev1.NodeSelectorOperator, values ...string) corev1.NodeSelectorTerm {
		return corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: key, Operator: op, Values: values}}}
	}
	for _, tc := range []struct {
		name string
		term corev1.NodeSelectorTerm
		want bool
	}{
		{"empty", corev1.NodeSelectorTerm{}, false},
		{"in", rule("zone", corev1.NodeSelectorOpIn, "b", "a"), true},
		{"not in", rule("zone", corev1.NodeSelectorOpNotIn, "a"), false},
		{"not in what is absent", rule("rack", corev1.NodeSelectorOpNotIn, "a"), true},
		{"exists", rule("zone", corev1.NodeSelectorOpExists), true},
		{"does not exist", rule("zone", corev1.NodeSelectorOpDoesNotExist), false},
		{"greater", rule("disks", corev1.NodeSelectorOpGt, "4"), true},
		{"less", rule("disks", corev1.NodeSelectorOpLt, "5"), false},
		{"not a number", rule("zone", corev1.NodeSelectorOpLt, "5"), false},
		{"by name", corev1.NodeSelectorTerm{MatchFields: []corev1.NodeSelectorRequirement{{Key: "metadata.name", Operator: corev1.NodeSelectorOpIn, Values: []string{"n"}}}}, true},
	} {
		if got := NodeTermMatches(&tc.term, node); got != tc.want {
			t.Errorf("%s: got %v", tc.name, got)
		}
	}
	if !NodeSelectorMatches(nil, node) || NodeSelectorMatches(&corev1.NodeSelector{}, node) {
		t.Error("no selector holds for every node, one without terms for none")
	}
}
