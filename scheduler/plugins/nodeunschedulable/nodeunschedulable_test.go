package nodeunschedulable

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/scheduler/framework"
	"github.com/miniorch/miniorch/scheduler/framework/sample"
)

var _ framework.Signer = Plugin{}

func TestFilter(t *testing.T) {
	cordoned := sample.Info(sample.With(sample.Node("a"), func(n *corev1.Node) { n.Spec.Unschedulable = true }))
	tolerant := sample.With(sample.Pod("p"), func(p *corev1.Pod) {
		p.Spec.Tolerations = []corev1.Toleration{{Key: corev1.TaintNodeUnschedulable, Operator: corev1.TolerationOpExists}}
	})
	tests := []struct {
		name, reason string
		pod          *corev1.Pod
		node         *framework.NodeInfo
		want         []string
	}{
		{"open", "the node takes pods", sample.Pod("p"), sample.Info(sample.Node("a")), nil},
		{"cordoned", "the node takes none", sample.Pod("p"), cordoned, []string{"node(s) were unschedulable"}},
		{"tolerated", "a daemon's pod may run on a cordoned node", tolerant, cordoned, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, sample.Fits(Plugin{}, tt.pod, tt.node)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
			}
		})
	}
}
