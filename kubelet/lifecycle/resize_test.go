package lifecycle

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/miniorch/miniorch/kubelet/container"
)

func quantities(cpu, memory string) corev1.ResourceList {
	list := corev1.ResourceList{"example.com/gpu": resource.MustParse("1")}
	for name, text := range map[corev1.ResourceName]string{corev1.ResourceCPU: cpu, corev1.ResourceMemory: memory} {
		if text != "" {
			list[name] = resource.MustParse(text)
		}
	}
	return list
}

func TestSize(t *testing.T) {
	for _, size := range []string{"- - - -", "100m 200m 64Mi 128Mi", "1 - - 1Gi"} {
		before := corev1.ResourceRequirements{Requests: quantities("7", ""), Limits: quantities("", "7")}
		after := WithSize(before, size)
		if got := Size(after); got != size {
			t.Errorf("%q became %q", size, got)
		}
		if after.Limits.Name("example.com/gpu", resource.DecimalSI).Value() != 1 || before.Limits.Memory().Value() != 7 {
			t.Errorf("%q changed other things: %v, %v", size, after, before)
		}
	}
	if got := Size(WithSize(corev1.ResourceRequirements{}, "")); got != "- - - -" {
		t.Errorf("a container made before sizes were kept: %q", got)
	}
}

// TestWidened: while sizes change, the pod's group must hold both the old and the new.
func TestWidened(t *testing.T) {
	for _, tc := range []struct{ name, given, wanted, want string }{
		{"more", "1 1 1Gi 1Gi", "2 2 2Gi 2Gi", "2 2 2Gi 2Gi"},
		{"less", "2 2 2Gi 2Gi", "1 1 1Gi 1Gi", "2 2 2Gi 2Gi"},
		{"both", "2 2 1Gi 1Gi", "1 1 2Gi 2Gi", "2 2 2Gi 2Gi"},
		{"had no limit", "1 - 1Gi -", "1 2 1Gi 2Gi", "1 - 1Gi -"},
		{"gets no limit", "1 1 1Gi 1Gi", "1 - 1Gi -", "1 - 1Gi -"},
	} {
		p := pod(func(p *corev1.Pod) {
			p.Spec.Containers[0].Resources = WithSize(corev1.ResourceRequirements{}, tc.wanted)
		})
		c := running("c", func(c *container.Container) { c.Labels = map[string]string{LabelSize: tc.given} })
		wide := Widened(p, Outsized(p, []container.Container{c}))
		if diff := cmp.Diff(tc.want, Size(wide.Spec.Containers[0].Resources)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
}
