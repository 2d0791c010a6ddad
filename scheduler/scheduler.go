// Package scheduler finds a node for every pod that has none. It owns the queue of waiting
// pods, its view of the nodes, and the order of the plugins; what a good node is, the
// plugins say. It starts no pod and keeps no state that a restart could lose: what it has
// decided is in the API, or will be decided again.
package scheduler

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/decision"
	"github.com/miniorch/miniorch/pkg/reconcile"
	"github.com/miniorch/miniorch/scheduler/framework"
)

// Recorder tells users what has happened to a pod. *client.Recorder is one.
type Recorder interface {
	Event(obj api.Object, kind, reason, format string, args ...any)
}

// Config tunes a Scheduler; zero fields have defaults.
type Config struct {
	Clock     clock.WithTicker // default: the real clock
	Rand      func() float64   // in [0,1), chooses between equally good nodes; default: math/rand
	Logger    *slog.Logger     // default: slog.Default()
	Decisions *decision.Log    // nil drops them
	Recorder  Recorder         // nil drops events

	// Profile is the plugins; default: DefaultProfile.
	Profile *framework.Profile
	// Binders is how many bindings are on their way at a time; default 32.
	Binders int
	// Explained is for how many of the last decisions Explain has an answer; default 256.
	Explained int
	// Unconfirmed is for how long a binding that the API server took is believed without the
	// watch showing it; default 30s.
	Unconfirmed time.Duration
}

