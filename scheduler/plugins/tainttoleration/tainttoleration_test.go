package tainttoleration

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/scheduler/framework"
	"github.com/miniorch/miniorch/scheduler/framework/sample"
)

var _ framework.Signer = Plugin{}

func tainted(name string, taints ...corev1.Taint) *framework.NodeInfo {
	return sample.Info(sample.With(sample.Node(name), func(n *corev1.Node) { n.Spec.Taints = taints }))
}

func tolerating(ts ...corev1.Toleration) *corev1.Pod {
	return sample.With(sample.Pod("p"), func(p *corev1.Pod) { p.Spec.Tolerations = ts })
}

func TestFilter(t *testing.T) {
	hard := corev1.Taint{Key: "k", Value: "v", Effect: corev1.TaintEffectNoSchedule}
	evicting := corev1.Taint{Key: "node.kubernetes.io/not-ready", Effect: corev1.TaintEffectNoExecute}
	mild := corev1.Taint{Key: "k", Value: "v", Effect: corev1.TaintEffectPreferNoSchedule}
	tests := []struct {
		name, reason string
		pod          *corev1.Pod
		node         *framework.NodeInfo
		want         []string
	}{
		{"none", "no taint, no trouble", sample.Pod("p"), tainted("a"), nil},
		{"hard", "the words are those that kubectl users know", sample.Pod("p"), tainted("a", hard), []string{"node(s) had untolerated taint {k: v}"}},
		{"no value", "an empty value shows as nothing", sample.Pod("p"), tainted("a", evicting), []string{"node(s) had untolerated taint {node.kubernetes.io/not-ready: }"}},
		{"first counts", "one reason per node", sample.Pod("p"), tainted("a", mild, hard, evicting), []string{"node(s) had untolerated taint {k: v}"}},
		{"tolerated", "value and effect match", tolerating(corev1.Toleration{Key: "k", Value: "v", Effect: corev1.TaintEffectNoSchedule}), tainted("a", hard), nil},
		{"other value", "Equal compares the value", tolerating(corev1.Toleration{Key: "k", Value: "w"}), tainted("a", hard), []string{"node(s) had untolerated taint {k: v}"}},
		{"everything", "an empty key with Exists covers all", tolerating(corev1.Toleration{Operator: corev1.TolerationOpExists}), tainted("a", hard, evicting), nil},
		{"mild", "PreferNoSchedule refuses nobody", sample.Pod("p"), tainted("a", mild), nil},
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
	mild := func(k string) corev1.Taint { return corev1.Taint{Key: k, Effect: corev1.TaintEffectPreferNoSchedule} }
	nodes := []*framework.NodeInfo{tainted("a", mild("x"), mild("y")), tainted("b", mild("x")), tainted("c")}
	tests := []struct {
		name, reason string
		pod          *corev1.Pod
		nodes        []*framework.NodeInfo
		want         []int64
	}{
		{"fewer is better", "two, one and no untolerated taints", sample.Pod("p"), nodes, []int64{0, 50, 100}},
		{"all tolerated", "then all nodes are equal", tolerating(corev1.Toleration{Operator: corev1.TolerationOpExists}), nodes, []int64{100, 100, 100}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, sample.Scores(Plugin{}, tt.pod, tt.nodes...)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
			}
		})
	}
}
