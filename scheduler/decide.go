package scheduler

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miniorch/miniorch/pkg/explain"
	"github.com/miniorch/miniorch/scheduler/framework"
)

// Decision is what was decided for a pod, from one snapshot of the nodes.
type Decision struct {
	Pod      *framework.PodInfo
	Node     string // empty: none is good
	Score    int64
	Passed   int    // nodes that the pod could run on
	Refusal  string // why there is none, in the words that people know
	refusals []*framework.Status
	refused  *framework.Status // the pod as a whole
	nodes    framework.Snapshot
	fw       *framework.Framework
	state    *framework.CycleState // shared with pods of the same signature
	position int                   // of Node
	at       time.Time

	preemption []explain.Candidate
	opinion    *opinion // of extenders; nil: none was asked
	undone     string   // why it came to nothing; guarded by Scheduler.mu
}

// String returns the decision as decision records show it.
func (d *Decision) String() string {
	if d.Node == "" {
		return "leave unscheduled: " + d.Refusal
	}
	return fmt.Sprintf("bind to %s: score %d, %d of %d nodes passed", d.Node, d.Score, d.Passed, d.nodes.Len())
}

// result is the decision and what became of it.
func (d *Decision) result() string {
	if d.undone == "" {
		return d.String()
	}
	return d.String() + "; let go: " + d.undone
}

// decide finds the best node for a pod. m remembers what the plugins said for pods with the
// same signature; the decision is the same without it.
func (m *mind) decide(fw *framework.Framework, pod *framework.PodInfo, signature string, nodes framework.Snapshot, rand func() float64) *Decision {
	return m.weigh(fw, pod, signature, nodes).decide(pod, rand)
}

// decide takes the best node.
func (c *candidates) decide(pod *framework.PodInfo, rand func() float64) *Decision {
	d := c.decision(pod)
	if at, score, ok := c.best(rand); ok {
		d.Node, d.position, d.Score = c.nodes.At(at).Name, at, score
	} else {
		d.Refusal, d.refusals, d.refused = c.why(), c.refusals(), c.refused
	}
	return d
}

// candidates is what all plugins of a profile say of all nodes for one pod.
type candidates struct {
	*evaluation
	refused *framework.Status // the pod as a whole
	filters []framework.Survey
	scores  []framework.WideScore

	// If there are filters or scores of Wide plugins, or an extender, these count. Else the
	// evaluation has all there is to know.
	wide bool
	*scratch
}

// scratch is room for what candidates work out; one decision after the other uses it.
type scratch struct {
	surveyed []*framework.Status // by position: who refused what had passed the evaluation
	turned   int                 // how many that are
	left     []int32             // positions of the others, ascending
	sums     []int64             // by place in left
	column   []int64             // likewise
}

// weigh asks all plugins about all nodes.
func (m *mind) weigh(fw *framework.Framework, pod *framework.PodInfo, signature string, nodes framework.Snapshot) *candidates {
	m.topology.Follow(nodes)
	c := &candidates{evaluation: m.evaluation(fw, pod, signature, nodes), scratch: &m.scratch}
	if c.refused = c.evaluation.refused; !c.refused.OK() {
		return c
	}
	c.filters, c.scores, c.refused = fw.Surveys(m.topology, pod)
	if !c.refused.OK() || len(c.filters)+len(c.scores) == 0 {
		return c
	}
	c.wide = true
	c.sift(m.topology, pod)
	c.sum()
	return c
}

// sift keeps the nodes that the Wide plugins let pass.
func (c *candidates) sift(t *framework.Topology, pod *framework.PodInfo) {
	narrow := c.list()
	c.left, c.turned = c.left[:0], 0
	c.surveyed = slices.Grow(c.surveyed[:0], c.nodes.Len())[:c.nodes.Len()]
	clear(c.surveyed)
	for _, i := range narrow {
		s := survey(c.filters, int(i))
		if node := c.nodes.At(int(i)); s == nil && len(node.Nominated) > 0 && len(c.filters) > 0 {
			s = c.surveyNominated(t, pod, int(i), node)
		}
		if s == nil {
			c.left = append(c.left, i)
			continue
		}
		c.surveyed[i] = s
		c.turned++
	}
}

// survey asks the Wide plugins about the node at i.
func survey(filters []framework.Survey, i int) *framework.Status {
	for k := range filters {
		if s := filters[k].Filter(i); s != nil {
			return s
		}
	}
	return nil
}

