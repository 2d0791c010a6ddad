// Package scheduler finds a node for every pod that has none. It owns the queue of waiting
// pods, its view of the nodes, and the order of the plugins; what a good node is, the
// plugins say. It starts no pod and keeps no state that a restart could lose: what it has
// decided is in the API, or will be decided again.
package scheduler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/decision"
	"github.com/miniorch/miniorch/pkg/reconcile"
	"github.com/miniorch/miniorch/scheduler/config"
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

	// Configuration is what a KubeSchedulerConfiguration file says; nil: nothing.
	Configuration *config.Configuration
	// Profiles are the plugins for each name that pods ask for; default: those of Configuration. All
	// sort the queue in the same way.
	Profiles []framework.Profile
	// BackoffMin and BackoffMax are the first and the longest pause after failed attempts;
	// default 1s and 10s.
	BackoffMin, BackoffMax time.Duration
	// Binders is how many bindings are on their way at a time; default 32.
	Binders int
	// Explained is for how many of the last decisions Explain has an answer; default 256.
	Explained int
	// Unconfirmed is for how long a binding that the API server took is believed without the
	// watch showing it; default 30s.
	Unconfirmed time.Duration
}

func (c Config) withDefaults(t client.Transport, informers *client.Informers) (Config, error) {
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
	if len(c.Profiles) == 0 {
		var err error
		if c.Profiles, err = Profiles(c.Configuration, Parts{t, informers, c.Recorder, c.Clock, ignored(c.Configuration)}); err != nil {
			return c, err
		}
	}
	if f := c.Configuration; f != nil {
		c.BackoffMin = seconds(f.PodInitialBackoffSeconds, c.BackoffMin)
		c.BackoffMax = seconds(f.PodMaxBackoffSeconds, c.BackoffMax)
	}
	if c.BackoffMin == 0 {
		c.BackoffMin = time.Second
	}
	if c.BackoffMax == 0 {
		c.BackoffMax = max(10*time.Second, c.BackoffMin)
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
	return c, nil
}

// seconds returns what a file says, or else as it is.
func seconds(said *int64, is time.Duration) time.Duration {
	if said == nil {
		return is
	}
	return time.Duration(*said) * time.Second
}

// Scheduler assigns pods to nodes. Its view is kept by informer handlers from New on, so
// that Run can begin at once when leadership comes.
type Scheduler struct {
	transport client.Transport
	pods      *client.Informer[*corev1.Pod]
	nodes     *client.Informer[*corev1.Node]
	cfg       Config
	profiles  profiles
	extenders extenders
	log       *slog.Logger

	wake   chan struct{}   // something changed that the loop must look at
	jobs   chan *job       // decisions on their way to the API
	chores chan *chore     // nominations whose room must be made
	slow   chan struct{}   // a token for each slow binding under way
	status *reconcile.Loop // writes PodScheduled conditions

	mu       sync.Mutex // guards what follows; never held across I/O
	cache    *cache
	queue    *queue
	mind     *mind
	kept     *explanations
	freed    map[string]bool // nodes that may have room now
	news     news
	verdicts map[types.UID]verdict
	asking   types.UID // the pod about which extenders are being asked, with the lock open
}

const (
	slowBindings = 512 // that may be under way at a time
	choresKept   = 256
	choreWorkers = 8
)

// New returns a scheduler that reads through informers and writes through t.
func New(t client.Transport, informers *client.Informers, cfg Config) (*Scheduler, error) {
	cfg, err := cfg.withDefaults(t, informers)
	if err != nil {
		return nil, fmt.Errorf("configuring the scheduler: %w", err)
	}
	p, err := newProfiles(cfg.Profiles)
	if err != nil {
		return nil, fmt.Errorf("building the scheduler: %w", err)
	}
	ext, err := newExtenders(cfg.Configuration)
	if err != nil {
		return nil, fmt.Errorf("configuring the scheduler: %w", err)
	}
	s := &Scheduler{
		extenders: ext, transport: t, cfg: cfg, profiles: p, log: cfg.Logger.With("component", "scheduler"),
		pods: client.InformerFor[*corev1.Pod](informers), nodes: client.InformerFor[*corev1.Node](informers),
		wake: make(chan struct{}, 1), jobs: make(chan *job, 4*cfg.Binders), chores: make(chan *chore, choresKept),
		slow:  make(chan struct{}, slowBindings),
		cache: newCache(), queue: newQueue(p, cfg.Clock, backOff{cfg.BackoffMin, cfg.BackoffMax}), mind: newMind(), kept: newExplanations(cfg.Explained),
		freed: make(map[string]bool), verdicts: make(map[types.UID]verdict),
	}
	s.status = reconcile.New("scheduler/status", statusWriter{s}, reconcile.Config{
		Clock: cfg.Clock, Rand: cfg.Rand, Logger: cfg.Logger, Workers: 4,
	})
	s.nodes.Handle(s.onNode)
	s.pods.Handle(s.onPod)
	client.InformerFor[*corev1.Namespace](informers).Handle(s.onNamespace)
	for _, profile := range cfg.Profiles {
		framework.Events(profile, s.onEvent)
	}
	for _, what := range unserved(cfg.Configuration, cfg.Profiles) {
		s.log.Warn("a setting of the scheduler's configuration file has no effect here", "setting", what)
	}
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
	for range choreWorkers {
		running.Go(func() { s.doChores(ctx) })
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
		case j.slow:
			running.Go(func() {
				defer func() { <-s.slow }()
				s.bind(ctx, j)
			})
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
		s.left(p)
		s.requeue(p.info.Pod)
	}
	s.wakeWaiting()
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

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// schedule decides for one pod. It returns what is to be done if a node was found; else the
// pod is back in the queue.
func (s *Scheduler) schedule(ctx context.Context, w *waiter) *job {
	d, err := s.decide(ctx, w)
	switch {
	case err != nil:
		s.giveUp(w, nil, framework.Fail(err))
		return nil
	case d == nil: // the pod is another than when it was looked at
		return nil
	}
	d.at = s.cfg.Clock.Now()
	s.kept.keep(d)
	if d.Node == "" {
		s.refuse(ctx, w, d)
		return nil
	}
	j := &job{PodInfo: w.PodInfo, waiter: w, fw: w.fw, decision: d, state: d.state.Clone()}
	if st := w.fw.Reserve(ctx, j.state, w.PodInfo, d.Node); !st.OK() {
		s.giveUp(w, d, st)
		return nil
	}
	if st := s.permit(ctx, j); !st.OK() {
		w.fw.Unreserve(ctx, j.state, w.PodInfo, d.Node)
		s.giveUp(w, d, st)
		return nil
	}
	s.cache.nominate(w.PodInfo, "")
	s.cache.assume(w.PodInfo, d.Node)
	s.news.pod(nil, w.PodInfo, s.queue)
	return j
}

// decide finds a node for a pod. If room was made for it somewhere, that node comes first. It
// returns nothing if the pod changed meanwhile, and has been taken care of.
func (s *Scheduler) decide(ctx context.Context, w *waiter) (*Decision, error) {
	if some := s.extenders.of(w.Pod); len(some) > 0 {
		return s.decideAsking(ctx, w, some)
	}
	nodes, signature := s.cache.snapshot(), w.signature
	if n := s.cache.nominated[w.Pod.UID]; n.node != "" {
		if d := s.mind.decideFor(w.fw, w.PodInfo, nodes, n.node); d != nil {
			return d, nil
		}
		signature = "" // the room that was made for it is not taken, for itself
	}
	return s.mind.decide(w.fw, w.PodInfo, signature, nodes, s.cfg.Rand), nil
}

// permit asks the Permit plugins, and finds out what kind of binding it will be.
func (s *Scheduler) permit(ctx context.Context, j *job) *framework.Status {
	st, wait := j.fw.Permit(ctx, j.state, j.PodInfo, j.decision.Node)
	if st != nil && st.Code == framework.Wait {
		j.permit, st = max(wait, 1), nil
	}
	if !st.OK() || !j.fw.Slow(j.state, j.PodInfo, j.decision.Node) {
		return st
	}
	select {
	case s.slow <- struct{}{}:
		j.slow = true
		return nil
	default:
		return framework.Refuse("too many pods wait for their volumes at a time")
	}
}

// refuse parks a pod for which no node is good, and says why. Perhaps room can be made.
func (s *Scheduler) refuse(ctx context.Context, w *waiter, d *Decision) {
	n, st := s.makeRoom(ctx, w, d)
	if st != nil && errors.Is(st.Err, errMoved) {
		return
	}
	if st != nil && len(st.Reasons) > 0 {
		n, d.Refusal = nil, d.Refusal+" preemption: "+st.Reasons[0]
	}
	switch {
	case st != nil && st.Code == framework.Failed:
		s.queue.retry(w) // no event will tell that it works again
	case w.Group != "" && n == nil:
		s.queue.retry(w) // together with the others of its group, which it made let go
	default:
		s.queue.refuse(w, refusersOf(d.refusals))
	}
	d.refusals = nil // explanations keep d, and work it out again
	switch {
	case n == nil:
		s.cache.nominate(w.PodInfo, "")
	default:
		s.cache.nominate(w.PodInfo, n.Node)
	}
	s.tell(w, corev1.PodReasonUnschedulable, d.Refusal)
	s.cfg.Decisions.Add(decision.Record{Time: d.at, Component: "scheduler", Object: decision.RefTo(w.Pod), Plan: d.String()})
}

// refusersOf returns the plugins that refused a node.
func refusersOf(refusals []*framework.Status) (names []string) {
	for _, r := range refusals {
		if r != nil && !slices.Contains(names, r.Plugin) {
			names = append(names, r.Plugin)
		}
	}
	return names
}

// giveUp sends a pod to its back-off because a plugin said no after a node was found, or because
// none could be looked for.
func (s *Scheduler) giveUp(w *waiter, d *Decision, st *framework.Status) {
	if d != nil {
		d.undone = byWhom(st)
	}
	s.queue.retry(w)
	s.tell(w, reasonOf(st), st.Error().Error())
}

// byWhom says why a decision comes to nothing: "PodGroups: pod group d/g: …".
func byWhom(st *framework.Status) string {
	if st.Plugin == "" {
		return st.Error().Error()
	}
	return st.Plugin + ": " + st.Error().Error()
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
	s.verdicts[w.Pod.UID] = verdict{reason: reason, message: why, nominated: s.cache.nominated[w.Pod.UID].node}
	s.status.Enqueue(reconcile.Key{Namespace: w.Pod.Namespace, Name: w.Pod.Name})
	s.cfg.Recorder.Event(w.Pod, corev1.EventTypeWarning, "FailedScheduling", "%s", why)
}
