package core

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/apiserver/registry/kindtest"
)

func TestNodeColumns(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct{ name, text, want string }{
		{"ready", `
metadata: {labels: {node-role.kubernetes.io/worker: "", node-role.kubernetes.io/control-plane: ""}}
status:
  conditions: [{type: Ready, status: "True"}]
  addresses: [{type: Hostname, address: n}, {type: InternalIP, address: 10.89.0.2}]
  nodeInfo: {kubeletVersion: v1.37.0, osImage: Debian, kernelVersion: "6.1", containerRuntimeVersion: containerd://2.0}`,
			"n | Ready | control-plane,worker | 3h | v1.37.0 | 10.89.0.2 | <none> | Debian | 6.1 | containerd://2.0"},
		{"cordoned", "spec: {unschedulable: true}\nstatus: {conditions: [{type: Ready, status: Unknown}]}",
			"n | NotReady,SchedulingDisabled | <none> | 3h |  | <none> | <none> | <unknown> | <unknown> | <unknown>"},
		{"silent", "{}", "n | Unknown | <none> | 3h |  | <none> | <none> | <unknown> | <unknown> | <unknown>"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := kindtest.From[corev1.Node](t, c.text)
			n.Name, n.CreationTimestamp = "n", metav1.NewTime(now.Add(-3*time.Hour))
			if got := kindtest.Row(nodeColumns(), n, now, true); got != c.want {
				t.Errorf("printed\n  %s\nwant\n  %s", got, c.want)
			}
		})
	}
}

func TestValidateNode(t *testing.T) {
	for _, c := range []struct {
		name, text, reason string
		want               []string
	}{
		{"good", "spec: {podCIDR: 10.244.1.0/24, taints: [{key: a, effect: NoSchedule}, {key: a, effect: NoExecute}]}", "a taint per key and effect", nil},
		{"taints", "spec: {taints: [{key: a, effect: NoSchedule}, {key: a, value: b, effect: NoSchedule}, {key: a b, effect: Never}, {key: c}]}", "keys, effects, uniqueness",
			[]string{"spec.taints[1]: Duplicate value", "spec.taints[2].key: Invalid value", "spec.taints[2].effect: Unsupported value", "spec.taints[3].effect: Required value"}},
		{"cidr", "spec: {podCIDR: 10.244.1.0}", "a network", []string{"spec.podCIDRs[0]: Invalid value"}},
		{"two of a family", "spec: {podCIDRs: [10.0.0.0/24, 10.0.1.0/24]}", "one of each", []string{"may specify no more than one CIDR for each IP family"}},
		{"capacity", "status: {capacity: {cpu: -1, example.com/gpu: 500m}, allocatable: {}}", "what there is", []string{"status.capacity[cpu]: Invalid value", "must be an integer"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Log(c.reason)
			n := kindtest.From[corev1.Node](t, c.text)
			defaultNode(n)
			kindtest.WantErrors(t, validateNode(n), c.want...)
		})
	}
}

func TestNodeUpdate(t *testing.T) {
	old := kindtest.From[corev1.Node](t, "spec: {podCIDR: 10.244.1.0/24}\nstatus: {capacity: {cpu: 2}}")
	defaultNode(old)
	if diff := cmp.Diff(old.Status.Capacity, old.Status.Allocatable); diff != "" {
		t.Errorf("pods may not have all that the node has:\n%s", diff)
	}
	for _, c := range []struct {
		name, reason string
		change       func(*corev1.Node)
		want         []string
	}{
		{"cordon", "anybody may", func(n *corev1.Node) { n.Spec.Unschedulable = true }, nil},
		{"provider", "given once", func(n *corev1.Node) { n.Spec.ProviderID = "x" }, nil},
		{"network", "pods have addresses of it", func(n *corev1.Node) { n.Spec.PodCIDR, n.Spec.PodCIDRs = "10.244.2.0/24", []string{"10.244.2.0/24"} },
			[]string{"spec.podCIDRs: Forbidden: node updates may not change podCIDR except from \"\" to valid"}},
		{"other", "nothing else", func(n *corev1.Node) { n.Spec.DoNotUseExternalID = "x" }, []string{"spec: Forbidden"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Log(c.reason)
			n := old.DeepCopy()
			c.change(n)
			kindtest.WantErrors(t, validateNodeUpdate(n, old), c.want...)
		})
	}
	bare := &corev1.Node{}
	kindtest.WantErrors(t, validateNodeUpdate(old, bare))
}