// surveyNominated asks about a node as it will be with the pods for which room is made.
func (c *candidates) surveyNominated(t *framework.Topology, pod *framework.PodInfo, i int, node *framework.NodeInfo) *framework.Status {
	with := c.withNominated(node)
	if with == node {
		return nil
	}
	t.Swap(i, with)
	defer t.Swap(i, node)
	filters, _, refused := c.fw.Surveys(t, pod)
	if !refused.OK() {
		return refused
	}
	return survey(filters, i)
}

// sum fills sums: what the evaluation has summed up, with the Wide plugins' scores on top.
func (c *candidates) sum() {
	n := len(c.left)
	c.sums, c.column = slices.Grow(c.sums[:0], n)[:n], slices.Grow(c.column[:0], n)[:n]
	clear(c.sums)
	moved := c.normalizedOtherwise()
	for at, i := range c.left {
		if moved == nil {
			c.sums[at] = c.evaluation.totals.at(int(i))
			continue
		}
		for p := range c.columns {
			c.sums[at] += c.columns[p].Weight * c.columns[p].score(int(i), &moved[p])
		}
	}
	for k := range c.scores {
		c.rank(k, c.column)
		for at, s := range c.column {
			c.sums[at] += c.scores[k].Weight * s
		}
	}
}

// rank fills scores with one Wide plugin's normalized scores.
func (c *candidates) rank(k int, scores []int64) {
	c.scores[k].Rank(c.left, scores)
	framework.NormalizeAll(c.scores[k].Normalizer, scores)
}

// normalizedOtherwise returns the extremes of all columns among the nodes that are left; nil
// if the Wide plugins' refusals moved none.
func (c *candidates) normalizedOtherwise() []extremes {
	all, moved := make([]extremes, len(c.columns)), false
	for p := range c.columns {
		col := &c.columns[p]
		if all[p] = col.extremes; c.turned == 0 || col.normalizer == nil || len(c.left) == 0 {
			continue
		}
		x := extremes{}
		for _, i := range c.left {
			if x.enter(col.raw[i]) {
				x.widen(col.raw[i])
			}
		}
		moved = moved || x.lowest != col.lowest || x.highest != col.highest
		all[p] = x
	}
	if !moved {
		return nil
	}
	return all
}

// best returns the position and score of the best node; of several equally good ones chance
// takes one. ok is false if no node passed.
func (c *candidates) best(rand func() float64) (position int, score int64, ok bool) {
	switch {
	case !c.refused.OK():
		return 0, 0, false
	case !c.wide:
		return c.evaluation.totals.best(rand)
	case len(c.left) == 0:
		return 0, 0, false
	}
	top := slices.Max(c.sums)
	ties := 0
	for _, t := range c.sums {
		if t == top {
			ties++
		}
	}
	skip := pick(ties, rand)
	for at, t := range c.sums {
		if t == top {
			if skip == 0 {
				return int(c.left[at]), top, true
			}
			skip--
		}
	}
	panic("scheduler: the best score has no node") // ties counts exactly these
}

func (c *candidates) decision(pod *framework.PodInfo) *Decision {
	d := &Decision{Pod: pod, nodes: c.nodes, fw: c.fw, state: c.state}
	switch {
	case !c.refused.OK():
	case c.wide:
		d.Passed = len(c.left)
	default:
		d.Passed = len(c.list())
	}
	return d
}

// refusals returns every node's first refusal.
func (c *candidates) refusals() []*framework.Status {
	if !c.refused.OK() {
		all := make([]*framework.Status, c.nodes.Len())
		for i := range all {
			all[i] = c.refused
		}
		return all
	}
	all := slices.Clone(c.evaluation.refusals)
	if !c.wide {
		return all
	}
	for i, s := range c.surveyed {
		if s != nil {
			all[i] = s
		}
	}
	return all
}

// why says, in the words that people know, why no node passed.
func (c *candidates) why() string {
	total := c.nodes.Len()
	switch {
	case total == 0:
		return "no nodes available to schedule pods"
	case !c.refused.OK():
		return fmt.Sprintf("0/%d nodes are available: %s.", total, strings.Join(c.refused.Reasons, ", "))
	}
	return fmt.Sprintf("0/%d nodes are available: %s.", total, fold(c.refusals()))
}

// fold counts reasons: "1 Insufficient cpu, 2 node(s) were unschedulable".
func fold(refusals []*framework.Status) string {
	counts := make(map[string]int)
	for i := 0; i < len(refusals); {
		s, run := refusals[i], 1 // in a row: most nodes are refused for the same reason
		for i+run < len(refusals) && refusals[i+run] == s {
			run++
		}
		if i += run; s != nil {
			for _, r := range s.Reasons {
				counts[r] += run
			}
		}
	}
	var parts []string
	for reason, n := range counts {
		parts = append(parts, fmt.Sprintf("%d %s", n, reason))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}