func (c Config) withDefaults(t client.Transport) Config {
	if c.Clock == nil {
		c.Clock = clock.RealClock{}
	}
	if c.Rand == nil {
		c.Rand = rand.Float64
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Recorder == nil {
		c.Recorder = (*client.Recorder)(nil)
	}
	if c.Profile == nil {
		p := DefaultProfile(t)
		c.Profile = &p
	}
	if c.Binders == 0 {
		c.Binders = 32
	}
	if c.Explained == 0 {
		c.Explained = 256
	}
	if c.Unconfirmed == 0 {
		c.Unconfirmed = 30 * time.Second
	}
	return c
}

// Scheduler assigns pods to nodes. Its view is kept by informer handlers from New on, so
// that Run can begin at once when leadership comes.
type Scheduler struct {
	transport client.Transport
	pods      *client.Informer[*corev1.Pod]
	nodes     *client.Informer[*corev1.Node]
	cfg       Config
	fw        *framework.Framework
	log       *slog.Logger

	wake   chan struct{}   // something changed that the loop must look at
	jobs   chan *job       // decisions on their way to the API
	status *reconcile.Loop // writes PodScheduled conditions

	mu       sync.Mutex // guards what follows; never held across I/O
	cache    *cache
	queue    *queue
	shared   evaluations
	kept     *explanations
	freed    map[string]bool // nodes that may have room now
	verdicts map[types.UID]verdict
}

// New returns a scheduler that reads through informers and writes through t.
func New(t client.Transport, informers *client.Informers, cfg Config) (*Scheduler, error) {
	cfg = cfg.withDefaults(t)
	fw, err := framework.New(*cfg.Profile)
	if err != nil {
		return nil, fmt.Errorf("building the scheduler: %w", err)
	}
	s := &Scheduler{
		transport: t, cfg: cfg, fw: fw, log: cfg.Logger.With("component", "scheduler"),
		pods: client.InformerFor[*corev1.Pod](informers), nodes: client.InformerFor[*corev1.Node](informers),
		wake: make(chan struct{}, 1), jobs: make(chan *job, 4*cfg.Binders),
		cache: newCache(), queue: newQueue(fw, cfg.Clock), kept: newExplanations(cfg.Explained),
		freed: make(map[string]bool), verdicts: make(map[types.UID]verdict),
	}
	s.status = reconcile.New("scheduler/status", statusWriter{s}, reconcile.Config{
		Clock: cfg.Clock, Rand: cfg.Rand, Logger: cfg.Logger, Workers: 4,
	})
	s.nodes.Handle(s.onNode)
	s.pods.Handle(s.onPod)
	return s, nil
}

// Run schedules until ctx ends. It waits for its informers first; somebody must run them.
func (s *Scheduler) Run(ctx context.Context) error {
	if err := s.nodes.WaitForSync(ctx); err != nil {
		return err
	}
	if err := s.pods.WaitForSync(ctx); err != nil {
		return err
	}
	var running sync.WaitGroup
	running.Go(func() { _ = s.status.Run(ctx) }) // it returns ctx's error only
	for range s.cfg.Binders {
		running.Go(func() { s.bindJobs(ctx) })
	}
	s.loop(ctx, &running)
	running.Wait()
	s.takeBack()
	return ctx.Err()
}

// loop decides for one pod after the other and sleeps while there is none.
func (s *Scheduler) loop(ctx context.Context, running *sync.WaitGroup) {
	for ctx.Err() == nil {
		j, until := s.next(ctx)
		switch {
		case j == nil:
			s.sleep(ctx, until)
		case j.permit > 0: // a Permit plugin wants to wait; nobody else should have to
			running.Go(func() { s.await(ctx, j) })
		default:
			s.send(ctx, j)
		}
	}
}

// send hands a decision to the binders. They are fewer than decisions can be made, so this is
// where the loop is held back.
func (s *Scheduler) send(ctx context.Context, j *job) {
	select {
	case s.jobs <- j:
	case <-ctx.Done():
		s.finish(ctx, j, framework.Fail(ctx.Err()))
	}
}

// sleep returns when something changed, at the time given if there is one, or when ctx ends.
func (s *Scheduler) sleep(ctx context.Context, until time.Time) {
	var timer <-chan time.Time
	if !until.IsZero() {
		t := s.cfg.Clock.NewTimer(max(0, until.Sub(s.cfg.Clock.Now())))
		defer t.Stop()
		timer = t.C()
	}
	select {
	case <-ctx.Done():
	case <-s.wake:
	case <-timer:
	}
}

func (s *Scheduler) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// atOnce is how many pods in a row may be refused before the informers get a word in.
const atOnce = 64

// next decides for the next pods up to one that gets a node. Without any it returns nil
// and when to look again.
func (s *Scheduler) next(ctx context.Context) (*job, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.cache.expired(s.cfg.Clock.Now()) {
		s.log.Warn("the watch never confirmed a binding, forgetting it", "pod", p.info.Name(), "node", p.node)
		s.freed[p.node] = true
		s.requeue(p.info.Pod)
	}
	s.wakeParked()
	s.queue.tick()
	for range atOnce {
		w := s.queue.pop()
		if w == nil {
			return nil, earliest(s.queue.next(), s.cache.nextExpiry())
		}
		if j := s.schedule(ctx, w); j != nil {
			return j, time.Time{}
		}
	}
	return nil, s.cfg.Clock.Now()
}

// requeue lets a pod that was taken for placed wait again, unless the API knows better.
func (s *Scheduler) requeue(pod *corev1.Pod) {
	if now, ok := s.pods.Get(pod.Namespace, pod.Name); ok && now.UID == pod.UID && s.waits(now) {
		s.queue.set(now)
	}
}

// wakeParked looks for pods that fit on nodes which have more to give than before.
func (s *Scheduler) wakeParked() {
	if len(s.freed) > 0 && len(s.queue.parked.list) > 0 {
		nodes := s.cache.snapshot()
		s.queue.wakeUp(func(pod *framework.PodInfo) bool {
			for name := range s.freed {
				if n := nodes.Get(name); n != nil && s.fw.Fits(pod, n, nodes) {
					return true
				}
			}
			return false
		})
	}
	clear(s.freed)
}

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// schedule decides for one pod. It returns what is to be done if a node was found; else the
// pod is back in the queue.
func (s *Scheduler) schedule(ctx context.Context, w *waiter) *job {
	d := decide(&s.shared, s.fw, w.PodInfo, w.signature, s.cache.snapshot(), s.cfg.Rand)
	d.at = s.cfg.Clock.Now()
	s.kept.keep(d)
	if d.Node == "" {
		s.refuse(ctx, w, d)
		return nil
	}
	j := &job{waiter: w, decision: d, state: d.state.Clone()}
	if st := s.fw.Reserve(ctx, j.state, w.PodInfo, d.Node); !st.OK() {
		s.giveUp(w, st)
		return nil
	}
	st, wait := s.fw.Permit(ctx, j.state, w.PodInfo, d.Node)
	switch {
	case st.OK():
	case st.Code == framework.Wait:
		j.permit = max(wait, 1)
	default:
		s.fw.Unreserve(ctx, j.state, w.PodInfo, d.Node)
		s.giveUp(w, st)
		return nil
	}
	s.cache.assume(w.PodInfo, d.Node)
	return j
}

// refuse parks a pod for which no node is good, and says why.
func (s *Scheduler) refuse(ctx context.Context, w *waiter, d *Decision) {
	nominated, st := s.fw.PostFilter(ctx, d.state.Clone(), w.PodInfo, d.nodes)
	park := !(st.OK() && nominated != "") // else room is being made: try again soon
	s.queue.giveBack(w, park)
	s.tell(w, corev1.PodReasonUnschedulable, d.Refusal)
	s.cfg.Decisions.Add(decision.Record{Time: d.at, Component: "scheduler", Object: decision.RefTo(w.Pod), Plan: d.String()})
}

// giveUp sends a pod to its back-off because a plugin said no after a node was found.
func (s *Scheduler) giveUp(w *waiter, st *framework.Status) {
	s.queue.giveBack(w, false)
	s.tell(w, reasonOf(st), st.Error().Error())
}

// reasonOf tells a refusal from trouble, in the words of the PodScheduled condition.
func reasonOf(st *framework.Status) string {
	if st.Code == framework.Failed {
		return corev1.PodReasonSchedulerError
	}
	return corev1.PodReasonUnschedulable
}

// tell leaves word for the user why a pod still waits.
func (s *Scheduler) tell(w *waiter, reason, why string) {
	s.verdicts[w.Pod.UID] = verdict{reason: reason, message: why}
	s.status.Enqueue(reconcile.Key{Namespace: w.Pod.Namespace, Name: w.Pod.Name})
	s.cfg.Recorder.Event(w.Pod, corev1.EventTypeWarning, "FailedScheduling", "%s", why)
}
