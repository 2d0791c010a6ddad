package scheduler

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/scheduler/framework"
)

// evaluation is what the plugins that look at one node at a time say of every node for one
// pod, and so for every pod with the same signature. When nodes change only those are asked
// about again, and only their sums are worked out anew.
type evaluation struct {
	fw      *framework.Framework
	pod     *framework.PodInfo
	self    types.UID // whose nomination does not count; empty: all count
	nodes   framework.Snapshot
	state   *framework.CycleState
	refused *framework.Status // the pod as a whole, by PreFilter or PreScore

	refusals []*framework.Status // by position of the node; nil: it passed
	columns  []column
	totals   tournament // of the nodes that passed: weighted sums of normalized scores
	passed   []int32    // positions, ascending; see list
	listed   bool
}

// evaluate asks the plugins about all nodes, but for what they have answered before.
func (m *mind) evaluate(fw *framework.Framework, pod *framework.PodInfo, self types.UID, nodes framework.Snapshot) *evaluation {
	e := m.blank()
	e.fw, e.pod, e.self, e.nodes, e.state = fw, pod, self, nodes, framework.NewCycleState()
	if e.refused = fw.PreFilter(e.state, pod, nodes); !e.refused.OK() {
		return e
	}
	if e.refused = fw.PreScore(e.state, pod, nodes); !e.refused.OK() {
		return e
	}
	e.makeRoom(nodes.Len(), fw.Scores(e.state))
	if only, others := e.state.Restricted(); only != nil {
		e.askOnly(only, others)
	} else {
		m.askAll(e)
	}
	e.addAll()
	return e
}

// blank returns an evaluation to fill, with the room of one that is not needed any more.
func (m *mind) blank() *evaluation {
	e := m.spare
	if m.spare = nil; e == nil {
		e = &evaluation{}
	}
	return e
}

// makeRoom makes room for answers about n nodes.
func (e *evaluation) makeRoom(n int, scores []framework.WeightedScore) {
	e.refusals = slices.Grow(e.refusals[:0], n)[:n]
	room := e.columns[:cap(e.columns)]
	e.columns = e.columns[:0]
	for p, s := range scores {
		c := column{WeightedScore: s}
		if p < len(room) {
			c.raw = room[p].raw
		}
		c.raw = slices.Grow(c.raw[:0], n)[:n]
		c.normalizer, _ = s.Score.(framework.Normalizer)
		e.columns = append(e.columns, c)
	}
}

// askAll asks about all nodes, one plugin after the other, but for what they have answered before.
func (m *mind) askAll(e *evaluation) {
	clear(e.refusals)
	for _, f := range e.fw.Filters(e.state) {
		e.refuse(m.answers.refusalsOf(e, f))
	}
	for i, n := range e.nodes.All() {
		if len(n.Nominated) > 0 && e.refusals[i] == nil {
			e.refusals[i] = e.filter(n)
		}
	}
	for p := range e.columns {
		e.score(&e.columns[p], m.answers.scoresOf(e, e.columns[p].Score))
	}
}

// refuse takes what a plugin says of the nodes that nobody before it has refused.
func (e *evaluation) refuse(from source[*framework.Status]) {
	for i, s := range from.known {
		if s != nil && e.refusals[i] == nil {
			e.refusals[i] = s
		}
	}
	if from.known != nil {
		return
	}
	for i, n := range e.nodes.All() {
		if e.refusals[i] == nil {
			e.refusals[i] = from.ask(n)
		}
	}
}

// score takes the raw scores of the nodes that passed.
func (e *evaluation) score(c *column, from source[int64]) {
	if from.known != nil {
		copy(c.raw, from.known)
		return
	}
	for i, n := range e.nodes.All() {
		if e.refusals[i] == nil {
			c.raw[i] = from.ask(n)
		}
	}
}

// askOnly asks about the nodes that alone are worth it.
func (e *evaluation) askOnly(only map[string]bool, others *framework.Status) {
	for i := range e.refusals {
		e.refusals[i] = others
	}
	for name := range only {
		if i := e.nodes.Position(name); i >= 0 {
			e.ask(i)
		}
	}
}

