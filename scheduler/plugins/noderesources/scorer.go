package noderesources

import (
	"math"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/scheduler/framework"
)

// Strategy is how a node's use becomes a score.
type Strategy string

// The strategies of NodeResourcesFit.
const (
	LeastAllocated           Strategy = "LeastAllocated"           // the emptiest node is best
	MostAllocated            Strategy = "MostAllocated"            // the fullest
	RequestedToCapacityRatio Strategy = "RequestedToCapacityRatio" // as a shape says
)

// Weighted is a resource that counts in a score, and how much.
type Weighted struct {
	Name   corev1.ResourceName
	Weight int64
}

// CPUAndMemory is what counts if nothing else is said.
func CPUAndMemory() []Weighted {
	return []Weighted{{corev1.ResourceCPU, 1}, {corev1.ResourceMemory, 1}}
}

// scorer turns what a node would have in use into a score.
type scorer struct {
	strategy  Strategy
	resources []Weighted
	shape     framework.Shape
}

func (s *scorer) score(pod *framework.PodInfo, node *framework.NodeInfo) int64 {
	var sum, weights int64
	for _, r := range s.resources {
		used, has := use(r.Name, pod, node, assumed)
		if has == 0 {
			continue
		}
		one := s.one(used, has)
		if s.strategy == RequestedToCapacityRatio && one <= 0 {
			continue
		}
		sum += one * r.Weight
		weights += r.Weight
	}
	switch {
	case weights == 0:
		return 0
	case s.strategy == RequestedToCapacityRatio:
		return int64(math.Round(float64(sum) / float64(weights)))
	}
	return sum / weights
}

// one scores one resource.
func (s *scorer) one(used, has int64) int64 {
	switch s.strategy {
	case MostAllocated:
		return min(used, has) * framework.MaxScore / has
	case RequestedToCapacityRatio:
		return s.shape.At(min(100, used*100/has))
	}
	if used > has {
		return 0
	}
	// In this order: bytes of memory times MaxScore are far from the limit of int64.
	return (has - used) * framework.MaxScore / has
}

// kind says which of two sums counts.
type kind int

const (
	assumed   kind = iota // with something for containers that request nothing
	requested             // as requested
)

// use returns how much of a resource the node would have in use with the pod, and how much it
// has; nothing for an extended resource that the pod does not request.
func use(name corev1.ResourceName, pod *framework.PodInfo, node *framework.NodeInfo, k kind) (used, has int64) {
	on, wants := &node.Assumed, &pod.Assumed
	if k == requested {
		on, wants = &node.Requested, &pod.Requests
	}
	switch name {
	case corev1.ResourceCPU:
		return on.MilliCPU + wants.MilliCPU, node.Allocatable.MilliCPU
	case corev1.ResourceMemory:
		return on.Memory + wants.Memory, node.Allocatable.Memory
	case corev1.ResourceEphemeralStorage:
		return on.EphemeralStorage + wants.EphemeralStorage, node.Allocatable.EphemeralStorage
	case corev1.ResourcePods:
		return on.Pods + wants.Pods, node.Allocatable.Pods
	}
	if wants.Other(name) == 0 {
		return 0, 0
	}
	return on.Other(name) + wants.Other(name), node.Allocatable.Other(name)
}
