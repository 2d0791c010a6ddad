package backends

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

func TestTargetPort(t *testing.T) {
	named := func(name string, number int32, protocol corev1.Protocol) corev1.Container {
		return corev1.Container{Ports: []corev1.ContainerPort{{Name: name, ContainerPort: number, Protocol: protocol}}}
	}
	sidecar := named("web", 7000, "")
	sidecar.RestartPolicy = ptr.To(corev1.ContainerRestartPolicyAlways)
	cases := []struct {
		reason string
		target intstr.IntOrString
		spec   corev1.PodSpec
		want   int32 // 0: none
	}{
		{"none: the service's own", intstr.IntOrString{}, corev1.PodSpec{}, 80},
		{"a number", intstr.FromInt32(8080), corev1.PodSpec{}, 8080},
		{"a name", intstr.FromString("web"), corev1.PodSpec{Containers: []corev1.Container{named("x", 1, ""), named("web", 9000, "")}}, 9000},
		{"a name of another protocol", intstr.FromString("web"), corev1.PodSpec{Containers: []corev1.Container{named("web", 9000, corev1.ProtocolUDP)}}, 0},
		{"a name that nobody has", intstr.FromString("web"), corev1.PodSpec{}, 0},
		{"a name of a sidecar", intstr.FromString("web"), corev1.PodSpec{InitContainers: []corev1.Container{sidecar}}, 7000},
		{"an init container serves nobody", intstr.FromString("web"), corev1.PodSpec{InitContainers: []corev1.Container{named("web", 1, "")}}, 0},
	}
	for _, tc := range cases {
		t.Run(tc.reason, func(t *testing.T) {
			got, ok := TargetPort(&corev1.Pod{Spec: tc.spec}, &corev1.ServicePort{Port: 80, TargetPort: tc.target})
			if got != tc.want || ok != (tc.want != 0) {
				t.Errorf("TargetPort = %d, %v; want %d", got, ok, tc.want)
			}
		})
	}
}

func TestFamilies(t *testing.T) {
	cases := []struct {
		reason string
		spec   corev1.ServiceSpec
		want   discoveryv1.AddressType
	}{
		{"what the service says", corev1.ServiceSpec{IPFamilies: []corev1.IPFamily{corev1.IPv6Protocol}}, discoveryv1.AddressTypeIPv6},
		{"else what its address is", corev1.ServiceSpec{ClusterIP: "fd00::1"}, discoveryv1.AddressTypeIPv6},
		{"else IPv4", corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone}, discoveryv1.AddressTypeIPv4},
	}
	for _, tc := range cases {
		t.Run(tc.reason, func(t *testing.T) {
			if got := Families(&corev1.Service{Spec: tc.spec})[0]; got != tc.want {
				t.Errorf("Families = %s, want %s", got, tc.want)
			}
		})
	}
}
