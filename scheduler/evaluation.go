package scheduler

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/miniorch/miniorch/scheduler/framework"
)

// evaluation is what the plugins say of every node for one pod, and so for every pod with
// the same signature. When nodes change only those are asked about again.
type evaluation struct {
	fw      *framework.Framework
	pod     *framework.PodInfo
	nodes   framework.Snapshot
	state   *framework.CycleState
	refused *framework.Status // the pod as a whole, by PreFilter or PreScore

	refusals []*framework.Status // by position of the node; nil: it passed
	plugins  []framework.WeightedScore
	raw      [][]int64 // by plugin, then by position; only of nodes that passed
	passed   []int32   // positions, ascending
	words    string    // why nothing passed; empty: not worked out yet

	totals, column []int64 // scratch, by place in passed
}

// evaluate asks the plugins about all nodes.
func evaluate(fw *framework.Framework, pod *framework.PodInfo, nodes framework.Snapshot) *evaluation {
	e := &evaluation{fw: fw, pod: pod, nodes: nodes, state: framework.NewCycleState()}
	if e.refused = fw.PreFilter(e.state, pod, nodes); !e.refused.OK() {
		return e
	}
	if e.refused = fw.PreScore(e.state, pod, nodes); !e.refused.OK() {
		return e
	}
	e.refusals = make([]*framework.Status, nodes.Len())
	e.plugins = fw.Scores(e.state)
	e.raw = make([][]int64, len(e.plugins))
	for p := range e.raw {
		e.raw[p] = make([]int64, nodes.Len())
	}
	for i := range nodes.Len() {
		e.ask(i)
	}
	e.list()
	return e
}

// ask asks the plugins about the node at i.
func (e *evaluation) ask(i int) {
	node := e.nodes.At(i)
	e.refusals[i] = e.fw.Filter(e.state, e.pod, node)
	if e.refusals[i] != nil {
		return
	}
	for p := range e.plugins {
		e.raw[p][i] = e.plugins[p].Score.Score(e.state, e.pod, node)
	}
}

func (e *evaluation) list() {
	e.words = ""
	e.passed = e.passed[:0]
	for i, s := range e.refusals {
		if s == nil {
			e.passed = append(e.passed, int32(i))
		}
	}
}

// update brings the evaluation up to a later snapshot; false means that it cannot, because
// nodes came or went.
func (e *evaluation) update(nodes framework.Snapshot) bool {
	if !e.refused.OK() {
		same := nodes.ChangedSince(e.nodes, func(int) {})
		e.nodes = nodes
		return same
	}
	before := e.nodes
	e.nodes = nodes
	turned := false
	same := nodes.ChangedSince(before, func(i int) {
		was := e.refusals[i]
		e.ask(i)
		turned = turned || was != e.refusals[i]
	})
	if turned {
		e.list()
	}
	return same
}

// best returns the position and score of the best node; of several equally good ones chance
// takes one. ok is false if no node passed.
func (e *evaluation) best(rand func() float64) (position int, score int64, ok bool) {
	if !e.refused.OK() || len(e.passed) == 0 {
		return 0, 0, false
	}
	e.add()
	top, ties := e.totals[0], 0
	for _, t := range e.totals {
		switch {
		case t > top:
			top, ties = t, 1
		case t == top:
			ties++
		}
	}
	skip := min(int(rand()*float64(ties)), ties-1)
	for at, t := range e.totals {
		if t != top {
			continue
		}
		if skip == 0 {
			return int(e.passed[at]), top, true
		}
		skip--
	}
	panic("scheduler: the best score has no node") // ties counts exactly these
}

// add fills totals: the weighted sum of all plugins' normalized scores.
func (e *evaluation) add() {
	n := len(e.passed)
	e.totals = slices.Grow(e.totals[:0], n)[:n]
	e.column = slices.Grow(e.column[:0], n)[:n]
	clear(e.totals)
	for p := range e.plugins {
		e.normalized(p)
		w := e.plugins[p].Weight
		for at, s := range e.column {
			e.totals[at] += w * s
		}
	}
}

// normalized fills column with one plugin's normalized scores.
func (e *evaluation) normalized(p int) {
	raw := e.raw[p]
	for at, i := range e.passed {
		e.column[at] = raw[i]
	}
	if nz, ok := e.plugins[p].Score.(framework.Normalizer); ok {
		nz.Normalize(e.column)
	}
}

// why says, in the words that people know, why no node passed.
func (e *evaluation) why() string {
	if e.words != "" {
		return e.words
	}
	total := e.nodes.Len()
	switch {
	case total == 0:
		e.words = "no nodes available to schedule pods"
	case !e.refused.OK():
		e.words = fmt.Sprintf("0/%d nodes are available: %s.", total, strings.Join(e.refused.Reasons, ", "))
	default:
		e.words = fmt.Sprintf("0/%d nodes are available: %s.", total, fold(e.refusals))
	}
	return e.words
}

// fold counts reasons: "1 Insufficient cpu, 2 node(s) were unschedulable".
func fold(refusals []*framework.Status) string {
	counts := make(map[string]int)
	for _, s := range refusals {
		if s != nil {
			for _, r := range s.Reasons {
				counts[r]++
			}
		}
	}
	var parts []string
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[reason], reason))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// evaluations keeps the latest evaluations by signature.
type evaluations struct {
	bySignature map[string]*evaluation
	order       []string // the longest unused first
}

// evaluationsKept is how many kinds of pods can take turns without being evaluated anew.
const evaluationsKept = 16

// of returns the evaluation of a pod on a snapshot, sharing what it can with earlier pods of
// the same signature. The empty signature shares with none.
func (k *evaluations) of(fw *framework.Framework, pod *framework.PodInfo, signature string, nodes framework.Snapshot) *evaluation {
	if signature == "" {
		return evaluate(fw, pod, nodes)
	}
	e := k.bySignature[signature]
	if e == nil || !e.update(nodes) {
		e = evaluate(fw, pod, nodes)
	}
	k.keep(signature, e)
	return e
}

func (k *evaluations) keep(signature string, e *evaluation) {
	if k.bySignature == nil {
		k.bySignature = make(map[string]*evaluation)
	}
	k.bySignature[signature] = e
	if n := len(k.order); n > 0 && k.order[n-1] == signature {
		return
	}
	if at := slices.Index(k.order, signature); at >= 0 {
		k.order = slices.Delete(k.order, at, at+1)
	}
	k.order = append(k.order, signature)
	if len(k.order) > evaluationsKept {
		delete(k.bySignature, k.order[0])
		k.order = slices.Delete(k.order, 0, 1)
	}
}
