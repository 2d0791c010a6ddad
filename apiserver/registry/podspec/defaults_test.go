package podspec

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/apiserver/registry/kindtest"
)

func TestDefaultPullPolicy(t *testing.T) {
	for _, c := range []struct {
		image string
		want  corev1.PullPolicy
	}{
		{"demo", corev1.PullAlways},
		{"demo:latest", corev1.PullAlways},
		{"demo:v1", corev1.PullIfNotPresent},
		{"localhost:5000/demo", corev1.PullAlways},
		{"localhost:5000/demo:v1", corev1.PullIfNotPresent},
		{"demo@sha256:0123", corev1.PullIfNotPresent},
		{"demo:latest@sha256:0123", corev1.PullAlways},
		{"", corev1.PullAlways},
	} {
		if got := defaultPullPolicy(c.image); got != c.want {
			t.Errorf("%q is pulled %s, want %s", c.image, got, c.want)
		}
	}
}

func TestDefaultHostNetworkPorts(t *testing.T) {
	const text = "spec: {hostNetwork: true, containers: [{name: a, image: a:1, ports: [{containerPort: 80}]}]}"
	pod := kindtest.From[corev1.Pod](t, text)
	DefaultPod(pod)
	if got := pod.Spec.Containers[0].Ports[0].HostPort; got != 80 {
		t.Errorf("a pod on the host network has host port %d, want 80", got)
	}
	template := kindtest.From[corev1.PodTemplateSpec](t, text)
	DefaultPodSpec(&template.Spec)
	if got := template.Spec.Containers[0].Ports[0].HostPort; got != 0 {
		t.Errorf("a template got host port %d: it stays as its author wrote it", got)
	}
}
