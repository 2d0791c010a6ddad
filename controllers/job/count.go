package job

import (
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/controllers/names"
	"github.com/miniorch/miniorch/pkg/api"
)

// tally is a job's pods, sorted and counted.
type tally struct {
	o      observed
	status batchv1.JobStatus // what it should be

	live        []*corev1.Pod // neither ended nor told to
	terminating int           // told to end
	release     []*corev1.Pod // noted, or not to be noted: the finalizer may go
	waiting     bool          // some ended pods are not numbers yet

	succeeded, failed int // counted, noted, and those to be noted later
	completed         api.Indexes
	failedIndexes     api.Indexes
	mostTries         map[int]int         // likewise: of all its pods
	lastFailed        map[int]*corev1.Pod // per index, with back-off per index: the one with most failures behind it
	failJob           string              // why the failure policy ends the job; empty: it does not
}

// count notes pods that have ended, turns notes into numbers when the finalizer is gone,
// and sums up.
func count(o observed) *tally {
	t := &tally{o: o, status: *o.Job.Status.DeepCopy()}
	t.indexes()
	t.settleNotes()
	for _, p := range o.Pods {
		t.sort(p)
	}
	noted := len(t.notes().Succeeded) + len(t.notes().Failed)
	t.succeeded = int(t.status.Succeeded) + len(t.notes().Succeeded)
	t.failed = int(t.status.Failed) + len(t.notes().Failed)
	before := notedPods(&t.status)
	for _, p := range o.Pods {
		if tracked(p) && !before[p.UID] {
			noted += t.end(p, noted < maxNoted)
		}
	}
	if isIndexed(o.Job) {
		t.succeeded = t.completed.Len()
		t.status.Succeeded = int32(t.succeeded)
		t.status.CompletedIndexes = t.completed.String()
		if o.Job.Spec.BackoffLimitPerIndex != nil {
			t.status.FailedIndexes = ptr.To(t.failedIndexes.String())
		}
	}
	t.status.Active, t.status.Terminating = int32(len(t.live)), ptr.To(int32(t.terminating))
	ready := int32(0)
	for _, p := range t.live {
		if api.IsPodReady(p) {
			ready++
		}
	}
	t.status.Ready = &ready
	return t
}

// notes are the ended pods that are not numbers yet.
func (t *tally) notes() *batchv1.UncountedTerminatedPods {
	if t.status.UncountedTerminatedPods == nil {
		t.status.UncountedTerminatedPods = &batchv1.UncountedTerminatedPods{}
	}
	return t.status.UncountedTerminatedPods
}

// settleNotes makes numbers of the notes whose pods have lost their finalizer.
func (t *tally) settleNotes() {
	held := map[types.UID]*corev1.Pod{}
	for _, p := range t.o.Pods {
		if tracked(p) {
			held[p.UID] = p
		}
	}
	settle := func(notes []types.UID, counter *int32) []types.UID {
		var left []types.UID
		for _, uid := range notes {
			if p := held[uid]; p != nil {
				left = append(left, uid)
				t.release = append(t.release, p)
				t.waiting = true
			} else {
				*counter++
			}
		}
		return left
	}
	n := t.notes()
	n.Succeeded = settle(n.Succeeded, &t.status.Succeeded)
	n.Failed = settle(n.Failed, &t.status.Failed)
}

// indexes reads what the status knows of indexes and adds what the pods tell. That an index
// succeeded can be told twice without harm, so such pods need no notes.
func (t *tally) indexes() {
	j := t.o.Job
	if !isIndexed(j) {
		return
	}
	limit := t.completions()
	// What is in the status was written here and parses; limits that shrank cut it.
	t.completed = parse(j.Status.CompletedIndexes).Below(limit)
	t.failedIndexes = parse(ptr.Deref(j.Status.FailedIndexes, "")).Below(limit)
	var done []int
	for _, p := range t.o.Pods {
		if i := indexOf(p); i != noIndex && i < limit && tracked(p) && p.Status.Phase == corev1.PodSucceeded && !t.failedIndexes.Has(i) {
			done = append(done, i)
		}
	}
	t.completed = t.completed.Union(api.IndexesOf(done...))
	if j.Spec.BackoffLimitPerIndex != nil {
		t.failIndexes(limit)
	}
}

func parse(text string) api.Indexes {
	all, err := api.ParseIndexes(text, maxIndex)
	if err != nil { // another's doing; the pods will be counted anew
		return api.Indexes{}
	}
	return all
}

// maxIndex is beyond the greatest index there can be.
const maxIndex = 1 << 31

// failIndexes finds the indexes that have failed too often, and the last failed pod of each.
func (t *tally) failIndexes(limit int) {
	t.lastFailed, t.mostTries = map[int]*corev1.Pod{}, map[int]int{}
	var lost []int
	for _, p := range t.o.Pods {
		i := indexOf(p)
		t.mostTries[i] = max(t.mostTries[i], tries(p))
		if i == noIndex || i >= limit || t.completed.Has(i) || !hasFailed(p, t.o.Job) || isLetGo(p) {
			continue
		}
		if before := t.lastFailed[i]; before == nil || tries(p) > tries(before) {
			t.lastFailed[i] = p
		}
		if t.hasEnd() {
			continue // it was told to end, which says nothing of its index
		}
		verdict := judge(t.o.Job, p)
		counted, _ := failuresOf(p)
		if verdict.Action == batchv1.PodFailurePolicyActionFailIndex || verdict.counts() && counted >= int(*t.o.Job.Spec.BackoffLimitPerIndex) {
			lost = append(lost, i)
		}
	}
	t.failedIndexes = t.failedIndexes.Union(api.IndexesOf(lost...))
}

