// Package defaultpreemption makes room for a pod that fits nowhere: it chooses the node where
// the least harm is done, evicts pods of lower priority there, and the pod is nominated to
// the node until they are gone. It evicts nobody while it decides: that is Work for later.
package defaultpreemption

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/utils/clock"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/explain"
	"github.com/miniorch/miniorch/scheduler/framework"
)

const name = "DefaultPreemption"

// Args tunes how many nodes are compared: at least this share of all, and at least so many.
type Args struct {
	MinCandidateNodesPercentage int32 // default 10
	MinCandidateNodesAbsolute   int32 // default 100
}

// Recorder tells users what has happened to a pod.
type Recorder interface {
	Event(obj api.Object, kind, reason, format string, args ...any)
}

// Budgets returns the disruption budgets of a namespace.
type Budgets func(namespace string) []*policyv1.PodDisruptionBudget

// Plugin is DefaultPreemption.
type Plugin struct {
	args      Args
	transport client.Transport
	budgets   Budgets
	recorder  Recorder
	clock     clock.PassiveClock
}

// New returns the plugin. It evicts through t.
func New(args Args, t client.Transport, budgets Budgets, recorder Recorder, c clock.PassiveClock) Plugin {
	if args.MinCandidateNodesPercentage == 0 && args.MinCandidateNodesAbsolute == 0 {
		args = Args{MinCandidateNodesPercentage: 10, MinCandidateNodesAbsolute: 100}
	}
	return Plugin{args: args, transport: t, budgets: budgets, recorder: recorder, clock: c}
}

// Name returns the plugin's name.
func (Plugin) Name() string { return name }

// PostFilter chooses whom to evict.
func (p Plugin) PostFilter(a *framework.Attempt) (*framework.Nomination, *framework.Status) {
	if p := a.Pod.Pod.Spec.PreemptionPolicy; p != nil && *p == corev1.PreemptNever {
		return nil, framework.Refuse("not eligible due to preemptionPolicy=Never.")
	}
	if leaving(a) {
		return &framework.Nomination{Node: a.Nominated}, nil
	}
	all, why := p.candidates(a)
	if len(all) == 0 {
		return nil, framework.Refuse(why)
	}
	if a.Consult != nil {
		var err error
		if all, err = a.Consult(all); err != nil {
			return nil, framework.Fail(err)
		}
		if len(all) == 0 {
			return nil, framework.Refuse("no candidate node for preemption.")
		}
		for _, c := range all {
			slices.SortStableFunc(c.Victims, moreImportant)
		}
	}
	best := choose(all)
	if begun := slices.IndexFunc(all, func(c *framework.Candidate) bool { return c.Node.Name == a.Nominated }); begun >= 0 {
		best = all[begun] // what we see may be old: others may have been evicted there than we know of
	}
	n := &framework.Nomination{Node: best.Node.Name, Work: p.evict(a.Pod, best), Candidates: described(best, all)}
	n.Reason = fmt.Sprintf("preempt %d pods on %s", len(best.Victims), best.Node.Name)
	return n, nil
}

// leaving reports whether pods that were evicted for this one are still on their way out, on a
// node that would do without them: then there is nothing to do but wait.
func leaving(a *framework.Attempt) bool {
	at := a.Nodes.Position(a.Nominated)
	if a.Nominated == "" || at < 0 || a.Refusals[at] != nil && a.Refusals[at].Code == framework.Unresolvable {
		return false
	}
	for _, q := range a.Nodes.At(at).Pods {
		if q.Priority < a.Pod.Priority && evicted(q) {
			return true
		}
	}
	return false
}

// evicted reports whether the pod is on its way out to make room for another.
func evicted(q *framework.PodInfo) bool {
	if q.Pod.DeletionTimestamp == nil {
		return false
	}
	c := api.PodCondition(q.Pod, corev1.DisruptionTarget)
	return c != nil && c.Reason == corev1.PodReasonPreemptionByScheduler
}

// described lists candidates for people, the chosen one first.
func described(best *framework.Candidate, all []*framework.Candidate) []explain.Candidate {
	out := []explain.Candidate{best.Describe()}
	for _, c := range all {
		if c != best && len(out) < 100 {
			out = append(out, c.Describe())
		}
	}
	return out
}
