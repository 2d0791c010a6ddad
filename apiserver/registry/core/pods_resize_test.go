package core

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	apiresource "k8s.io/apimachinery/pkg/api/resource"

	"github.com/miniorch/miniorch/apiserver/registry/kindtest"
	"github.com/miniorch/miniorch/apiserver/registry/podspec"
)

const sizedPod = `{metadata: {name: a, generation: 3, labels: {a: b}}, spec: {
  initContainers: [{name: setup, image: i, resources: {requests: {cpu: 1}}}, {name: side, image: i, restartPolicy: Always, resources: {requests: {cpu: 1}}}],
  containers: [{name: app, image: i, resources: {requests: {cpu: 1, memory: 1Gi}, limits: {cpu: 2, example.com/gpu: 1}}}]}, status: {phase: Running}}`

func sized(t *testing.T) *corev1.Pod {
	p := kindtest.From[corev1.Pod](t, sizedPod)
	podspec.DefaultPod(p)
	return p
}

// TestResize follows the documented rules of "Resize CPU and Memory Resources assigned to Containers".
func TestResize(t *testing.T) {
	set := func(l corev1.ResourceList, name corev1.ResourceName, q string) { l[name] = apiresource.MustParse(q) }
	for _, c := range []struct {
		name, reason string
		change       func(*corev1.PodSpec)
		want         []string
	}{
		{"nothing", "it may stay as it is", func(*corev1.PodSpec) {}, nil},
		{"more", "the usual", func(s *corev1.PodSpec) {
			set(s.Containers[0].Resources.Requests, "cpu", "1500m")
			set(s.Containers[0].Resources.Limits, "cpu", "3")
		}, nil},
		{"a new limit", "limits may be added", func(s *corev1.PodSpec) { set(s.Containers[0].Resources.Limits, "memory", "2Gi") }, nil},
		{"sidecar", "sidecars run as well", func(s *corev1.PodSpec) { set(s.InitContainers[1].Resources.Requests, "cpu", "2") }, nil},
		{"init container", "it has ended", func(s *corev1.PodSpec) { set(s.InitContainers[0].Resources.Requests, "cpu", "2") }, []string{"spec.initContainers[0].resources: Forbidden: only sidecar init containers can be resized"}},
		{"gone", "what is promised stays promised", func(s *corev1.PodSpec) { delete(s.Containers[0].Resources.Requests, "memory") }, []string{"requests[memory]: Forbidden: resource requests cannot be removed"}},
		{"a device", "devices come with the container", func(s *corev1.PodSpec) {
			set(s.Containers[0].Resources.Requests, "example.com/gpu", "2")
			set(s.Containers[0].Resources.Limits, "example.com/gpu", "2")
		}, []string{"limits[example.com/gpu]: Forbidden: only cpu and memory resources are mutable", "requests[example.com/gpu]: Forbidden: only cpu and memory resources are mutable"}},
		{"resize policy", "how is decided before", func(s *corev1.PodSpec) {
			s.Containers[0].ResizePolicy = []corev1.ContainerResizePolicy{{ResourceName: "cpu", RestartPolicy: "NotRequired"}}
		}, []string{"spec.containers[0].resizePolicy: Forbidden"}},
		{"request over limit", "sizes must fit together", func(s *corev1.PodSpec) { set(s.Containers[0].Resources.Requests, "cpu", "3") }, []string{"spec.containers[0].resources.requests: Invalid value: \"3\""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			old, p := sized(t), sized(t)
			c.change(&p.Spec)
			p.Spec.Containers[0].Image, p.Labels, p.Status.Phase = "other", nil, corev1.PodFailed
			door := podResize()
			door.PrepareUpdate(t.Context(), p, old)
			if p.Spec.Containers[0].Image != "i" || p.Labels["a"] != "b" || p.Status.Phase != corev1.PodRunning {
				t.Errorf("resizing changed more than sizes: %+v", p)
			}
			kindtest.WantErrors(t, door.ValidateUpdate(t.Context(), p, old), c.want...)
		})
	}
	small := kindtest.From[corev1.Pod](t, "{spec: {containers: [{name: a, image: i}]}}")
	podspec.DefaultPod(small)
	burst := small.DeepCopy()
	burst.Spec.Containers[0].Resources.Requests = corev1.ResourceList{"cpu": apiresource.MustParse("1")}
	kindtest.WantErrors(t, validateResize(burst, small), "Pod QOS Class may not change as a result of resizing")
	mirror := sized(t)
	mirror.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"}
	kindtest.WantErrors(t, validateResize(mirror, mirror), "static pods cannot be resized")
}

func TestEphemeralContainers(t *testing.T) {
	good := corev1.EphemeralContainer{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debug", Image: "busybox"}, TargetContainerName: "app"}
	one := sized(t)
	one.Spec.EphemeralContainers = []corev1.EphemeralContainer{good}
	podspec.DefaultPod(one)
	if got := one.Spec.EphemeralContainers[0]; got.ImagePullPolicy != corev1.PullAlways || got.TerminationMessagePolicy == "" {
		t.Errorf("defaults: %+v", got)
	}
	for _, c := range []struct {
		name, reason string
		old          *corev1.Pod
		change       func(*corev1.PodSpec)
		want         []string
	}{
		{"first", "the usual", sized(t), func(*corev1.PodSpec) {}, nil},
		{"no target", "it must be there", sized(t), func(s *corev1.PodSpec) { s.EphemeralContainers[0].TargetContainerName = "x" }, []string{"spec.ephemeralContainers[0].targetContainerName: Not found: \"x\""}},
		{"name", "names are the pod's", sized(t), func(s *corev1.PodSpec) { s.EphemeralContainers[0].Name = "app" }, []string{"spec.ephemeralContainers[0].name: Duplicate value"}},
		{"too much", "it has no place in the pod's life", sized(t), func(s *corev1.PodSpec) {
			c := &s.EphemeralContainers[0]
			c.Ports = []corev1.ContainerPort{{ContainerPort: 80, Protocol: "TCP"}}
			c.Lifecycle = &corev1.Lifecycle{}
			c.Resources.Limits = corev1.ResourceList{"cpu": apiresource.MustParse("1")}
		}, []string{"ports: Forbidden: cannot be set for an Ephemeral Container", "lifecycle: Forbidden", "resources: Forbidden"}},
		{"changed", "it may be running", one, func(s *corev1.PodSpec) { s.EphemeralContainers[0].Image = "other" }, []string{"existing ephemeral containers \"debug\" may not be changed"}},
		{"removed", "it may be running", one, func(s *corev1.PodSpec) { s.EphemeralContainers = nil }, []string{"existing ephemeral containers \"debug\" may not be removed"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := one.DeepCopy()
			c.change(&p.Spec)
			p.Spec.Containers[0].Image = "other"
			door := podEphemeralContainers()
			door.PrepareUpdate(t.Context(), p, c.old)
			if p.Spec.Containers[0].Image != "i" {
				t.Error("another container changed")
			}
			kindtest.WantErrors(t, door.ValidateUpdate(t.Context(), p, c.old), c.want...)
		})
	}
}
