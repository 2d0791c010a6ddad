package scheduler

import (
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/pkg/explain"
	"github.com/miniorch/miniorch/scheduler/framework"
)

// explanations keeps the last decisions. A snapshot is immutable and shares what did not
// change with the next, so keeping it is cheap, and the table behind a decision is worked out
// only when somebody asks.
type explanations struct {
	ring  []*Decision
	next  int
	byUID map[types.UID][]*Decision // the oldest first
}

func newExplanations(n int) *explanations {
	return &explanations{ring: make([]*Decision, n), byUID: make(map[types.UID][]*Decision)}
}

func (k *explanations) keep(d *Decision) {
	if old := k.ring[k.next]; old != nil {
		uid := old.Pod.Pod.UID
		if k.byUID[uid] = k.byUID[uid][1:]; len(k.byUID[uid]) == 0 {
			delete(k.byUID, uid)
		}
	}
	k.ring[k.next] = d
	k.byUID[d.Pod.Pod.UID] = append(k.byUID[d.Pod.Pod.UID], d)
	k.next = (k.next + 1) % len(k.ring)
}

// Explain returns the table behind the last decision for a pod, if it is among the last
// that are kept.
func (s *Scheduler) Explain(uid types.UID) (*explain.Table, bool) {
	s.mu.Lock()
	all := s.kept.byUID[uid]
	s.mu.Unlock()
	if len(all) == 0 {
		return nil, false
	}
	return tableOf(all[len(all)-1]), true
}

// table is an explain.Table that is being filled.
type table struct{ *explain.Table }

// tableOf asks the plugins again about the nodes as they were.
func tableOf(d *Decision) *explain.Table {
	pod := d.Pod.Pod
	x := table{&explain.Table{
		Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, Profile: d.fw.SchedulerName(), Time: d.at,
		Node: d.Node, Refusal: d.Refusal, Filters: d.fw.FilterNames(), Scores: []explain.Score{}, Preemption: d.preemption,
	}}
	c := newMind().weighAs(d, d.Pod, d.nodes)
	if !c.refused.OK() {
		for i := range d.nodes.Len() {
			x.Nodes = append(x.Nodes, explain.Row{Node: d.nodes.At(i).Name, Refused: refusedBy(c.refused)})
		}
		return x.Table
	}
	for i, st := range c.refusals() {
		row := explain.Row{Node: d.nodes.At(i).Name}
		if st != nil {
			row.Refused = c.allRefusals(i, st)
		}
		x.Nodes = append(x.Nodes, row)
	}
	x.addScores(c)
	if d.opinion != nil && len(d.opinion.bonus) > 0 {
		x.Scores = append(x.Scores, explain.Score{Plugin: "extenders", Weight: 1})
		for _, i := range c.left {
			add(&x.Nodes[i], d.opinion.bonus[x.Nodes[i].Node], 1)
		}
	}
	return x.Table
}

func refusedBy(st *framework.Status) []explain.Refusal {
	return []explain.Refusal{{Plugin: st.Plugin, Reasons: st.Reasons}}
}

// allRefusals returns the refusal that counted, and what the other plugins hold against the node.
func (c *candidates) allRefusals(i int, first *framework.Status) []explain.Refusal {
	out := refusedBy(first)
	add := func(st *framework.Status) {
		if !st.OK() && st.Plugin != first.Plugin {
			out = append(out, explain.Refusal{Plugin: st.Plugin, Reasons: st.Reasons})
		}
	}
	for _, st := range c.fw.FilterEach(c.state, c.pod, c.nodes.At(i)) {
		add(st)
	}
	for k := range c.filters {
		add(c.filters[k].Filter(i))
	}
	return out
}

func (x table) addScores(c *candidates) {
	left, between := c.list(), make([]extremes, len(c.columns))
	for p := range c.columns {
		between[p] = c.columns[p].extremes
	}
	if c.wide {
		left = c.left
		if moved := c.normalizedOtherwise(); moved != nil {
			between = moved
		}
	}
	for p := range c.columns {
		x.Scores = append(x.Scores, explain.Score{Plugin: c.columns[p].Name(), Weight: c.columns[p].Weight})
		for _, i := range left {
			add(&x.Nodes[i], c.columns[p].score(int(i), &between[p]), c.columns[p].Weight)
		}
	}
	scores := make([]int64, len(left))
	for k := range c.scores {
		x.Scores = append(x.Scores, explain.Score{Plugin: c.scores[k].Name, Weight: c.scores[k].Weight})
		c.rank(k, scores)
		for at, i := range left {
			add(&x.Nodes[i], scores[at], c.scores[k].Weight)
		}
	}
}

func add(n *explain.Row, score, weight int64) {
	n.Scores = append(n.Scores, score)
	n.Total += weight * score
}
