package noderesources

import (
	"math"

	"github.com/miniorch/miniorch/scheduler/framework"
)

// Balanced is NodeResourcesBalancedAllocation: it prefers nodes of which the same share of every
// resource would be in use, so that none is left over for want of another.
type Balanced struct{ resources []Weighted }

// NewBalanced returns the plugin; without resources CPU and memory count.
func NewBalanced(resources []Weighted) Balanced {
	if len(resources) == 0 {
		resources = CPUAndMemory()
	}
	return Balanced{resources}
}

// Name returns the plugin's name.
func (Balanced) Name() string { return "NodeResourcesBalancedAllocation" }

// Sign tells what the plugin reads.
func (Balanced) Sign(b []byte, pod *framework.PodInfo) ([]byte, bool) { return sign(b, pod), true }

// PreScore skips pods that request none of the resources.
func (p Balanced) PreScore(_ *framework.CycleState, pod *framework.PodInfo, _ framework.Snapshot) *framework.Status {
	empty := &framework.NodeInfo{}
	for _, r := range p.resources {
		if used, _ := use(r.Name, pod, empty, requested); used > 0 {
			return nil
		}
	}
	return framework.Skipped
}

// Score is the better the less the shares in use differ.
func (p Balanced) Score(_ *framework.CycleState, pod *framework.PodInfo, node *framework.NodeInfo) int64 {
	var buffer [8]float64
	shares, sum := buffer[:0], 0.0
	for _, r := range p.resources {
		if used, has := use(r.Name, pod, node, requested); has > 0 {
			share := min(1, float64(used)/float64(has))
			shares, sum = append(shares, share), sum+share
		}
	}
	if len(shares) < 2 {
		return framework.MaxScore
	}
	mean, variance := sum/float64(len(shares)), 0.0
	for _, s := range shares {
		variance += (s - mean) * (s - mean)
	}
	return int64((1 - math.Sqrt(variance/float64(len(shares)))) * float64(framework.MaxScore))
}
