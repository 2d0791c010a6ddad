package unsupported

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/scheduler/framework"
	"github.com/miniorch/miniorch/scheduler/framework/sample"
)

var _ framework.Signer = Plugin{}

func TestDemands(t *testing.T) {
	node := sample.Info(sample.Node("a"))
	spec := func(f func(s *corev1.PodSpec)) *corev1.Pod {
		return sample.With(sample.Pod("p"), func(p *corev1.Pod) { f(&p.Spec) })
	}
	refused := func(what string) []string {
		return []string{"pod demands what this scheduler does not support: " + what}
	}
	tests := []struct {
		name, reason string
		pod          *corev1.Pod
		node         *framework.NodeInfo
		want         []string
	}{
		{"plain", "nothing special", sample.Pod("p"), node, nil},
		{"resource claims", "the device may be tied to a node", spec(func(s *corev1.PodSpec) {
			s.ResourceClaims = []corev1.PodResourceClaim{{Name: "gpu"}}
		}), node, refused("resource claims")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, sample.Fits(Plugin{}, tt.pod, tt.node)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
			}
		})
	}
}
