package lifecycle

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/miniorch/miniorch/pkg/api"
)

// Admit decides whether the node can run a pod that was bound to it, beside the others that
// it runs. Binding does not prove it: a scheduler may have been late, or absent.
func Admit(pod *corev1.Pod, others []*corev1.Pod, node *corev1.Node) *Rejection {
	if os := pod.Spec.OS; os != nil && os.Name != corev1.Linux {
		return &Rejection{"PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS"}
	}
	if refused := unsafeSysctl(pod); refused != nil {
		return refused
	}
	if !MatchesNode(pod, node) {
		return &Rejection{"NodeAffinity", "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"}
	}
	if conflict := portConflict(pod, others); conflict != "" {
		return &Rejection{"NodePorts", "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports: " + conflict}
	}
	return fits(pod, others, node)
}

func fits(pod *corev1.Pod, others []*corev1.Pod, node *corev1.Node) *Rejection {
	used := map[corev1.ResourceName]resource.Quantity{}
	for _, other := range others {
		for name, q := range api.PodAllocated(other) {
			sum := used[name]
			sum.Add(q)
			used[name] = sum
		}
	}
	if capacity, ok := node.Status.Allocatable[corev1.ResourcePods]; ok && int64(len(others))+1 > capacity.Value() {
		return outOf(corev1.ResourcePods, 1, int64(len(others)), capacity.Value())
	}
	requests := api.PodRequests(pod)
	names := make([]string, 0, len(requests))
	for name := range requests {
		names = append(names, string(name))
	}
	slices.Sort(names)
	for _, n := range names {
		name := corev1.ResourceName(n)
		want, have, capacity := requests[name], used[name], node.Status.Allocatable[name]
		sum := have.DeepCopy()
		sum.Add(want)
		if !want.IsZero() && sum.Cmp(capacity) > 0 {
			return outOf(name, amount(name, want), amount(name, have), amount(name, capacity))
		}
	}
	return nil
}

func outOf(name corev1.ResourceName, requested, used, capacity int64) *Rejection {
	return &Rejection{
		Reason: "OutOf" + string(name),
		Message: fmt.Sprintf("Node didn't have enough resource: %s, requested: %d, used: %d, capacity: %d",
			name, requested, used, capacity),
	}
}

func amount(name corev1.ResourceName, q resource.Quantity) int64 {
	if name == corev1.ResourceCPU {
		return q.MilliValue()
	}
	return q.Value()
}

type port struct {
	protocol corev1.Protocol
	ip       string
	number   int32
}

func portConflict(pod *corev1.Pod, others []*corev1.Pod) string {
	var taken []port
	for _, other := range others {
		taken = append(taken, hostPorts(other)...)
	}
	var conflicts []string
	for _, p := range hostPorts(pod) {
		if slices.ContainsFunc(taken, p.conflicts) {
			conflicts = append(conflicts, fmt.Sprintf("%s %d", p.protocol, p.number))
		}
	}
	return strings.Join(conflicts, ", ")
}

func (p port) conflicts(o port) bool {
	return p.protocol == o.protocol && p.number == o.number && (p.ip == o.ip || p.ip == "0.0.0.0" || o.ip == "0.0.0.0")
}

func hostPorts(pod *corev1.Pod) []port {
	var ports []port
	collect := func(cs []corev1.Container, sidecarsOnly bool) {
		for i := range cs {
			if sidecarsOnly && !api.IsSidecar(&cs[i]) {
				continue
			}
			for _, cp := range cs[i].Ports {
				number := cp.HostPort
				if number == 0 {
					continue
				}
				p := port{cp.Protocol, cp.HostIP, number}
				if p.protocol == "" {
					p.protocol = corev1.ProtocolTCP
				}
				if p.ip == "" || p.ip == "::" {
					p.ip = "0.0.0.0"
				}
				ports = append(ports, p)
			}
		}
	}
	collect(pod.Spec.InitContainers, true)
	collect(pod.Spec.Containers, false)
	return ports
}