// ask asks the plugins about the node at i.
func (e *evaluation) ask(i int) {
	node := e.nodes.At(i)
	if e.refusals[i] = e.filter(node); e.refusals[i] != nil {
		return
	}
	for p := range e.columns {
		e.columns[p].raw[i] = e.columns[p].Score.Score(e.state, e.pod, node)
	}
}

// filter asks about a node as it is, and as it will be with the pods for which room is made.
func (e *evaluation) filter(node *framework.NodeInfo) *framework.Status {
	s := e.fw.Filter(e.state, e.pod, node)
	if s == nil {
		if with := e.withNominated(node); with != node {
			s = e.fw.Filter(e.state, e.pod, with)
		}
	}
	return s
}

// withNominated returns the node with the nominated pods that go before this one.
func (e *evaluation) withNominated(node *framework.NodeInfo) *framework.NodeInfo {
	return withNominated(node, e.pod.Priority, e.self)
}

func withNominated(node *framework.NodeInfo, priority int32, self types.UID) *framework.NodeInfo {
	for _, p := range node.Nominated {
		if p.Priority >= priority && p.Pod.UID != self {
			node = node.WithPod(p)
		}
	}
	return node
}

// addAll works out extremes and totals from all raw scores.
func (e *evaluation) addAll() {
	e.listed = false
	e.totals.reset(len(e.refusals))
	passed := int64(0)
	for i, s := range e.refusals {
		if s == nil {
			e.totals.put(i, 0)
			passed++
		}
	}
	for p := range e.columns {
		e.columns[p].measure(e.refusals)
		e.columns[p].addTo(e.totals.numbers(), passed)
	}
	e.totals.build()
}

// total returns the weighted sum of the normalized scores of the node at i.
func (e *evaluation) total(i int) (sum int64) {
	for p := range e.columns {
		sum += e.columns[p].Weight * e.columns[p].score(i, &e.columns[p].extremes)
	}
	return sum
}

// update brings the evaluation up to a later snapshot; false means that it must be made anew,
// because nodes came or went or what PreScore knows is out of date.
func (e *evaluation) update(nodes framework.Snapshot) bool {
	before := e.nodes
	if !nodes.SameNodes(before) {
		return false
	}
	e.nodes = nodes
	if !e.refused.OK() {
		return true
	}
	moved, aged := false, false // moved: an extreme, so that no total can be trusted
	nodes.ChangedSince(before, func(i int, was, now *framework.NodeInfo) {
		moved = e.again(i) || moved
		aged = aged || e.fw.Ages(e.pod, was, now)
	})
	if aged {
		return false
	}
	if moved {
		e.addAll()
	}
	return true
}

// again asks about a node that changed. It reports whether an extreme moved; if not, the
// node's total is right again.
func (e *evaluation) again(i int) (moved bool) {
	if only, _ := e.state.Restricted(); only != nil && !only[e.nodes.At(i).Name] {
		return false
	}
	passed := e.refusals[i] == nil
	if passed {
		for p := range e.columns {
			if c := &e.columns[p]; c.normalizer != nil {
				moved = c.leave(c.raw[i]) || moved
			}
		}
	}
	e.ask(i)
	passes := e.refusals[i] == nil
	e.listed = e.listed && passed == passes
	if !passes {
		e.totals.drop(i)
		return moved
	}
	for p := range e.columns {
		if c := &e.columns[p]; c.normalizer != nil {
			moved = c.enter(c.raw[i]) || moved
		}
	}
	e.totals.set(i, e.total(i))
	return moved
}

// list returns the positions of the nodes that passed.
func (e *evaluation) list() []int32 {
	if !e.listed {
		e.passed, e.listed = e.passed[:0], true
		for i, s := range e.refusals {
			if s == nil {
				e.passed = append(e.passed, int32(i))
			}
		}
	}
	return e.passed
}
