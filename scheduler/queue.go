package scheduler

import (
	"container/heap"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/miniorch/miniorch/scheduler/framework"
)

const (
	backoffMin = time.Second
	backoffMax = 10 * time.Second
	// parkedMax is how long a pod stays unschedulable without anybody looking again: the
	// safety net for an event that should have woken it.
	parkedMax = 5 * time.Minute
)

// place says where in the queue a pod is.
type place int

const (
	inActive  place = iota // can be tried now
	inBackoff              // can be tried when its back-off is over
	inParked               // unschedulable until something happens
	inGated                // has scheduling gates
)

// waiter is a pod in the queue.
type waiter struct {
	framework.QueuedPod
	place     place
	seq       uint64    // the order of arrival, for pods that are equal otherwise
	ready     time.Time // inBackoff: when it is over; inParked: when it is flushed
	index     int       // in its heap
	signature string    // empty: like no other
}

// queue holds the pods that wait for a node. It has one user at a time.
type queue struct {
	fw      *framework.Framework
	clock   clock.PassiveClock
	seq     uint64
	all     map[types.UID]*waiter
	active  waiters // by the profile's QueueSort
	backoff waiters // by ready
	parked  waiters // by ready
}

func newQueue(fw *framework.Framework, c clock.PassiveClock) *queue {
	q := &queue{fw: fw, clock: c, all: make(map[types.UID]*waiter)}
	q.active.less = func(a, b *waiter) bool {
		if fw.Less(&a.QueuedPod, &b.QueuedPod) {
			return true
		}
		return a.seq < b.seq && !fw.Less(&b.QueuedPod, &a.QueuedPod)
	}
	sooner := func(a, b *waiter) bool {
		return a.ready.Before(b.ready) || a.ready.Equal(b.ready) && a.seq < b.seq
	}
	q.backoff.less, q.parked.less = sooner, sooner
	return q
}

// heapOf returns the heap of a place; gated pods are in none.
func (q *queue) heapOf(p place) *waiters {
	switch p {
	case inActive:
		return &q.active
	case inBackoff:
		return &q.backoff
	case inParked:
		return &q.parked
	}
	return nil
}

func (q *queue) enter(w *waiter, p place) {
	w.place = p
	if h := q.heapOf(p); h != nil {
		heap.Push(h, w)
	}
}

func (q *queue) leave(w *waiter) {
	if h := q.heapOf(w.place); h != nil {
		heap.Remove(h, w.index)
	}
}

// set takes a pod that waits for a node, or a new version of one. A change that the
// scheduler did not make itself is a reason to try again.
func (q *queue) set(pod *corev1.Pod) {
	w := q.all[pod.UID]
	if w == nil {
		q.seq++
		w = &waiter{seq: q.seq}
		w.Since = q.clock.Now()
		w.PodInfo = framework.NewPodInfo(pod)
		q.all[pod.UID] = w
		q.admit(w)
		return
	}
	if !affects(w.Pod, pod) {
		info := *w.PodInfo
		info.Pod = pod
		w.PodInfo = &info
		return
	}
	q.leave(w)
	w.PodInfo = framework.NewPodInfo(pod)
	q.admit(w)
}

// affects reports whether a new version of a pod may be scheduled otherwise than the old.
func affects(old, pod *corev1.Pod) bool {
	return !apiequality.Semantic.DeepEqual(old.Labels, pod.Labels) || !apiequality.Semantic.DeepEqual(&old.Spec, &pod.Spec)
}

// admit sorts a pod that is in no heap into the right one.
func (q *queue) admit(w *waiter) {
	w.signature = q.fw.Sign(w.PodInfo)
	switch {
	case len(w.Pod.Spec.SchedulingGates) > 0:
		q.enter(w, inGated)
	case w.Attempts > 0 && w.Failed.Add(backoffAfter(w.Attempts)).After(q.clock.Now()):
		w.ready = w.Failed.Add(backoffAfter(w.Attempts))
		q.enter(w, inBackoff)
	default:
		q.enter(w, inActive)
	}
}

// backoffAfter returns the pause after so many failed attempts: 1s, 2s, 4s, 8s, 10s, …
func backoffAfter(attempts int) time.Duration {
	if attempts > 4 {
		return backoffMax
	}
	return min(backoffMin<<(attempts-1), backoffMax)
}

// remove forgets a pod.
func (q *queue) remove(uid types.UID) {
	if w := q.all[uid]; w != nil {
		q.leave(w)
		delete(q.all, uid)
	}
}

// pop takes out the pod that is next, nil if none can be tried now.
func (q *queue) pop() *waiter {
	if len(q.active.list) == 0 {
		return nil
	}
	w := heap.Pop(&q.active).(*waiter)
	delete(q.all, w.Pod.UID)
	return w
}

// giveBack returns a popped pod after a failed attempt: parked when only an event can
// help, else to try again after its back-off.
func (q *queue) giveBack(w *waiter, park bool) {
	now := q.clock.Now()
	w.Attempts++
	w.Failed = now
	q.all[w.Pod.UID] = w
	if park {
		w.ready = now.Add(parkedMax)
		q.enter(w, inParked)
		return
	}
	q.admit(w)
}

// wakeUp moves the parked pods that helped says an event may have helped. Pods with the
// same signature are asked about once.
func (q *queue) wakeUp(helped func(*framework.PodInfo) bool) {
	answers := make(map[string]bool)
	var woken []*waiter
	for _, w := range q.parked.list {
		answer, known := answers[w.signature]
		if w.signature == "" || !known {
			answer = helped(w.PodInfo)
			answers[w.signature] = answer
		}
		if answer {
			woken = append(woken, w)
		}
	}
	for _, w := range woken {
		q.leave(w)
		q.admit(w)
	}
}

// tick moves the pods whose time has come.
func (q *queue) tick() {
	now := q.clock.Now()
	for _, h := range []*waiters{&q.backoff, &q.parked} {
		for len(h.list) > 0 && !h.list[0].ready.After(now) {
			q.enter(heap.Pop(h).(*waiter), inActive)
		}
	}
}

// next returns when tick has something to do, zero if never.
func (q *queue) next() time.Time {
	var at time.Time
	for _, h := range []*waiters{&q.backoff, &q.parked} {
		if len(h.list) > 0 && (at.IsZero() || h.list[0].ready.Before(at)) {
			at = h.list[0].ready
		}
	}
	return at
}

// waiters is a heap.
type waiters struct {
	list []*waiter
	less func(a, b *waiter) bool
}

func (h *waiters) Len() int           { return len(h.list) }
func (h *waiters) Less(i, j int) bool { return h.less(h.list[i], h.list[j]) }
func (h *waiters) Swap(i, j int) {
	h.list[i], h.list[j] = h.list[j], h.list[i]
	h.list[i].index, h.list[j].index = i, j
}
func (h *waiters) Push(x any) {
	w := x.(*waiter)
	w.index = len(h.list)
	h.list = append(h.list, w)
}
func (h *waiters) Pop() any {
	last := len(h.list) - 1
	w := h.list[last]
	h.list[last] = nil
	h.list = h.list[:last]
	return w
}
