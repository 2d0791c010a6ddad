package lifecycle

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestAdmit(t *testing.T) {
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "n1", Labels: map[string]string{"disk": "ssd", "size": "5"}},
		Status: corev1.NodeStatus{Allocatable: corev1.ResourceList{
			"cpu": resource.MustParse("1"), "memory": resource.MustParse("1Gi"), "pods": resource.MustParse("2"),
		}},
	}
	cpu := func(q string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{"cpu": resource.MustParse(q)}
		}
	}
	port := func(n int32, ip string) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Spec.Containers[0].Ports = []corev1.ContainerPort{{HostPort: n, HostIP: ip}} }
	}
	selector := func(k, v string) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{k: v} }
	}
	affinity := func(key string, op corev1.NodeSelectorOperator, values ...string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
				RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{
					{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: key, Operator: op, Values: values}}}}}}}
		}
	}
	sysctl := func(name string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Spec.SecurityContext = &corev1.PodSecurityContext{Sysctls: []corev1.Sysctl{{Name: name, Value: "1"}}}
		}
	}
	for _, tc := range []struct {
		name   string
		pod    *corev1.Pod
		others []*corev1.Pod
		want   string
	}{
		{"fits", pod(cpu("500m")), []*corev1.Pod{pod(cpu("500m"))}, ""},
		{"out of cpu", pod(cpu("600m")), []*corev1.Pod{pod(cpu("500m"))}, "OutOfcpu"},
		{"out of pods", pod(), []*corev1.Pod{pod(), pod()}, "OutOfpods"},
		{"unknown resource", pod(func(p *corev1.Pod) {
			p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{"acme.io/gpu": resource.MustParse("1")}
		}), nil, "OutOfacme.io/gpu"},
		{"selector", pod(selector("disk", "ssd")), nil, ""},
		{"selector differs", pod(selector("disk", "hdd")), nil, "NodeAffinity"},
		{"affinity in", pod(affinity("disk", "In", "ssd", "nvme")), nil, ""},
		{"affinity not in", pod(affinity("disk", "NotIn", "ssd")), nil, "NodeAffinity"},
		{"affinity greater", pod(affinity("size", "Gt", "4")), nil, ""},
		{"affinity less", pod(affinity("size", "Lt", "4")), nil, "NodeAffinity"},
		{"affinity missing label", pod(affinity("zone", "DoesNotExist")), nil, ""},
		{"port taken", pod(port(80, "")), []*corev1.Pod{pod(port(80, "10.0.0.1"))}, "NodePorts"},
		{"port on another address", pod(port(80, "10.0.0.2")), []*corev1.Pod{pod(port(80, "10.0.0.1"))}, ""},
		{"safe sysctl", pod(sysctl("kernel.shm_rmid_forced")), nil, ""},
		{"safe sysctl with slashes", pod(sysctl("net/ipv4/tcp_syncookies")), nil, ""},
		{"unsafe sysctl", pod(sysctl("kernel.msgmax")), nil, "SysctlForbidden"},
		{"windows", pod(func(p *corev1.Pod) { p.Spec.OS = &corev1.PodOS{Name: corev1.Windows} }), nil, "PodOSNotSupported"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := ""
			if r := Admit(tc.pod, tc.others, node); r != nil {
				got = r.Reason
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
