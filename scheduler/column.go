package scheduler

import "github.com/miniorch/miniorch/scheduler/framework"

// column is one plugin's raw scores, by position; only of nodes that passed.
type column struct {
	framework.WeightedScore
	normalizer framework.Normalizer
	raw        []int64
	extremes
}

// extremes are the lowest and the highest raw score, and how many nodes have them.
type extremes struct{ lowest, highest, atLowest, atHighest int64 }

// leave takes a score out; it reports whether an extreme may have moved.
func (x *extremes) leave(score int64) bool {
	if score == x.lowest {
		x.atLowest--
	}
	if score == x.highest {
		x.atHighest--
	}
	return x.atLowest == 0 || x.atHighest == 0
}

// enter takes a score in; it reports whether an extreme moved.
func (x *extremes) enter(score int64) bool {
	if score == framework.NoScore {
		return false
	}
	if x.atLowest == 0 || score < x.lowest || score > x.highest {
		return true
	}
	if score == x.lowest {
		x.atLowest++
	}
	if score == x.highest {
		x.atHighest++
	}
	return false
}

func (c *column) measure(refusals []*framework.Status) {
	c.extremes = extremes{}
	if c.normalizer == nil {
		return
	}
	for i, s := range refusals {
		if s == nil && c.enter(c.raw[i]) {
			c.widen(c.raw[i])
		}
	}
}

// addTo adds the weighted scores to the sums of the nodes that passed, so many; what becomes of
// others' does not matter.
func (c *column) addTo(sums []int64, passed int64) {
	switch {
	case c.normalizer == nil:
		for i, raw := range c.raw {
			sums[i] += c.Weight * raw
		}
	case c.atLowest == passed: // all are alike: they all have the lowest
		one := c.Weight * framework.Normalized(c.normalizer, c.lowest, c.lowest, c.highest)
		for i := range c.raw {
			sums[i] += one
		}
	default:
		for i := range c.raw {
			sums[i] += c.Weight * c.score(i, &c.extremes)
		}
	}
}

// widen makes a score that is beyond the extremes one of them.
func (x *extremes) widen(score int64) {
	if x.atLowest == 0 {
		*x = extremes{score, score, 1, 1}
		return
	}
	if score < x.lowest {
		x.lowest, x.atLowest = score, 1
	}
	if score > x.highest {
		x.highest, x.atHighest = score, 1
	}
}

// score returns the score of the node at i, normalized between x.
func (c *column) score(i int, x *extremes) int64 {
	if c.normalizer == nil {
		return c.raw[i]
	}
	return framework.Normalized(c.normalizer, c.raw[i], x.lowest, x.highest)
}
