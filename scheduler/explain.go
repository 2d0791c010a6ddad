package scheduler

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/scheduler/framework"
)

// Explanation is the table behind a decision: what every plugin said of every node.
type Explanation struct {
	Namespace string            `json:"namespace"`
	Name      string            `json:"name"`
	UID       types.UID         `json:"uid"`
	Profile   string            `json:"profile"`
	Time      time.Time         `json:"time"`
	Node      string            `json:"node,omitempty"`    // the chosen one
	Refusal   string            `json:"refusal,omitempty"` // if there is none
	Filters   []string          `json:"filters"`           // plugins that pass or refuse nodes, in order
	Scores    []ExplainedScore  `json:"scores"`            // plugins that scored, in order
	Nodes     []NodeExplanation `json:"nodes"`
	// Preemption is where room could have been made for the pod, the best place first.
	Preemption []framework.Candidate `json:"preemption,omitempty"`
}

// ExplainedScore is a plugin that scored, with its weight.
type ExplainedScore struct {
	Plugin string `json:"plugin"`
	Weight int64  `json:"weight"`
}

// NodeExplanation is one node's row: who refuses it and why, or its scores.
type NodeExplanation struct {
	Node    string            `json:"node"`
	Refused []PluginRefusal   `json:"refused,omitempty"` // by all who do, the one that counted first
	Scores  []int64           `json:"scores,omitempty"`  // by plugin, normalized, before their weight
	Total   int64             `json:"total"`
	why     *framework.Status // the first refusal
}

// PluginRefusal is what one plugin holds against a node.
type PluginRefusal struct {
	Plugin  string   `json:"plugin"`
	Reasons []string `json:"reasons"`
}

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
func (s *Scheduler) Explain(uid types.UID) (*Explanation, bool) {
	s.mu.Lock()
	all := s.kept.byUID[uid]
	s.mu.Unlock()
	if len(all) == 0 {
		return nil, false
	}
	return explain(all[len(all)-1]), true
}

// explain asks the plugins again about the nodes as they were.
func explain(d *Decision) *Explanation {
	pod := d.Pod.Pod
	x := &Explanation{
		Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, Profile: d.fw.SchedulerName(), Time: d.at,
		Node: d.Node, Refusal: d.Refusal, Filters: d.fw.FilterNames(), Scores: []ExplainedScore{}, Preemption: d.preemption,
	}
	m := newMind()
	c := m.weigh(d.fw, d.Pod, "", d.nodes)
	if !c.refused.OK() {
		for i := range d.nodes.Len() {
			x.Nodes = append(x.Nodes, NodeExplanation{Node: d.nodes.At(i).Name, Refused: refusedBy(c.refused), why: c.refused})
		}
		return x
	}
	for i, st := range c.refusals() {
		row := NodeExplanation{Node: d.nodes.At(i).Name, why: st}
		if st != nil {
			row.Refused = c.allRefusals(i, st)
		}
		x.Nodes = append(x.Nodes, row)
	}
	x.addScores(c)
	return x
}

func refusedBy(st *framework.Status) []PluginRefusal {
	return []PluginRefusal{{st.Plugin, st.Reasons}}
}

// allRefusals returns the refusal that counted, and what the other plugins hold against the node.
func (c *candidates) allRefusals(i int, first *framework.Status) []PluginRefusal {
	out := refusedBy(first)
	add := func(st *framework.Status) {
		if !st.OK() && st.Plugin != first.Plugin {
			out = append(out, PluginRefusal{st.Plugin, st.Reasons})
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

func (x *Explanation) addScores(c *candidates) {
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
		x.Scores = append(x.Scores, ExplainedScore{c.columns[p].Name(), c.columns[p].Weight})
		for _, i := range left {
			x.Nodes[i].add(c.columns[p].score(int(i), &between[p]), c.columns[p].Weight)
		}
	}
	scores := make([]int64, len(left))
	for k := range c.scores {
		x.Scores = append(x.Scores, ExplainedScore{c.scores[k].Name, c.scores[k].Weight})
		c.rank(k, scores)
		for at, i := range left {
			x.Nodes[i].add(scores[at], c.scores[k].Weight)
		}
	}
}

func (n *NodeExplanation) add(score, weight int64) {
	n.Scores = append(n.Scores, score)
	n.Total += weight * score
}
