package nodeaffinity

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/scheduler/framework"
	"github.com/miniorch/miniorch/scheduler/framework/sample"
)

var _ framework.Signer = Plugin{}

func labelled(name string, kv ...string) *framework.NodeInfo {
	return sample.Info(sample.With(sample.Node(name), func(n *corev1.Node) {
		for i := 0; i+1 < len(kv); i += 2 {
			n.Labels[kv[i]] = kv[i+1]
		}
	}))
}

func wants(a *corev1.NodeAffinity) *corev1.Pod {
	return sample.With(sample.Pod("p"), func(p *corev1.Pod) { p.Spec.Affinity = &corev1.Affinity{NodeAffinity: a} })
}

func required(terms ...corev1.NodeSelectorTerm) *corev1.Pod {
	return wants(&corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: terms}})
}

func match(key string, op corev1.NodeSelectorOperator, values ...string) corev1.NodeSelectorTerm {
	return corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: key, Operator: op, Values: values}}}
}

func field(op corev1.NodeSelectorOperator, values ...string) corev1.NodeSelectorTerm {
	return corev1.NodeSelectorTerm{MatchFields: []corev1.NodeSelectorRequirement{{Key: "metadata.name", Operator: op, Values: values}}}
}

func TestFilter(t *testing.T) {
	refused := []string{"node(s) didn't match Pod's node affinity/selector"}
	selector := sample.With(sample.Pod("p"), func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"disk": "ssd"} })
	both := match("disk", corev1.NodeSelectorOpIn, "ssd")
	both.MatchExpressions = append(both.MatchExpressions, match("cpus", corev1.NodeSelectorOpGt, "4").MatchExpressions...)
	tests := []struct {
		name, reason string
		pod          *corev1.Pod
		node         *framework.NodeInfo
		want         []string
	}{
		{"selector", "the label is there", selector, labelled("a", "disk", "ssd"), nil},
		{"selector, other value", "it must be equal", selector, labelled("a", "disk", "hdd"), refused},
		{"selector, no label", "it must be there", selector, labelled("a"), refused},
		{"In", "one of the values", required(match("disk", "In", "ssd", "nvme")), labelled("a", "disk", "nvme"), nil},
		{"In, not", "none of the values", required(match("disk", "In", "ssd", "nvme")), labelled("a", "disk", "hdd"), refused},
		{"NotIn", "a missing label is not in", required(match("disk", "NotIn", "hdd")), labelled("a"), nil},
		{"Exists", "any value", required(match("disk", "Exists")), labelled("a", "disk", ""), nil},
		{"DoesNotExist", "it does", required(match("disk", "DoesNotExist")), labelled("a", "disk", ""), refused},
		{"Gt", "as numbers, not as text", required(match("cpus", "Gt", "9")), labelled("a", "cpus", "16"), nil},
		{"Lt", "no number is not less", required(match("cpus", "Lt", "9")), labelled("a", "cpus", "few"), refused},
		{"all of a term", "one of two is not enough", required(both), labelled("a", "disk", "ssd", "cpus", "4"), refused},
		{"any term", "the second matches", required(match("x", "Exists"), match("disk", "Exists")), labelled("a", "disk", "ssd"), nil},
		{"no term", "a demand that nothing can meet", required(), labelled("a"), refused},
		{"empty term", "matches nothing", required(corev1.NodeSelectorTerm{}), labelled("a"), refused},
		{"field", "by name", required(field("In", "a")), labelled("a"), nil},
		{"field, other", "not this name", required(field("NotIn", "a")), labelled("a"), refused},
		{"broken", "it can never be scheduled, and says why", required(match("k", "Near")), labelled("a"), []string{`pod has an invalid node affinity: operator "Near" is not known`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, sample.Fits(Plugin{}, tt.pod, tt.node)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
			}
		})
	}
}

func TestScore(t *testing.T) {
	nodes := []*framework.NodeInfo{labelled("a", "disk", "ssd", "zone", "z"), labelled("b", "zone", "z"), labelled("c")}
	preferring := wants(&corev1.NodeAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.PreferredSchedulingTerm{
		{Weight: 30, Preference: match("disk", "In", "ssd")}, {Weight: 10, Preference: match("zone", "Exists")},
	}})
	tests := []struct {
		name, reason string
		pod          *corev1.Pod
		nodes        []*framework.NodeInfo
		want         []int64
	}{
		{"weights", "40, 10 and 0 become parts of 100", preferring, nodes, []int64{100, 25, 0}},
		{"no preference", "it has nothing to say", sample.Pod("p"), nodes, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, sample.Scores(Plugin{}, tt.pod, tt.nodes...)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
			}
		})
	}
}
