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
	resources []counted
	shape     framework.Shape
}

func (s *scorer) score(pod *framework.PodInfo, node *framework.NodeInfo) int64 {
	var sum, weights int64
	for i := range s.resources {
		r := &s.resources[i]
		used, has := r.use(&pod.Assumed, &node.Assumed, &node.Allocatable)
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

// counted is a weighted resource that is looked up again and again.
type counted struct {
	Weighted
	bit uint8 // 0: an extended resource
}

func counting(resources []Weighted) []counted {
	if len(resources) == 0 {
		resources = CPUAndMemory()
	}
	known := map[corev1.ResourceName]uint8{
		corev1.ResourceCPU: cpu, corev1.ResourceMemory: memory, corev1.ResourceEphemeralStorage: storage, corev1.ResourcePods: pods,
	}
	var out []counted
	for _, w := range resources {
		out = append(out, counted{w, known[w.Name]})
	}
	return out
}

// of returns how much of the resource there is.
func (c *counted) of(r *framework.Resources) int64 {
	switch c.bit {
	case cpu:
		return r.MilliCPU
	case memory:
		return r.Memory
	case storage:
		return r.EphemeralStorage
	case pods:
		return r.Pods
	}
	return r.Other(c.Name)
}

// use returns how much of the resource would be in use with what the pod wants, and how much there
// is; nothing for an extended resource that the pod does not want.
func (c *counted) use(wants, on, has *framework.Resources) (used, capacity int64) {
	want := c.of(wants)
	if c.bit == 0 && want == 0 {
		return 0, 0
	}
	return c.of(on) + want, c.of(has)
}