func tries(p *corev1.Pod) int {
	counted, ignored := failuresOf(p)
	return counted + ignored
}

func (t *tally) completions() int { return int(ptr.Deref(t.o.Job.Spec.Completions, 0)) }

// sort puts a pod among those that live or that are told to end.
func (t *tally) sort(p *corev1.Pod) {
	switch {
	case api.IsPodActive(p):
		t.live = append(t.live, p)
	case isTerminating(p):
		t.terminating++
	}
}

// end notes a pod that has ended, if there is room, and lets it go if it is not to be counted. It
// returns how many notes it made.
func (t *tally) end(p *corev1.Pod, room bool) (made int) {
	j := t.o.Job
	indexed, i := isIndexed(j), indexOf(p)
	strange := indexed && (i == noIndex || i >= t.completions()) // of a larger job, perhaps
	switch {
	case p.Status.Phase == corev1.PodSucceeded && (strange || indexed):
		t.release = append(t.release, p)
	case p.Status.Phase == corev1.PodSucceeded:
		t.succeeded++
		return t.note(p, &t.notes().Succeeded, room)
	case !hasFailed(p, j):
		if j.DeletionTimestamp != nil && p.DeletionTimestamp != nil {
			t.release = append(t.release, p)
		}
	case strange:
		t.release = append(t.release, p)
	default:
		return t.fail(p, i, room)
	}
	return 0
}

func (t *tally) fail(p *corev1.Pod, index int, room bool) (made int) {
	v := judge(t.o.Job, p)
	if v.Action == batchv1.PodFailurePolicyActionFailJob && t.failJob == "" {
		t.failJob = v.Message
	}
	if v.counts() {
		t.failed++
	}
	switch {
	case t.carriesCount(p, index):
		t.waiting = true // its successor must learn from it how often the index has failed
	case v.counts():
		return t.note(p, &t.notes().Failed, room)
	default:
		t.release = append(t.release, p)
	}
	return 0
}

// carriesCount tells whether a failed pod is the only one that knows how often its index has
// failed: until its successor exists it must not go.
func (t *tally) carriesCount(p *corev1.Pod, index int) bool {
	if t.o.Job.DeletionTimestamp != nil || t.lastFailed[index] != p || t.failedIndexes.Has(index) || t.hasEnd() {
		return false
	}
	return t.mostTries[index] == tries(p)
}

// hasEnd tells whether the status says already that the job is about to end.
func (t *tally) hasEnd() bool {
	return api.JobConditionTrue(&t.status, batchv1.JobFailureTarget) || api.JobConditionTrue(&t.status, batchv1.JobSuccessCriteriaMet)
}

func (t *tally) note(p *corev1.Pod, list *[]types.UID, room bool) int {
	t.waiting = true
	if !room {
		return 0
	}
	*list = append(*list, p.UID)
	t.release = append(t.release, p)
	return 1
}

// misfits returns the live pods that work on nothing that is wanted, and the others: those that were let go before
// and not deleted, and in an indexed job those without an index, with one that is done or
// failed or beyond the end, or with another's.
func (t *tally) misfits() (bad, good []*corev1.Pod) {
	taken := map[int]bool{}
	sorted := slices.Clone(t.live)
	slices.SortFunc(sorted, func(a, b *corev1.Pod) int { return dispensable(b, a) })
	for _, p := range sorted {
		i := indexOf(p)
		switch {
		case !tracked(p):
			bad = append(bad, p)
		case isIndexed(t.o.Job) && (i == noIndex || i >= t.completions() || taken[i] || t.completed.Has(i) || t.failedIndexes.Has(i)):
			bad = append(bad, p)
		default:
			taken[i] = true
			good = append(good, p)
		}
	}
	return bad, good
}

func leastWorthy(pods []*corev1.Pod, n int) []*corev1.Pod {
	sorted := slices.Clone(pods)
	slices.SortFunc(sorted, dispensable)
	return sorted[:n]
}

func (t *tally) freeNames(n int) []string { return names.Free(t.o.Free, n, t.o.Pods) }

// createIndexes makes pods for the first indexes that nobody works on and that need not wait.
func (t *tally) createIndexes(plan *Plan, count int) {
	j, perIndex := t.o.Job, t.o.Job.Spec.BackoffLimitPerIndex != nil
	if !perIndex {
		if wait := backoff(t.o); wait > 0 {
			plan.wakeAfter(wait)
			return
		}
	}
	busy, byIndex := map[int]bool{}, map[int][]*corev1.Pod{}
	for _, p := range t.o.Pods {
		i := indexOf(p)
		byIndex[i] = append(byIndex[i], p)
		if api.IsPodActive(p) || replacesOnlyFailed(j) && isTerminating(p) {
			busy[i] = true
		}
	}
	for i := 0; i < t.completions() && len(plan.Create) < count; i++ {
		if busy[i] || t.completed.Has(i) || t.failedIndexes.Has(i) {
			continue
		}
		c := Creation{Name: nextNameOf(j, i, byIndex[i]), Index: i}
		if last := t.lastFailed[i]; last != nil {
			c.Failures, c.Ignored = failuresOf(last)
			if judge(j, last).counts() {
				c.Failures++
			} else {
				c.Ignored++
			}
			wait := endOf(last, t.o.Now).Add(delayAfter(c.Failures + c.Ignored)).Sub(t.o.Now)
			if wait > 0 {
				plan.wakeAfter(wait)
				continue
			}
		}
		plan.Create = append(plan.Create, c)
	}
}
