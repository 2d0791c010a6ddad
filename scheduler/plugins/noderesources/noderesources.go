// Package noderesources keeps pods away from nodes that cannot give what they request, and
// prefers nodes that have the largest share of CPU and memory left.
package noderesources

import (
	"strconv"

	"github.com/miniorch/miniorch/scheduler/framework"
)

// Plugin is NodeResourcesFit with the LeastAllocated strategy.
type Plugin struct{}

// Name returns the plugin's name.
func (Plugin) Name() string { return "NodeResourcesFit" }

// Sign tells what the plugin reads.
func (Plugin) Sign(b []byte, pod *framework.PodInfo) ([]byte, bool) {
	r := &pod.Requests
	for _, n := range []int64{r.MilliCPU, r.Memory, r.EphemeralStorage, pod.Assumed.MilliCPU, pod.Assumed.Memory} {
		b = append(strconv.AppendInt(b, n, 36), ',')
	}
	for _, o := range r.Others {
		b = append(append(b, o.Name...), '=')
		b = append(strconv.AppendInt(b, o.Value, 36), ',')
	}
	return b, true
}

// Filter refuses a node that lacks something the pod requests; the reasons name all of it.
func (Plugin) Filter(_ *framework.CycleState, pod *framework.PodInfo, node *framework.NodeInfo) *framework.Status {
	if reasons := Lacks(&pod.Requests, node); len(reasons) > 0 {
		return framework.Refuse(reasons...)
	}
	return nil
}

// Lacks returns, in the words that users read, what the node has not enough of.
func Lacks(want *framework.Resources, node *framework.NodeInfo) (reasons []string) {
	used, has := &node.Requested, &node.Allocatable
	if used.Pods+want.Pods > has.Pods {
		reasons = append(reasons, "Too many pods")
	}
	if want.MilliCPU > 0 && want.MilliCPU > has.MilliCPU-used.MilliCPU {
		reasons = append(reasons, "Insufficient cpu")
	}
	if want.Memory > 0 && want.Memory > has.Memory-used.Memory {
		reasons = append(reasons, "Insufficient memory")
	}
	if want.EphemeralStorage > 0 && want.EphemeralStorage > has.EphemeralStorage-used.EphemeralStorage {
		reasons = append(reasons, "Insufficient ephemeral-storage")
	}
	for _, o := range want.Others {
		if o.Value > 0 && o.Value > has.Other(o.Name)-used.Other(o.Name) {
			reasons = append(reasons, "Insufficient "+string(o.Name))
		}
	}
	return reasons
}

// Score returns the share of CPU and memory that is left when the pod runs there too.
func (Plugin) Score(_ *framework.CycleState, pod *framework.PodInfo, node *framework.NodeInfo) int64 {
	cpu := left(node.Assumed.MilliCPU+pod.Assumed.MilliCPU, node.Allocatable.MilliCPU)
	memory := left(node.Assumed.Memory+pod.Assumed.Memory, node.Allocatable.Memory)
	return (cpu + memory) / 2
}

func left(used, has int64) int64 {
	if has == 0 || used > has {
		return 0
	}
	// In this order: bytes of memory times MaxScore are far from the limit of int64.
	return (has - used) * framework.MaxScore / has
}
