package podtopologyspread

import (
	"math"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/scheduler/framework"
)

// wishes are the soft constraints with their counts.
type wishes struct {
	list     []wish
	strictly bool // a node that is in no domain of one constraint is the worst
}

type wish struct {
	*framework.Counter
	hostname bool
	maxSkew  int32
}

func (cs constraints) wishes(t *framework.Topology) wishes {
	w := wishes{strictly: len(cs.keys) > 0}
	for _, c := range cs.list {
		w.list = append(w.list, wish{cs.count(t, c), c.TopologyKey == corev1.LabelHostname, c.MaxSkew})
	}
	return w
}

// rank gives each node the number of pods in its domains. A constraint with many domains weighs
// more: there each pod more or less matters more.
func (w wishes) rank(passed []int32, raw []int64) {
	ranked := 0
	for at, i := range passed {
		if raw[at] = 0; w.strictly && w.outside(int(i)) {
			raw[at] = framework.NoScore
		} else {
			ranked++
		}
	}
	sums := make([]float64, len(passed))
	for k := range w.list {
		c := &w.list[k]
		weight := math.Log(float64(c.size(passed, raw, ranked) + 2))
		for at, i := range passed {
			if n, ok := c.At(int(i)); ok {
				sums[at] += float64(n)*weight + float64(c.maxSkew-1)
			}
		}
	}
	for at := range raw {
		if raw[at] != framework.NoScore {
			raw[at] = int64(math.Round(sums[at]))
		}
	}
}

// outside reports whether the node at i lacks one of the labels.
func (w wishes) outside(i int) bool {
	for k := range w.list {
		if w.list[k].Of(i) < 0 {
			return true
		}
	}
	return false
}

// size returns how many domains the nodes are in that have a rank.
func (c *wish) size(passed []int32, raw []int64, ranked int) int {
	if c.hostname {
		return ranked
	}
	seen, n := make([]bool, c.Len()), 0
	for at, i := range passed {
		if d := c.Of(int(i)); d >= 0 && raw[at] != framework.NoScore && !seen[d] {
			seen[d] = true
			n++
		}
	}
	return n
}

// fewest makes the node with the lowest score the best.
type fewest struct{}

// Normalize implements framework.Normalizer.
func (fewest) Normalize(score, lowest, highest int64) int64 {
	if highest == 0 {
		return framework.MaxScore
	}
	return framework.MaxScore * (highest + lowest - score) / highest
}
