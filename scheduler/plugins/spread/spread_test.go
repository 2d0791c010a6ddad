package spread

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/scheduler/framework"
	"github.com/miniorch/miniorch/scheduler/framework/sample"
)

var _ framework.Signer = Plugin{}

func TestScore(t *testing.T) {
	of := func(name, owner string) *corev1.Pod { return sample.Owned(sample.Pod(name), owner) }
	nodes := []*framework.NodeInfo{
		sample.Info(sample.Node("a"), of("1", "rs"), of("2", "rs")),
		sample.Info(sample.Node("b"), of("3", "rs"), of("4", "other")),
		sample.Info(sample.Node("c"), of("5", "other"), sample.Pod("6")),
	}
	tests := []struct {
		name, reason string
		pod          *corev1.Pod
		nodes        []*framework.NodeInfo
		want         []int64
	}{
		{"replica", "the fewer of its own kind the better", of("p", "rs"), nodes, []int64{0, 50, 100}},
		{"first replica", "no node has any", of("p", "new"), nodes, []int64{100, 100, 100}},
		{"single pod", "it has no kind", sample.Pod("p"), nodes, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, sample.Scores(Plugin{}, tt.pod, tt.nodes...)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
			}
		})
	}
}
