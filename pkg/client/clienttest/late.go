package clienttest

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/miniorch/miniorch/pkg/client"
)

// Late is a transport whose watches lag behind by up to a time, each on its own, so that
// views are stale and disagree with one another. Reads and writes are immediate.
type Late struct {
	client.Transport
	lag time.Duration

	mu   sync.Mutex
	rand *rand.Rand // guarded by mu
}

// NewLate puts a lag of at most this between t and who watches through it.
func NewLate(t client.Transport, lag time.Duration, seed uint64) *Late {
	return &Late{Transport: t, lag: lag, rand: rand.New(rand.NewPCG(seed, 1))}
}

func (l *Late) delay() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Duration(l.rand.Float64() * float64(l.lag))
}

// Watch is the one that lags.
func (l *Late) Watch(ctx context.Context, req client.Request, opts metav1.ListOptions) (watch.Interface, error) {
	from, err := l.Transport.Watch(ctx, req, opts)
	if err != nil {
		return nil, err
	}
	w := &lateWatch{from: from, events: make(chan watch.Event), stopped: make(chan struct{}), delay: l.delay}
	go w.forward()
	return w, nil
}

type lateWatch struct {
	from    watch.Interface
	events  chan watch.Event
	stopped chan struct{}
	once    sync.Once
	delay   func() time.Duration
}

func (w *lateWatch) ResultChan() <-chan watch.Event { return w.events }

func (w *lateWatch) Stop() { w.once.Do(func() { close(w.stopped) }) }

// forward passes events on in order, in lumps: all that has come while it slept.
func (w *lateWatch) forward() {
	defer close(w.events)
	defer w.from.Stop()
	for e := range w.from.ResultChan() {
		lump := []watch.Event{e}
		timer := time.NewTimer(w.delay())
		for waiting := true; waiting; {
			select {
			case e, ok := <-w.from.ResultChan():
				if !ok {
					return
				}
				lump = append(lump, e)
			case <-timer.C:
				waiting = false
			case <-w.stopped:
				return
			}
		}
		for _, e := range lump {
			select {
			case w.events <- e:
			case <-w.stopped:
				return
			}
		}
	}
}
