package framework

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/pkg/api"
)

// What a container that asks for nothing is taken to use when nodes are scored: else all
// pods that ask for nothing would go to one node.
const (
	assumedMilliCPU = 100
	assumedMemory   = 200 << 20
)

// PodInfo is a pod with what plugins ask about it worked out once. It is immutable.
type PodInfo struct {
	Pod      *corev1.Pod
	Requests Resources // Pods is 1
	Assumed  Resources // Requests, with something for containers that ask for nothing
	Ports    []HostPort
	Priority int32
	Group    string    // of pods that are scheduled all or none; empty: it is in none
	Terms    *PodTerms // nil: it has no affinity to other pods
	Invalid  error     // what of the spec cannot be understood; such a pod is not scheduled
}

// HostPort is a port of the node that a pod takes.
type HostPort struct {
	IP       string // empty: all addresses
	Protocol corev1.Protocol
	Port     int32
}

// Conflicts reports whether two pods cannot have these ports on one node.
func (a HostPort) Conflicts(b HostPort) bool {
	return a.Port == b.Port && a.Protocol == b.Protocol && (a.IP == b.IP || a.IP == "" || b.IP == "")
}

// NewPodInfo works out what plugins ask about p.
func NewPodInfo(p *corev1.Pod) *PodInfo {
	info := &PodInfo{Pod: p, Requests: ResourcesOf(api.PodFootprint(p))}
	info.Requests.Pods = 1
	info.Assumed = info.Requests
	for i := range p.Spec.Containers {
		c := &p.Spec.Containers[i]
		if _, ok := c.Resources.Requests[corev1.ResourceCPU]; !ok {
			info.Assumed.MilliCPU += assumedMilliCPU
		}
		if _, ok := c.Resources.Requests[corev1.ResourceMemory]; !ok {
			info.Assumed.Memory += assumedMemory
		}
		info.addPorts(c)
	}
	for i := range p.Spec.InitContainers {
		if c := &p.Spec.InitContainers[i]; api.IsSidecar(c) {
			info.addPorts(c)
		}
	}
	if p.Spec.Priority != nil {
		info.Priority = *p.Spec.Priority
	}
	info.Group = GroupOf(p)
	info.Terms, info.Invalid = parsePodTerms(p)
	return info
}

// LabelGroup is the label by which a pod says in which group it is scheduled.
const LabelGroup = "miniorch.dev/pod-group"

// GroupOf returns the pod's group as namespace/name, empty if it is in none.
func GroupOf(p *corev1.Pod) string {
	if name := p.Labels[LabelGroup]; name != "" {
		return p.Namespace + "/" + name
	}
	return ""
}

func (p *PodInfo) addPorts(c *corev1.Container) {
	for _, port := range c.Ports {
		if port.HostPort == 0 {
			continue
		}
		hp := HostPort{IP: port.HostIP, Protocol: port.Protocol, Port: port.HostPort}
		if hp.IP == "0.0.0.0" || hp.IP == "::" {
			hp.IP = ""
		}
		if hp.Protocol == "" {
			hp.Protocol = corev1.ProtocolTCP
		}
		p.Ports = append(p.Ports, hp)
	}
}

// Name returns namespace/name, for logs.
func (p *PodInfo) Name() string { return p.Pod.Namespace + "/" + p.Pod.Name }

// QueuedPod is a pod that waits to be scheduled.
type QueuedPod struct {
	*PodInfo
	Since    time.Time // when it came
	Turn     uint64    // when it is its namespace's turn, among pods of one priority
	Attempts int       // that failed
	Failed   time.Time // when the last one did
}
