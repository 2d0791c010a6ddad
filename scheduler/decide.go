package scheduler

import (
	"fmt"
	"time"

	"github.com/miniorch/miniorch/scheduler/framework"
)

// Decision is what was decided for a pod, from one snapshot of the nodes.
type Decision struct {
	Pod      *framework.PodInfo
	Node     string // empty: none is good
	Score    int64
	Passed   int    // nodes that the pod could run on
	Refusal  string // why there is none, in the words that people know
	nodes    framework.Snapshot
	state    *framework.CycleState // shared with pods of the same signature
	position int                   // of Node
	at       time.Time
}

// String returns the decision as decision records show it.
func (d *Decision) String() string {
	if d.Node == "" {
		return "leave unscheduled: " + d.Refusal
	}
	return fmt.Sprintf("bind to %s: score %d, %d of %d nodes passed", d.Node, d.Score, d.Passed, d.nodes.Len())
}

// decide finds the best node for a pod. shared remembers what the plugins said for pods
// with the same signature; the decision is the same without it.
func decide(shared *evaluations, fw *framework.Framework, pod *framework.PodInfo, signature string, nodes framework.Snapshot, rand func() float64) *Decision {
	e := shared.of(fw, pod, signature, nodes)
	d := &Decision{Pod: pod, nodes: nodes, state: e.state, Passed: len(e.passed)}
	at, score, ok := e.best(rand)
	if !ok {
		d.Refusal = e.why()
		return d
	}
	d.Node, d.position, d.Score = nodes.At(at).Name, at, score
	return d
}
