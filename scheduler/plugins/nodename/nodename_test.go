package nodename

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/scheduler/framework"
	"github.com/miniorch/miniorch/scheduler/framework/sample"
)

var _ framework.Signer = Plugin{}

func TestFilter(t *testing.T) {
	named := sample.With(sample.Pod("p"), func(p *corev1.Pod) { p.Spec.NodeName = "a" })
	tests := []struct {
		name, reason string
		pod          *corev1.Pod
		node         *framework.NodeInfo
		want         []string
	}{
		{"none", "a pod that names no node can go anywhere", sample.Pod("p"), sample.Info(sample.Node("b")), nil},
		{"this", "it is the node that the pod names", named, sample.Info(sample.Node("a")), nil},
		{"other", "it is not", named, sample.Info(sample.Node("b")), []string{"node(s) didn't match the requested node name"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, sample.Fits(Plugin{}, tt.pod, tt.node)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
			}
		})
	}
}
