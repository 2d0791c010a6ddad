// Package reconcile is the loop that every controller shares: informer events become
// keys in a rate-limited queue, workers take keys one at a time and call Reconcile.
// One key is never reconciled by two workers at once.
package reconcile

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/decision"
)

// Key names what is to be reconciled.
type Key = types.NamespacedName

// Result says when to look at the key again although nothing happened.
type Result struct {
	After time.Duration // 0: only when an event comes
}

// Reconciler brings one key's state nearer to what is desired. It compares whole states
// and never asks which event woke it. A returned error is logged and retried with back-off;
// a conflict is retried quietly.
type Reconciler interface {
	Reconcile(ctx context.Context, key Key) (Result, error)
}

// Config tunes a Loop; zero fields have defaults. It is also what controllers are built
// with, so that one value carries what a process injects into all of them.
type Config struct {
	Clock   clock.WithTicker // default: the real clock
	Workers int              // reconciles at a time; default 1
	Logger  *slog.Logger     // default: slog.Default()
	Rand    func() float64   // in [0,1), for back-off jitter; default: math/rand
	// Decisions receives the plans that the controller applies. Nil drops them.
	Decisions *decision.Log
	// Observer is told of every reconcile, for metrics. Nil: nobody.
	Observer Observer
	// MinBackoff is the delay after a first failure (default 5ms); it doubles with each
	// further failure of the key up to MaxBackoff (default 1 minute).
	MinBackoff, MaxBackoff time.Duration
}

// Observer is the hook for metrics.
type Observer interface {
	// Reconciled tells that one reconcile ended: how long the key waited in the queue, how
	// long Reconcile took, and its error.
	Reconciled(loop string, key Key, waited, took time.Duration, err error)
	// QueueLength tells how many keys wait to be taken by a worker.
	QueueLength(loop string, n int)
}

// WithDefaults returns c with its zero fields filled.
func (c Config) WithDefaults() Config {
	if c.Clock == nil {
		c.Clock = clock.RealClock{}
	}
	if c.Workers == 0 {
		c.Workers = 1
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Rand == nil {
		c.Rand = rand.Float64
	}
	if c.MinBackoff == 0 {
		c.MinBackoff = 5 * time.Millisecond
	}
	if c.MaxBackoff == 0 {
		c.MaxBackoff = time.Minute
	}
	return c
}

// Loop drives one Reconciler.
type Loop struct {
	name       string
	reconciler Reconciler
	cfg        Config
	log        *slog.Logger
	queue      *queue
}

// New returns a loop that has not started. Keys may be enqueued at once.
func New(name string, r Reconciler, cfg Config) *Loop {
	cfg = cfg.WithDefaults()
	return &Loop{
		name: name, reconciler: r, cfg: cfg,
		log:   cfg.Logger.With("loop", name),
		queue: newQueue(cfg),
	}
}

// Watch enqueues, for every change that inf sees, the keys that the change concerns.
func Watch[T api.Object](l *Loop, inf *client.Informer[T], keys func(old, obj T) []Key) {
	inf.Handle(func(old, obj T) {
		for _, k := range keys(old, obj) {
			l.Enqueue(k)
		}
	})
}

// KeyOf returns the key of whichever of old and obj is there: the keys function for a loop
// that reconciles the very objects it watches.
func KeyOf[T api.Object](old, obj T) []Key {
	var o api.Object = obj
	if isNil(obj) {
		o = old
	}
	return []Key{{Namespace: o.GetNamespace(), Name: o.GetName()}}
}

func isNil[T api.Object](obj T) bool {
	var zero T
	return any(obj) == any(zero)
}

// Enqueue asks for a reconcile of key soon. A key that waits already is not added again; one
// that is being reconciled will be once more. It never blocks.
func (l *Loop) Enqueue(key Key) { l.queue.add(key) }

// EnqueueAfter asks for a reconcile of key when d has passed, or earlier if something
// else asks for it.
func (l *Loop) EnqueueAfter(key Key, d time.Duration) { l.queue.addAfter(key, d) }

// Run reconciles until ctx ends, and returns ctx's error when all workers are done.
func (l *Loop) Run(ctx context.Context) error {
	var workers sync.WaitGroup
	for range l.cfg.Workers {
		workers.Go(func() { l.work(ctx) })
	}
	l.queue.run(ctx)
	workers.Wait()
	return ctx.Err()
}

func (l *Loop) work(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case it := <-l.queue.work:
			out := l.reconcileOne(ctx, it)
			select {
			case l.queue.done <- out:
			case <-ctx.Done():
				return
			}
		}
	}
}

func (l *Loop) reconcileOne(ctx context.Context, it item) outcome {
	began := l.cfg.Clock.Now()
	result, err := l.guarded(ctx, it.key)
	took := l.cfg.Clock.Since(began)
	switch {
	case err == nil || ctx.Err() != nil:
	case apierrors.IsConflict(err):
		l.log.Debug("conflict, will retry", "key", it.key.String(), "error", err)
	default:
		l.log.Warn("reconcile failed, will retry", "key", it.key.String(), "error", err, "failures", it.failures+1)
	}
	if l.cfg.Observer != nil {
		l.cfg.Observer.Reconciled(l.name, it.key, began.Sub(it.since), took, err)
		l.cfg.Observer.QueueLength(l.name, l.queue.len())
	}
	return outcome{key: it.key, failed: err != nil, after: result.After}
}

// guarded turns a panic into an error: one bad object must not stop the others.
func (l *Loop) guarded(ctx context.Context, key Key) (result Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return l.reconciler.Reconcile(ctx, key)
}
