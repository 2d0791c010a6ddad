package nodeports

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/scheduler/framework"
	"github.com/miniorch/miniorch/scheduler/framework/sample"
)

var _ framework.Signer = Plugin{}

func porty(name, ip string, port int32, proto corev1.Protocol) *corev1.Pod {
	return sample.With(sample.Pod(name), func(p *corev1.Pod) {
		p.Spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 80}, {ContainerPort: 81, HostPort: port, HostIP: ip, Protocol: proto}}
	})
}

func TestFilter(t *testing.T) {
	refused := []string{"node(s) didn't have free ports for the requested pod ports"}
	node := func(pods ...*corev1.Pod) *framework.NodeInfo { return sample.Info(sample.Node("a"), pods...) }
	tests := []struct {
		name, reason string
		pod          *corev1.Pod
		node         *framework.NodeInfo
		want         []string
	}{
		{"no host port", "container ports are the pod's own", sample.Pod("p"), node(porty("q", "", 80, "TCP")), nil},
		{"free", "another port", porty("p", "", 8080, "TCP"), node(porty("q", "", 8081, "TCP")), nil},
		{"taken", "the same port, on all addresses", porty("p", "", 8080, "TCP"), node(porty("q", "", 8080, "TCP")), refused},
		{"protocol", "TCP and UDP do not meet", porty("p", "", 8080, "UDP"), node(porty("q", "", 8080, "TCP")), nil},
		{"default protocol", "none means TCP", porty("p", "", 8080, ""), node(porty("q", "", 8080, "TCP")), refused},
		{"addresses", "two addresses do not meet", porty("p", "127.0.0.1", 8080, "TCP"), node(porty("q", "127.0.0.2", 8080, "TCP")), nil},
		{"any address", "0.0.0.0 meets all", porty("p", "127.0.0.1", 8080, "TCP"), node(porty("q", "0.0.0.0", 8080, "TCP")), refused},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, sample.Fits(Plugin{}, tt.pod, tt.node)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
			}
		})
	}
}
