package reconcile

import (
	"container/heap"
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// item is a key handed to a worker.
type item struct {
	key      Key
	since    time.Time // when it became ready
	failures int
}

// outcome is what a worker reports back.
type outcome struct {
	key    Key
	failed bool
	after  time.Duration
}

// request is a key on its way into the queue, ready at a time (zero: now).
type request struct {
	key Key
	at  time.Time
}

// state is what the queue knows of a key. It is dropped when nothing is left to know.
type state struct {
	ready    bool      // stands in line
	since    time.Time // when it came to stand in line
	working  bool      // a worker has it
	again    bool      // was added while a worker had it
	failures int
	timer    *delayed // nil: none
}

// queue is a set of keys in the order they were added, with delays. One goroutine (run)
// owns all but the inbox: adding never blocks.
type queue struct {
	cfg  Config
	work chan item
	done chan outcome
	wake chan struct{}

	mu    sync.Mutex
	inbox []request // guarded by mu

	length atomic.Int64 // of line, for observers
	keys   map[Key]*state
	line   []Key
	delays delayHeap
}

func newQueue(cfg Config) *queue {
	return &queue{
		cfg: cfg, work: make(chan item), done: make(chan outcome),
		wake: make(chan struct{}, 1), keys: make(map[Key]*state),
	}
}

func (q *queue) add(key Key) { q.put(request{key: key}) }

func (q *queue) addAfter(key Key, d time.Duration) {
	q.put(request{key: key, at: q.cfg.Clock.Now().Add(d)})
}

func (q *queue) put(r request) {
	q.mu.Lock()
	q.inbox = append(q.inbox, r)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *queue) len() int { return int(q.length.Load()) }

// run hands out keys until ctx ends.
func (q *queue) run(ctx context.Context) {
	for {
		q.takeInbox()
		q.takeDue()
		q.length.Store(int64(len(q.line)))
		var work chan item // nil while nobody stands in line, so that its case never fires
		var next item
		if len(q.line) > 0 {
			k := q.line[0]
			work, next = q.work, item{key: k, since: q.keys[k].since, failures: q.keys[k].failures}
		}
		timer, stop := q.timer()
		select {
		case <-ctx.Done():
			stop()
			return
		case work <- next:
			q.line = q.line[1:]
			s := q.keys[next.key]
			s.ready, s.working = false, true
		case out := <-q.done:
			q.finish(out)
		case <-q.wake:
		case <-timer:
		}
		stop()
	}
}

// timer returns a channel that fires when the first delay is over.
func (q *queue) timer() (<-chan time.Time, func()) {
	if len(q.delays) == 0 {
		return nil, func() {}
	}
	t := q.cfg.Clock.NewTimer(max(0, q.delays[0].at.Sub(q.cfg.Clock.Now())))
	return t.C(), func() { t.Stop() }
}

func (q *queue) takeInbox() {
	q.mu.Lock()
	in := q.inbox
	q.inbox = nil
	q.mu.Unlock()
	for _, r := range in {
		if r.at.IsZero() {
			q.ready(r.key)
		} else {
			q.delay(r.key, r.at)
		}
	}
}

func (q *queue) takeDue() {
	now := q.cfg.Clock.Now()
	for len(q.delays) > 0 && !q.delays[0].at.After(now) {
		d := heap.Pop(&q.delays).(*delayed)
		q.keys[d.key].timer = nil
		q.ready(d.key)
	}
}

func (q *queue) state(key Key) *state {
	s := q.keys[key]
	if s == nil {
		s = &state{}
		q.keys[key] = s
	}
	return s
}

func (q *queue) ready(key Key) {
	s := q.state(key)
	switch {
	case s.working:
		s.again = true
	case !s.ready:
		s.ready, s.since = true, q.cfg.Clock.Now()
		q.line = append(q.line, key)
	}
}

// delay makes key ready at a time. Of several times the earliest counts.
func (q *queue) delay(key Key, at time.Time) {
	s := q.state(key)
	switch {
	case s.timer == nil:
		s.timer = &delayed{key: key, at: at}
		heap.Push(&q.delays, s.timer)
	case at.Before(s.timer.at):
		s.timer.at = at
		heap.Fix(&q.delays, s.timer.index)
	}
}

func (q *queue) finish(out outcome) {
	s := q.keys[out.key]
	s.working = false
	if out.failed {
		q.delay(out.key, q.cfg.Clock.Now().Add(q.backoff(s.failures)))
		s.failures++
	} else {
		s.failures = 0
		if out.after > 0 {
			q.delay(out.key, q.cfg.Clock.Now().Add(out.after))
		}
	}
	if s.again {
		s.again = false
		q.ready(out.key)
	}
	if *s == (state{since: s.since}) {
		delete(q.keys, out.key)
	}
}

// backoff returns the delay after n earlier failures: exponential, between half and one and
// a half times the step, so that keys that failed together do not retry together.
func (q *queue) backoff(n int) time.Duration {
	step := q.cfg.MaxBackoff
	if n < 30 {
		step = min(q.cfg.MinBackoff<<n, q.cfg.MaxBackoff)
	}
	return step/2 + time.Duration(q.cfg.Rand()*float64(step))
}

// delayed is a key that becomes ready later.
type delayed struct {
	key   Key
	at    time.Time
	index int // in the heap
}

type delayHeap []*delayed

func (h delayHeap) Len() int           { return len(h) }
func (h delayHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h delayHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *delayHeap) Push(x any) {
	d := x.(*delayed)
	d.index = len(*h)
	*h = append(*h, d)
}
func (h *delayHeap) Pop() any {
	old := *h
	d := old[len(old)-1]
	*h = old[:len(old)-1]
	return d
}
