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
	Time      time.Time         `json:"time"`
	Node      string            `json:"node,omitempty"`    // the chosen one
	Refusal   string            `json:"refusal,omitempty"` // if there is none
	Plugins   []string          `json:"plugins"`           // that scored, in order
	Weights   []int64           `json:"weights"`
	Nodes     []NodeExplanation `json:"nodes"`
}

// NodeExplanation is one node's row: either who refused it and why, or its scores.
type NodeExplanation struct {
	Node    string   `json:"node"`
	Refused string   `json:"refused,omitempty"` // the plugin that refused
	Reasons []string `json:"reasons,omitempty"`
	Scores  []int64  `json:"scores,omitempty"` // by plugin, normalized, before their weight
	Total   int64    `json:"total"`
}

// explanations keeps the last decisions. A snapshot is immutable and shares what did not
// change with the next, so keeping it is cheap, and the table behind a decision is worked out
// only when somebody asks.
type explanations struct {
	ring  []*Decision
	next  int
	byUID map[types.UID]*Decision
}

func newExplanations(n int) *explanations {
	return &explanations{ring: make([]*Decision, n), byUID: make(map[types.UID]*Decision)}
}

func (k *explanations) keep(d *Decision) {
	if old := k.ring[k.next]; old != nil && k.byUID[old.Pod.Pod.UID] == old {
		delete(k.byUID, old.Pod.Pod.UID)
	}
	k.ring[k.next] = d
	k.byUID[d.Pod.Pod.UID] = d
	k.next = (k.next + 1) % len(k.ring)
}

// Explain returns the table behind the last decision for a pod, if it is among the last
// that are kept.
func (s *Scheduler) Explain(uid types.UID) (*Explanation, bool) {
	s.mu.Lock()
	d := s.kept.byUID[uid]
	s.mu.Unlock()
	if d == nil {
		return nil, false
	}
	return explain(s.fw, d), true
}

// explain asks the plugins again about the nodes as they were.
func explain(fw *framework.Framework, d *Decision) *Explanation {
	pod := d.Pod.Pod
	x := &Explanation{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, Time: d.at, Node: d.Node, Refusal: d.Refusal}
	e := evaluate(fw, d.Pod, d.nodes)
	if !e.refused.OK() {
		for i := range d.nodes.Len() {
			x.Nodes = append(x.Nodes, NodeExplanation{Node: d.nodes.At(i).Name, Refused: e.refused.Plugin, Reasons: e.refused.Reasons})
		}
		return x
	}
	for i, st := range e.refusals {
		row := NodeExplanation{Node: d.nodes.At(i).Name}
		if st != nil {
			row.Refused, row.Reasons = st.Plugin, st.Reasons
		}
		x.Nodes = append(x.Nodes, row)
	}
	e.add() // sizes the scratch columns and fills the totals
	for at, i := range e.passed {
		x.Nodes[i].Total = e.totals[at]
	}
	for p := range e.plugins {
		x.Plugins = append(x.Plugins, e.plugins[p].Name())
		x.Weights = append(x.Weights, e.plugins[p].Weight)
		e.normalized(p)
		for at, i := range e.passed {
			x.Nodes[i].Scores = append(x.Nodes[i].Scores, e.column[at])
		}
	}
	return x
}
