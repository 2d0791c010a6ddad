package job

import (
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/pkg/api"
)

const (
	// burst is how many pods one reconcile creates or deletes at most.
	burst = 500
	// maxNoted is how many ended pods a status notes at a time, so that it stays small.
	maxNoted = 500
)

// Creation is a pod to be made.
type Creation struct {
	Name              string
	Index             int // noIndex: none
	Failures, Ignored int // of the index so far
}

// Happening is an event to be recorded when the status that tells the same is written.
type Happening struct{ Type, Reason, Message string }

// Plan is what is to be done about one job, in this order.
type Plan struct {
	Status  *batchv1.JobStatus // to be written; nil: it says so already
	Events  []Happening
	Release []*corev1.Pod // ended and noted: their finalizers go
	Drop    []*corev1.Pod // surplus: they go without being counted
	Delete  []*corev1.Pod // of a job that ends: they go and are counted
	Create  []Creation
	Remove  bool          // the finished job's time is up
	After   time.Duration // when to look again
}

// String prints the plan.
func (p Plan) String() string {
	s := fmt.Sprintf("create %d, delete %d, drop %d, release %d", len(p.Create), len(p.Delete), len(p.Drop), len(p.Release))
	if p.Status != nil {
		s += fmt.Sprintf("; %d active, %d succeeded, %d failed", p.Status.Active, p.Status.Succeeded, p.Status.Failed)
	}
	for _, e := range p.Events {
		s += "; " + e.Reason
	}
	if p.Remove {
		s += "; remove the job"
	}
	return s
}

// Empty tells whether there is nothing to do now.
func (p Plan) Empty() bool {
	return p.Status == nil && len(p.Release)+len(p.Drop)+len(p.Delete)+len(p.Create) == 0 && !p.Remove
}

// observed is what is decided from.
type observed struct {
	Job     *batchv1.Job
	Pods    []*corev1.Pod // all that the job controls
	Free    []string      // names that no pod of the job is known to have had
	Settled bool          // all that was created and deleted here is in view
	Now     time.Time
}

// decide brings a job a step nearer to its end.
func decide(o observed) Plan {
	if api.IsJobFinished(o.Job) {
		return decideFinished(o)
	}
	t := count(o)
	plan := Plan{Release: t.release}
	t.startOrSuspend(&plan)
	t.findEnd(&plan)
	switch {
	case o.Job.DeletionTimestamp != nil: // its pods are the garbage collector's
	case t.ending():
		plan.Delete = firstOf(t.live, burst)
	case o.Settled:
		t.manage(&plan)
	}
	t.finish(&plan)
	if !equality.Semantic.DeepEqual(t.status, o.Job.Status) {
		plan.Status = &t.status
	}
	return plan
}

func firstOf(pods []*corev1.Pod, n int) []*corev1.Pod { return pods[:min(n, len(pods))] }

// decideFinished lets go of what is left of a job that has ended, and of the job in time.
func decideFinished(o observed) Plan {
	var plan Plan
	for _, p := range o.Pods {
		if api.IsPodActive(p) {
			plan.Drop = append(plan.Drop, p)
		} else if tracked(p) {
			plan.Release = append(plan.Release, p)
		}
	}
	ttl := o.Job.Spec.TTLSecondsAfterFinished
	if ttl == nil || o.Job.DeletionTimestamp != nil {
		return plan
	}
	left := finishedAt(o.Job).Add(time.Duration(*ttl) * time.Second).Sub(o.Now)
	plan.Remove = left <= 0
	plan.After = max(0, left)
	return plan
}

func finishedAt(j *batchv1.Job) time.Time {
	for _, t := range []batchv1.JobConditionType{batchv1.JobComplete, batchv1.JobFailed} {
		if c := api.JobCondition(&j.Status, t); c != nil && c.Status == corev1.ConditionTrue {
			return c.LastTransitionTime.Time
		}
	}
	return time.Time{}
}

// manage compares the pods that live with those that are wanted.
func (t *tally) manage(plan *Plan) {
	j := t.o.Job
	if ptr.Deref(j.Spec.Suspend, false) {
		plan.Drop = firstOf(t.live, burst)
		return
	}
	surplus, good := t.misfits()
	want := t.wanted(len(good))
	if len(good) > want {
		surplus = append(surplus, leastWorthy(good, len(good)-want)...)
	}
	if len(surplus) > 0 {
		plan.Drop = firstOf(surplus, burst)
		return
	}
	missing := want - len(good)
	if replacesOnlyFailed(j) {
		missing -= t.terminating
	}
	if missing <= 0 {
		return
	}
	missing = min(missing, burst)
	if isIndexed(j) {
		t.createIndexes(plan, missing)
		return
	}
	if wait := backoff(t.o); wait > 0 {
		plan.wakeAfter(wait)
		return
	}
	for _, name := range t.freeNames(missing) {
		plan.Create = append(plan.Create, Creation{Name: name, Index: noIndex})
	}
}

// wanted is how many pods should be alive.
func (t *tally) wanted(alive int) int {
	j := t.o.Job
	parallel := int(ptr.Deref(j.Spec.Parallelism, 1))
	if j.Spec.Completions == nil {
		if t.succeeded > 0 { // the queue is empty: those that still work may end
			return min(alive, parallel)
		}
		return parallel
	}
	return max(0, min(int(*j.Spec.Completions)-t.succeeded-t.failedIndexes.Len(), parallel))
}

// wakeAfter asks for another look, unless an earlier one is asked for.
func (p *Plan) wakeAfter(d time.Duration) {
	if d > 0 && (p.After == 0 || d < p.After) {
		p.After = d
	}
}
