package framework

import (
	"context"

	"github.com/miniorch/miniorch/pkg/explain"
)

// PostFilter is called when no node passed: it may see to it that room is made. It must not
// wait for I/O: no pod is scheduled meanwhile. The same is true for Reserve and Permit.
type PostFilter interface {
	Plugin
	PostFilter(a *Attempt) (*Nomination, *Status)
}

// Attempt is a failed attempt to find a node, as PostFilter plugins see it.
type Attempt struct {
	Pod       *PodInfo
	Nominated string // the node where room was made for it by an earlier attempt; empty: none
	Nodes     Snapshot
	Refusals  []*Status // by position of the node; of its first refuser
	Rand      func() float64
	// Try asks all filters whether the pod could run on the node at i if it were as given, and
	// all others as they are.
	Try func(i int, node *NodeInfo) *Status
	// Consult asks others, who are not plugins, about the places where room can be made: they may
	// take places out and name other victims. Nil: there is nobody to ask.
	Consult func([]*Candidate) ([]*Candidate, error)
}

// Candidate is a node on which the pod fits once the victims are gone.
type Candidate struct {
	Node       *NodeInfo
	Victims    []*PodInfo // the most important first
	Violations int        // victims that a disruption budget would spare
}

// Describe says it for people.
func (c *Candidate) Describe() explain.Candidate {
	d := explain.Candidate{Node: c.Node.Name, Violations: c.Violations}
	for _, v := range c.Victims {
		d.Victims = append(d.Victims, v.Name())
	}
	return d
}

// Nomination says on which node there will be room for the pod once Work is done and what it
// began has ended.
type Nomination struct {
	Node   string
	Reason string // for users and decision records: "preempt d/x, d/y"
	Work   func(ctx context.Context) error
	// Candidates are the places that were compared, the one that was taken first.
	Candidates []explain.Candidate
}
