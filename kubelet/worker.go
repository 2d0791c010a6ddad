package kubelet

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/kubelet/container"
	"github.com/miniorch/miniorch/kubelet/lifecycle"
)

// worker looks after one pod. One goroutine, run, owns all of its state; whatever else
// happens (the API changes, operations end, probes report) is posted to it as a function.
type worker struct {
	k    *Kubelet
	uid  types.UID
	log  *slog.Logger
	wake chan struct{} // capacity 1: there is something in the inbox, or to look at

	mu    sync.Mutex
	inbox []func() // guarded by mu

	// The rest belongs to run.
	pod      *corev1.Pod // the newest known; shared, read only
	removed  bool        // gone from the API
	rejected *lifecycle.Rejection
	evicted  *lifecycle.Rejection
	held     bool // the node holds something of the pod

	around         surroundings // valid when prepared
	prepared       bool
	sandboxFailure *lifecycle.Failure
	failures       map[string]lifecycle.Failure // by container name
	hooked         map[string]bool              // by container ID
	messages       map[string]string            // by container ID
	probes         map[string]*probing          // by container ID

	operations map[string]*operation // by key
	deadlines  map[string]time.Time  // by container ID
	again      map[string]bool       // by container ID: it was stopped for another to follow
	retries    map[string]retry      // by key

	resizeError string      // why the last attempt to resize containers failed
	deferred    atomic.Bool // the pod waits for room to grow; read by others, too

	report  report
	since   time.Time      // when the pod was first seen
	running sync.WaitGroup // operations, probes, writes
}

// retry keeps an operation that failed from being repeated at once.
type retry struct {
	at       time.Time
	attempts int
}

func newWorker(k *Kubelet, pod *corev1.Pod) *worker {
	return &worker{
		k: k, uid: pod.UID, pod: pod,
		log:        k.cfg.Logger.With("pod", pod.Namespace+"/"+pod.Name, "uid", pod.UID),
		wake:       make(chan struct{}, 1),
		failures:   map[string]lifecycle.Failure{},
		hooked:     map[string]bool{},
		messages:   map[string]string{},
		probes:     map[string]*probing{},
		operations: map[string]*operation{},
		deadlines:  map[string]time.Time{},
		again:      map[string]bool{},
		retries:    map[string]retry{},
		report:     report{told: pod.Status},
		since:      k.cfg.Clock.Now(),
	}
}

// post has f run by the worker's goroutine.
func (w *worker) post(f func()) {
	w.mu.Lock()
	w.inbox = append(w.inbox, f)
	w.mu.Unlock()
	w.poke()
}

// poke makes the worker look again.
func (w *worker) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *worker) drain() {
	w.mu.Lock()
	todo := w.inbox
	w.inbox = nil
	w.mu.Unlock()
	for _, f := range todo {
		f()
	}
}

// run looks after the pod until nothing of it is left, or ctx ends. Containers go on.
func (w *worker) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer w.running.Wait()
	defer cancel()
	w.adopt(ctx)
	for ctx.Err() == nil {
		w.drain()
		wake, gone := w.step(ctx)
		if gone {
			return
		}
		w.wait(ctx, wake)
	}
}

func (w *worker) wait(ctx context.Context, until time.Time) {
	var alarm <-chan time.Time
	if !until.IsZero() {
		timer := w.k.cfg.Clock.NewTimer(max(0, until.Sub(w.k.cfg.Clock.Now())))
		defer timer.Stop()
		alarm = timer.C()
	}
	select {
	case <-ctx.Done():
	case <-w.wake:
	case <-alarm:
	}
}

// step decides and acts once.
func (w *worker) step(ctx context.Context) (wake time.Time, gone bool) {
	now := w.k.cfg.Clock.Now()
	observed := w.observe(ctx, now)
	plan, status := lifecycle.Step(w.pod, observed, now)
	if w.pod.DeletionTimestamp != nil && !w.report.writing && w.report.stored(w.pod, &status) {
		observed.Reported = true
		plan, status = lifecycle.Step(w.pod, observed, now)
	}
	w.reportStatus(ctx, status, now)
	w.apply(ctx, plan)
	w.tendProbes(ctx, plan.State)
	wake = plan.Wake
	for _, at := range []time.Time{w.earliestRetry(now), w.report.retryAt} {
		if at.After(now) && (wake.IsZero() || at.Before(wake)) {
			wake = at
		}
	}
	return wake, plan.State == lifecycle.Gone && len(w.operations) == 0
}

// observe collects what Step decides from.
func (w *worker) observe(ctx context.Context, now time.Time) lifecycle.Observed {
	o := lifecycle.Observed{
		Containers: w.k.seen.of(w.uid), Messages: w.messages, Failures: w.failures, Hooked: w.hooked,
		Sandbox: lifecycle.Sandbox{Ready: w.prepared, IPs: w.around.sandbox.IPs, Failure: w.sandboxFailure},
		Held:    w.held, Removed: w.removed, Rejected: w.rejected, Evicted: w.evicted,
		Busy: map[string]bool{}, Cancelled: map[string]bool{}, Deadlines: w.deadlines,
		Probes: map[string]lifecycle.Probe{}, HostIPs: []string{w.k.cfg.NodeIP},
	}
	for key, op := range w.operations {
		o.Busy[key] = true
		o.Cancelled[key] = op.cancelled
	}
	for key, r := range w.retries {
		if now.Before(r.at) {
			o.Busy[key] = true
		}
	}
	for id, p := range w.probes {
		o.Probes[id] = p.result
	}
	o.Again, o.ResizeError = w.again, w.resizeError
	o.Refusal = w.k.refusal(w.pod, o.Containers)
	w.deferred.Store(o.Refusal != nil && o.Refusal.Reason == corev1.PodReasonDeferred)
	w.forget(o)
	w.readMessages(ctx, o)
	return o
}

// forget drops what was kept about containers that are gone.
func (w *worker) forget(o lifecycle.Observed) {
	known := map[string]bool{}
	for _, c := range o.Containers {
		known[c.ID] = true
	}
	for id := range w.messages {
		if !known[id] {
			delete(w.messages, id)
		}
	}
	for id := range w.deadlines {
		if !known[id] {
			delete(w.deadlines, id)
			delete(w.again, id)
		}
	}
}

func (w *worker) earliestRetry(now time.Time) time.Time {
	var first time.Time
	for _, r := range w.retries {
		if r.at.After(now) && (first.IsZero() || r.at.Before(first)) {
			first = r.at
		}
	}
	return first
}

// update takes over a newer version of the pod.
func (w *worker) update(ctx context.Context, pod *corev1.Pod) {
	if !newer(pod, w.pod) {
		return
	}
	old := w.pod
	w.pod = pod
	if !w.prepared || sameMeta(old, pod) {
		return
	}
	w.running.Go(func() {
		if err := w.k.parts.Volumes.Sync(ctx, pod); err != nil && ctx.Err() == nil {
			w.log.Warn("cannot update volumes", "err", err)
		}
	})
}

// adopt takes over a pod whose containers were found running: its sandbox is looked up, not
// changed, before anything is decided, so that its status does not flap.
func (w *worker) adopt(ctx context.Context) {
	for _, c := range w.k.seen.of(w.uid) {
		w.held = true
		if c.State == container.StateRunning && w.pod.DeletionTimestamp == nil && !w.removed {
			w.log.Debug("adopting a running pod")
			w.rememberProbes()
			if done, err := w.prepare(ctx, w.pod); err != nil {
				w.log.Warn("cannot look up the sandbox of a running pod", "err", err)
			} else {
				done()
			}
			return
		}
	}
}
