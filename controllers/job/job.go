// Package job runs pods to completion for Jobs: it keeps parallelism pods alive until enough have
// succeeded or too many have failed, counts every pod that ends exactly once, and removes
// finished jobs whose time is up. It leaves jobs alone that name another manager.
//
// Counting rests on the finalizer that each pod carries: a pod's end is first noted in the
// job's status, then the finalizer goes, then the note becomes a number. Whoever is
// killed between two of these steps is followed by one that goes on with the next.
package job

import (
	"context"
	"fmt"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/controllers/children"
	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/controllers/names"
	"github.com/miniorch/miniorch/controllers/ownership"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/reconcile"
)

var kind = batchv1.SchemeGroupVersion.WithKind("Job")

const (
	// batch is how long changes of pods are gathered, so that a thousand pods that end together
	// cost a few writes of the job's status.
	batch = 100 * time.Millisecond
	// safetyRecheck is when a job is looked at again whose expected events have not come.
	safetyRecheck = time.Minute
)

// Controller reconciles Jobs.
type Controller struct {
	cfg     control.Config
	jobs    *client.Informer[*batchv1.Job]
	pods    *client.Informer[*corev1.Pod]
	job     client.Client[*batchv1.Job]
	pod     client.Client[*corev1.Pod]
	claimer ownership.Claimer[*batchv1.Job, *corev1.Pod]
	expect  *reconcile.Expectations
	seen    names.Register
	loop    *reconcile.Loop
	strays  *strays

	mu       sync.Mutex
	released map[types.UID]bool // guarded by mu: pods whose finalizer is known to be gone and that wait to be numbers
}

// New wires the controller; Run starts it.
func New(t client.Transport, informers *client.Informers, cfg control.Config) *Controller {
	c := &Controller{
		cfg:      cfg.WithDefaults("job"),
		jobs:     client.InformerFor[*batchv1.Job](informers),
		pods:     client.InformerFor[*corev1.Pod](informers),
		job:      client.Of[*batchv1.Job](t),
		pod:      client.Of[*corev1.Pod](t),
		released: map[types.UID]bool{},
	}
	c.claimer = ownership.Claimer[*batchv1.Job, *corev1.Pod]{
		Kind: kind, Owners: c.job, Children: c.pod, Finalizer: batchv1.JobTrackingFinalizer,
	}
	c.expect = reconcile.NewExpectations(c.cfg.Clock)
	c.loop = reconcile.New("job", c, c.cfg.Loop(4))
	c.strays = newStrays(c)
	ownership.Index(c.pods)
	c.jobs.Handle(c.forget)
	reconcile.Watch(c.loop, c.jobs, reconcile.KeyOf)
	concern := c.concern()
	c.pods.Handle(func(old, p *corev1.Pod) {
		for _, key := range concern.Keys(old, p) {
			c.loop.EnqueueAfter(key, batch)
		}
	})
	return c
}

// Run reconciles until ctx ends.
func (c *Controller) Run(ctx context.Context) error {
	var other sync.WaitGroup
	defer other.Wait()
	other.Go(func() { _ = c.strays.loop.Run(ctx) })
	return c.loop.Run(ctx)
}

// Reconcile brings one job nearer to its end.
func (c *Controller) Reconcile(ctx context.Context, key reconcile.Key) (reconcile.Result, error) {
	j, ok := c.jobs.Get(key.Namespace, key.Name)
	if !ok || !ours(j) {
		return reconcile.Result{}, nil
	}
	o, err := c.observe(ctx, key, j)
	if apierrors.IsNotFound(err) {
		return reconcile.Result{}, nil
	} else if err != nil {
		return reconcile.Result{}, err
	}
	plan := decide(o)
	if !plan.Empty() {
		err = c.cfg.Apply("job", o.Job, nil, plan, func() error { return c.apply(ctx, key, o.Job, plan) })
	}
	if plan.After == 0 && !o.Settled {
		plan.After = safetyRecheck
	}
	return reconcile.Result{After: plan.After}, children.WithoutStale(err)
}

// ours tells whether a job is managed here, and in a way that is understood.
func ours(j *batchv1.Job) bool {
	if m := j.Spec.ManagedBy; m != nil && *m != batchv1.JobControllerName {
		return false
	}
	mode := ptr.Deref(j.Spec.CompletionMode, batchv1.NonIndexedCompletion)
	return mode == batchv1.NonIndexedCompletion || mode == batchv1.IndexedCompletion
}

// observe reads what is decided from. The job is read anew, and what would be counted is
// confirmed, so that no staleness of a view makes a pod count twice.
func (c *Controller) observe(ctx context.Context, key reconcile.Key, cached *batchv1.Job) (observed, error) {
	o := observed{Job: cached, Now: c.cfg.Clock.Now(), Settled: c.expect.Satisfied(key)}
	if api.IsJobFinished(cached) { // for good, so this cannot be stale
		o.Pods = ownership.Controlled(c.pods, cached.UID)
		return o, c.confirmEnd(ctx, o)
	}
	// Before the pods are read, or what comes between is counted as read:
	unused := c.seen.Snapshot(sequence(cached), cached.UID)
	live, err := c.job.Get(ctx, key.Namespace, key.Name)
	if err != nil {
		return o, err
	}
	if live.UID != cached.UID {
		return o, fmt.Errorf("reading the job: the view has an older one of its name")
	}
	o.Job = live
	if o.Pods, err = c.claimer.Claim(ctx, live, live.Spec.Selector, ownership.Candidates(c.pods, live)); err != nil {
		return o, err
	}
	if o.Pods, err = c.confirm(ctx, live, o.Pods); err != nil {
		return o, err
	}
	if !isIndexed(live) {
		o.Free = unused.Next(min(int(ptr.Deref(live.Spec.Parallelism, 1)), burst) + len(o.Pods))
	}
	return o, nil
}
