package noderesources

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/scheduler/framework"
	"github.com/miniorch/miniorch/scheduler/framework/sample"
)

var _ framework.Signer = Plugin{}

func TestFilter(t *testing.T) {
	node := sample.Info(sample.Node("a", "cpu", "2", "memory", "1Gi", "pods", "2", "example.com/gpu", "1"), sample.Pod("q", "cpu", "1500m", "example.com/gpu", "1"))
	full := sample.Info(sample.Node("a", "pods", "1"), sample.Pod("q"))
	tests := []struct {
		name, reason string
		pod          *corev1.Pod
		node         *framework.NodeInfo
		want         []string
	}{
		{"fits", "just", sample.Pod("p", "cpu", "500m", "memory", "1Gi"), node, nil},
		{"cpu", "one milli too much", sample.Pod("p", "cpu", "501m"), node, []string{"Insufficient cpu"}},
		{"all reasons", "a user wants to know all that is lacking", sample.Pod("p", "cpu", "1", "memory", "2Gi", "example.com/gpu", "1"), node, []string{"Insufficient cpu", "Insufficient memory", "Insufficient example.com/gpu"}},
		{"unknown resource", "a node that has none of it", sample.Pod("p", "example.com/fpga", "1"), node, []string{"Insufficient example.com/fpga"}},
		{"zero of it", "asks for nothing", sample.Pod("p", "example.com/fpga", "0"), node, nil},
		{"storage", "the node says nothing of it, so it has none", sample.Pod("p", "ephemeral-storage", "1"), node, []string{"Insufficient ephemeral-storage"}},
		{"pods", "also for a pod that requests nothing", sample.Pod("p"), full, []string{"Too many pods"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, sample.Fits(New(Args{}), tt.pod, tt.node)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
			}
		})
	}
}

func TestOvercommitted(t *testing.T) {
	node := sample.Info(sample.Node("a", "cpu", "1"), sample.Pod("q", "cpu", "2"))
	if got := sample.Fits(New(Args{}), sample.Pod("p", "memory", "1"), node); got != nil {
		t.Errorf("a node with too little CPU takes pods that want none, got %q", got)
	}
}

func TestScore(t *testing.T) {
	nodes := []*framework.NodeInfo{
		sample.Info(sample.Node("a", "cpu", "4", "memory", "8Gi"), sample.Pod("q", "cpu", "2", "memory", "4Gi")),
		sample.Info(sample.Node("b", "cpu", "4", "memory", "8Gi")),
		sample.Info(sample.Node("c", "cpu", "1", "memory", "8Gi")),
	}
	tests := []struct {
		name, reason string
		pod          *corev1.Pod
		nodes        []*framework.NodeInfo
		want         []int64
	}{
		{"least allocated", "the share left of CPU and memory, averaged", sample.Pod("p", "cpu", "1", "memory", "2Gi"), nodes, []int64{25, 75, 37}},
		{"asks for nothing", "it counts as 100m and 200Mi", sample.Pod("p"), nodes, []int64{47, 97, 93}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, sample.Scores(New(Args{}), tt.pod, tt.nodes...)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
			}
		})
	}
}

func TestStrategies(t *testing.T) {
	nodes := []*framework.NodeInfo{
		sample.Info(sample.Node("a", "cpu", "4", "memory", "8Gi", "example.com/gpu", "4"), sample.Pod("q", "cpu", "2", "memory", "4Gi")),
		sample.Info(sample.Node("b", "cpu", "4", "memory", "8Gi")),
	}
	pod := sample.Pod("p", "cpu", "1", "memory", "2Gi")
	bell := framework.Shape{{Utilization: 0, Score: 0}, {Utilization: 50, Score: 100}, {Utilization: 100, Score: 0}}
	tests := []struct {
		name, reason string
		args         Args
		pod          *corev1.Pod
		want         []int64
	}{
		{"most allocated", "75% and 25% in use", Args{Strategy: MostAllocated}, pod, []int64{75, 25}},
		{"weights", "CPU counts three times: 25% left of it, 50% of memory", Args{Resources: []Weighted{{"cpu", 3}, {"memory", 1}}},
			sample.Pod("p", "cpu", "1", "memory", "0"), []int64{31, 81}},
		{"shape", "best when half full", Args{Strategy: RequestedToCapacityRatio, Shape: bell}, pod, []int64{50, 50}},
		{"extended", "one of four, the other node has none", Args{Strategy: MostAllocated, Resources: []Weighted{{"example.com/gpu", 1}}},
			sample.Pod("p", "example.com/gpu", "1"), []int64{25, 0}},
		{"extended, not wanted", "does not count", Args{Strategy: MostAllocated, Resources: []Weighted{{"example.com/gpu", 1}}}, pod, []int64{0, 0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, sample.Scores(New(tt.args), tt.pod, nodes...)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
			}
		})
	}
}

func TestIgnored(t *testing.T) {
	node := sample.Info(sample.Node("a"))
	pod := sample.Pod("p", "example.com/gpu", "1", "example.org/fpga", "1")
	if got := sample.Fits(New(Args{Ignored: []corev1.ResourceName{"example.com/gpu"}, IgnoredGroups: []string{"example.org"}}), pod, node); got != nil {
		t.Errorf("somebody else sees to these: %q", got)
	}
	if got := sample.Fits(New(Args{IgnoredGroups: []string{"example.org"}}), pod, node); len(got) != 1 {
		t.Errorf("got %q", got)
	}
}

func TestRefusesForGood(t *testing.T) {
	node := sample.Info(sample.Node("a", "cpu", "2"), sample.Pod("q", "cpu", "1"))
	ask := func(cpu string) framework.Code {
		return New(Args{}).Filter(nil, framework.NewPodInfo(sample.Pod("p", "cpu", cpu)), node).Code
	}
	if ask("1500m") != framework.Unschedulable || ask("2500m") != framework.Unresolvable {
		t.Error("evicting pods helps only if the empty node would do")
	}
}

func TestBalanced(t *testing.T) {
	nodes := []*framework.NodeInfo{
		sample.Info(sample.Node("a", "cpu", "4", "memory", "8Gi"), sample.Pod("q", "cpu", "2", "memory", "1Gi")),
		sample.Info(sample.Node("b", "cpu", "4", "memory", "8Gi"), sample.Pod("q", "cpu", "1", "memory", "4Gi")),
	}
	tests := []struct {
		name, reason string
		pod          *corev1.Pod
		want         []int64
	}{
		{"differences", "75% and 25%; 50% and 62.5%", sample.Pod("p", "cpu", "1", "memory", "1Gi"), []int64{75, 93}},
		{"asks for nothing", "nothing to say", sample.Pod("p"), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, sample.Scores(NewBalanced(nil), tt.pod, nodes...)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
			}
		})
	}
}
