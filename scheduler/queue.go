package scheduler

import (
	"cmp"
	"container/heap"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/miniorch/miniorch/scheduler/framework"
)

const (
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
	inGated                // a PreEnqueue plugin holds it back
)

// waiter is a pod in the queue.
type waiter struct {
	framework.QueuedPod
	fw        *framework.Framework
	place     place
	seq       uint64    // the order of arrival, for pods that are equal otherwise
	ready     time.Time // inBackoff: when it is over; inParked: when it is flushed
	index     int       // in its heap
	signature string    // empty: like no other

	refusers []string          // inParked: the plugins that must change their mind
	kin      string            // inParked: equal for pods that fit on the same nodes, one by one; empty: no single node can help
	gate     *framework.Status // inGated: who holds it back, and why
	held     string            // inGated: where it is in queue.gated
	busy     bool              // room is being made for it: nobody wakes it meanwhile
}

// queue holds the pods that wait for a node. It has one user at a time.
type queue struct {
	profiles profiles
	clock    clock.PassiveClock
	backOff  backOff
	seq      uint64
	all      map[types.UID]*waiter
	lanes    lanes
	active   waiters // by the profiles' QueueSort
	backoff  waiters // by ready
	parked   waiters // by ready

	refused groups // parked pods, by refuser
	alike   groups // parked pods, by kin
	gated   groups // by who holds them back
}

// groups are waiters by something that they have in common.
type groups map[string]map[*waiter]bool

func (g groups) add(key string, w *waiter) {
	if g[key] == nil {
		g[key] = make(map[*waiter]bool)
	}
	g[key][w] = true
}

func (g groups) remove(key string, w *waiter) {
	if delete(g[key], w); len(g[key]) == 0 {
		delete(g, key)
	}
}

func newQueue(p profiles, c clock.PassiveClock, b backOff) *queue {
	q := &queue{profiles: p, clock: c, backOff: b, all: make(map[types.UID]*waiter), lanes: newLanes(), refused: groups{}, alike: groups{}, gated: groups{}}
	sort := p.first().Less
	q.active.less = func(a, b *waiter) bool {
		if sort(&a.QueuedPod, &b.QueuedPod) {
			return true
		}
		return a.seq < b.seq && !sort(&b.QueuedPod, &a.QueuedPod)
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
	switch p {
	case inActive:
		w.Turn = q.lanes.enter(w.PodInfo)
	case inParked:
		for _, name := range w.refusers {
			q.refused.add(name, w)
		}
		if w.kin != "" {
			q.alike.add(w.kin, w)
		}
	case inGated:
		w.held = w.gate.Plugin
		q.gated.add(w.held, w)
	}
	if h := q.heapOf(p); h != nil {
		heap.Push(h, w)
	}
}

func (q *queue) leave(w *waiter) {
	switch w.place {
	case inActive:
		q.lanes.leave(w.PodInfo)
	case inParked:
		for _, name := range w.refusers {
			q.refused.remove(name, w)
		}
		if w.kin != "" {
			q.alike.remove(w.kin, w)
		}
	case inGated:
		q.gated.remove(w.held, w)
	}
	if h := q.heapOf(w.place); h != nil {
		heap.Remove(h, w.index)
	}
}

// set takes a pod that waits for a node, or a new version of one. A change that the
// scheduler did not make itself is a reason to try again.
func (q *queue) set(pod *corev1.Pod) *waiter {
	w := q.all[pod.UID]
	if w == nil {
		q.seq++
		w = &waiter{seq: q.seq, fw: q.profiles.of(pod)}
		w.Since = q.clock.Now()
		w.PodInfo = framework.NewPodInfo(pod)
		q.all[pod.UID] = w
		q.admit(w)
		return w
	}
	if !affects(w.Pod, pod) {
		info := *w.PodInfo
		info.Pod = pod
		w.PodInfo = &info
		return w
	}
	q.leave(w)
	w.PodInfo = framework.NewPodInfo(pod)
	q.admit(w)
	return w
}

// affects reports whether a new version of a pod may be scheduled otherwise than the old.
func affects(old, pod *corev1.Pod) bool {
	same := apiequality.Semantic.DeepEqual
	return !same(old.Labels, pod.Labels) || !same(old.Annotations, pod.Annotations) || !same(&old.Spec, &pod.Spec)
}

// admit sorts a pod that is in no heap into the right one.
func (q *queue) admit(w *waiter) {
	w.signature = w.fw.Sign(w.PodInfo)
	w.refusers = nil
	w.gate = w.fw.PreEnqueue(w.PodInfo)
	switch {
	case w.gate != nil:
		q.enter(w, inGated)
	case w.busy:
		q.park(w, nil)
	case w.Attempts > 0 && w.Failed.Add(q.backOff.after(w.Attempts)).After(q.clock.Now()):
		w.ready = w.Failed.Add(q.backOff.after(w.Attempts))
		q.enter(w, inBackoff)
	default:
		q.enter(w, inActive)
	}
}

func (q *queue) park(w *waiter, refusers []string) {
	w.ready, w.refusers, w.kin = q.clock.Now().Add(parkedMax), refusers, ""
	if len(refusers) == 0 || slices.ContainsFunc(refusers, w.fw.LooksAtOneNode) {
		if w.kin = w.fw.SchedulerName() + "\x00" + w.signature; w.signature == "" {
			w.kin += string(w.Pod.UID)
		}
	}
	q.enter(w, inParked)
}

// backOff is the pause after failed attempts: it doubles from min to max.
type backOff struct{ min, max time.Duration }

// after returns the pause after so many failed attempts: 1s, 2s, 4s, 8s, 10s, …
func (b backOff) after(attempts int) time.Duration {
	d := b.min
	for ; attempts > 1 && d < b.max; attempts-- {
		d *= 2
	}
	return min(d, b.max)
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
	q.lanes.serve(w.PodInfo, w.Turn)
	delete(q.all, w.Pod.UID)
	return w
}

// retry takes back a popped pod after a failed attempt, to try it again after its back-off.
func (q *queue) retry(w *waiter) {
	q.failed(w)
	q.admit(w)
}

// refuse takes back a popped pod that fits nowhere: only an event can help that makes one of
// the refusers change its mind.
func (q *queue) refuse(w *waiter, refusers []string) {
	q.failed(w)
	q.park(w, refusers)
}

func (q *queue) failed(w *waiter) {
	w.Attempts++
	w.Failed = q.clock.Now()
	q.all[w.Pod.UID] = w
}

// again looks again at pods that are parked or held back, but for those for which room is being made.
func (q *queue) again(woken map[*waiter]bool) {
	for _, w := range slices.SortedFunc(maps.Keys(woken), func(a, b *waiter) int { return cmp.Compare(a.seq, b.seq) }) {
		if !w.busy {
			q.leave(w)
			q.admit(w)
		}
	}
}

// tick moves the pods whose time has come.
func (q *queue) tick() {
	now := q.clock.Now()
	for _, h := range []*waiters{&q.backoff, &q.parked} {
		for len(h.list) > 0 && !h.list[0].ready.After(now) {
			w := h.list[0]
			q.leave(w)
			q.enter(w, inActive)
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
