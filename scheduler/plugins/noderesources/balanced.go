package noderesources

import (
	"math"
	"slices"

	"github.com/miniorch/miniorch/scheduler/framework"
)

// Balanced is NodeResourcesBalancedAllocation: it prefers nodes of which the same share of every
// resource would be in use, so that none is left over for want of another.
type Balanced struct{ resources []counted }

// NewBalanced returns the plugin; without resources CPU and memory count.
func NewBalanced(resources []Weighted) Balanced { return Balanced{counting(resources)} }

// Name returns the plugin's name.
func (Balanced) Name() string { return "NodeResourcesBalancedAllocation" }

// Sign tells what the plugin reads.
func (Balanced) Sign(b []byte, pod *framework.PodInfo) ([]byte, bool) { return sign(b, pod), true }

// PreScore skips pods that request none of the resources.
func (p Balanced) PreScore(_ *framework.CycleState, pod *framework.PodInfo, _ framework.Snapshot) *framework.Status {
	if slices.ContainsFunc(p.resources, func(c counted) bool { return c.of(&pod.Requests) > 0 }) {
		return nil
	}
	return framework.Skipped
}

// Score is the better the less the shares in use differ.
func (p Balanced) Score(_ *framework.CycleState, pod *framework.PodInfo, node *framework.NodeInfo) int64 {
	var buffer [8]float64
	shares, sum := buffer[:0], 0.0
	for i := range p.resources {
		if used, has := p.resources[i].use(&pod.Requests, &node.Requested, &node.Allocatable); has > 0 {
			share := min(1, float64(used)/float64(has))
			shares, sum = append(shares, share), sum+share
		}
	}
	return int64((1 - deviation(shares, sum/float64(len(shares)))) * float64(framework.MaxScore))
}

// deviation is the standard deviation.
func deviation(shares []float64, mean float64) float64 {
	switch len(shares) {
	case 0, 1:
		return 0
	case 2:
		return math.Abs(shares[0]-shares[1]) / 2
	}
	variance := 0.0
	for _, s := range shares {
		variance += (s - mean) * (s - mean)
	}
	return math.Sqrt(variance / float64(len(shares)))
}
