// Package lifecycle decides what happens to a pod on its node. Step is a pure function:
// from the pod, what was observed, and the time, to a plan of actions and a status. The
// Table is the whole life of a pod on one screen; the first rule that applies wins.
//
// It owns no clock, no goroutine and no I/O, and never asks which event led to a call.
package lifecycle

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// State is where a pod is in its life on the node.
type State string

// The states, in the order in which a pod goes through them.
const (
	Preparing    State = "Preparing"
	Initializing State = "Initializing"
	Running      State = "Running"
	Stopping     State = "Stopping"
	Cleaning     State = "Cleaning"
	Finished     State = "Finished"
	Leaving      State = "Leaving"
	Gone         State = "Gone"
)

// Rule is one line of the table.
type Rule struct {
	State State
	When  func(*view) bool
	Do    func(*view, *Plan)
	Next  []State // the states that may follow
	Why   string
}

// Table is walked from the top; the first rule whose When holds decides.
var Table = []Rule{
	{
		State: Stopping, When: mustStopAndRuns, Do: stopAll,
		Next: []State{Cleaning},
		Why:  "the pod is deleted, refused, past its deadline or done, and containers still run: app containers first, then sidecars in reverse",
	},
	{
		State: Cleaning, When: mustStopAndHolds, Do: clean,
		Next: []State{Finished, Leaving, Gone},
		Why:  "nothing runs any more, but the node still holds network, volumes, cgroup, or containers of a deleted pod",
	},
	{
		State: Gone, When: removedFromAPI, Do: nothing,
		Next: nil,
		Why:  "the API does not have the pod and the node holds nothing of it: the worker ends",
	},
	{
		State: Leaving, When: deleted, Do: deleteWhenReported,
		Next: []State{Gone},
		Why:  "the node holds nothing of the deleted pod; once its last status is stored the API object goes",
	},
	{
		State: Finished, When: mustStop, Do: nothing,
		Next: []State{Cleaning, Leaving, Gone},
		Why:  "the pod has succeeded or failed; its exited containers stay for their logs until it is deleted",
	},
	{
		State: Preparing, When: sandboxMissing, Do: prepare,
		Next: []State{Initializing, Running, Stopping, Cleaning, Leaving, Gone},
		Why:  "namespaces, address, cgroup and volumes come before the first container",
	},
	{
		State: Initializing, When: initMissing, Do: initialize,
		Next: []State{Running, Stopping, Cleaning, Leaving, Gone},
		Why:  "init containers run one after the other, each to success; sidecars only have to be started",
	},
	{
		State: Running, When: always, Do: run,
		Next: []State{Initializing, Stopping, Cleaning, Finished, Leaving, Gone},
		Why:  "every container runs, or is restarted as its policy says; back to the start if a sidecar dies before the first app container is made",
	},
}

// Step decides what to do for pod and what to report. It reads pod and observed only.
func Step(pod *corev1.Pod, observed Observed, now time.Time) (Plan, corev1.PodStatus) {
	v := newView(pod, observed, now)
	var plan Plan
	for _, rule := range Table {
		if rule.When(v) {
			plan.State = rule.State
			rule.Do(v, &plan)
			break
		}
	}
	if at := v.deadline(); !at.IsZero() && now.Before(at) && !v.mustStop() {
		plan.wakeAt(at)
	}
	status := v.status()
	if !v.freshUntil.IsZero() {
		plan.wakeAt(v.freshUntil)
	}
	return plan, status
}

func always(*view) bool           { return true }
func nothing(*view, *Plan)        {}
func removedFromAPI(v *view) bool { return v.Removed }
func deleted(v *view) bool        { return v.pod.DeletionTimestamp != nil }
func mustStop(v *view) bool       { return v.mustStop() }

func mustStopAndRuns(v *view) bool  { return v.mustStop() && v.anyAlive() }
func mustStopAndHolds(v *view) bool { return v.mustStop() && v.holds() }
func sandboxMissing(v *view) bool   { return !v.Sandbox.Ready }
func initMissing(v *view) bool      { return !v.initialized() }
