// Package resourcequota counts, in the status of every ResourceQuota, what its namespace uses.
// It refuses nothing: the API server charges each quota when something is created. This
// controller counts what was there before, gives back what is gone, and finds what was
// charged for writes that then failed.
package resourcequota

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/quota"
	"github.com/miniorch/miniorch/pkg/reconcile"
)

const (
	// recount is how often everything is counted although nothing seems to have changed: pods
	// whose node is dead stop counting by time alone.
	recount = 5 * time.Minute
	// gather is how long changes are collected, so that a thousand of them are one count.
	gather = 200 * time.Millisecond
)

// Controller reconciles ResourceQuotas.
type Controller struct {
	cfg       control.Config
	transport client.Transport
	informers *client.Informers
	quotas    *client.Informer[*corev1.ResourceQuota]
	quota     client.Client[*corev1.ResourceQuota]
	loop      *reconcile.Loop

	mu      sync.Mutex
	watched map[api.Resource]*client.Informer[api.Object] // guarded by mu
	changed map[reconcile.Key]time.Time                   // guarded by mu: when a quota's usage was last seen to change
}

// New wires the controller; Run starts it.
func New(t client.Transport, informers *client.Informers, cfg control.Config) *Controller {
	c := &Controller{
		cfg: cfg.WithDefaults("resourcequota"), transport: t, informers: informers,
		quotas:  client.InformerFor[*corev1.ResourceQuota](informers),
		quota:   client.Of[*corev1.ResourceQuota](t),
		watched: map[api.Resource]*client.Informer[api.Object]{},
		changed: map[reconcile.Key]time.Time{},
	}
	c.loop = reconcile.New("resourcequota", c, c.cfg.Loop(2))
	c.quotas.Handle(c.quotaChanged)
	return c
}

// Run reconciles until ctx ends.
func (c *Controller) Run(ctx context.Context) error { return c.loop.Run(ctx) }

func (c *Controller) quotaChanged(old, q *corev1.ResourceQuota) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case q == nil:
		delete(c.changed, keyOf(old))
		return
	case old != nil && !quota.Equal(old.Status.Used, q.Status.Used):
		c.changed[keyOf(q)] = c.cfg.Clock.Now()
	case old != nil && quota.Equal(old.Spec.Hard, q.Spec.Hard) && quota.Equal(q.Spec.Hard, q.Status.Hard):
		return
	}
	c.loop.Enqueue(keyOf(q))
}

func keyOf(q *corev1.ResourceQuota) reconcile.Key {
	return reconcile.Key{Namespace: q.Namespace, Name: q.Name}
}

// Reconcile counts what one quota limits.
func (c *Controller) Reconcile(ctx context.Context, key reconcile.Key) (reconcile.Result, error) {
	q, ok := c.quotas.Get(key.Namespace, key.Name)
	if !ok || q.DeletionTimestamp != nil {
		return reconcile.Result{}, nil
	}
	resources, err := c.transport.Resources(ctx)
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("reading which resources are served: %w", err)
	}
	o := observed{Quota: q, Now: c.cfg.Clock.Now(), Changed: c.lastChange(key)}
	if err := o.countAll(resources, func(r api.Resource) ([]api.Object, error) { return c.seen(ctx, r, q.Namespace) }); err != nil {
		return reconcile.Result{}, err
	}
	plan := decide(o)
	if plan.lowers(q.Status.Used) {
		current, err := c.confirm(ctx, &o, resources)
		if err != nil {
			return reconcile.Result{}, control.IgnoreGone(err)
		}
		if !current {
			return reconcile.Result{After: settle}, nil
		}
		plan = decide(o)
	}
	if plan.Empty() {
		return reconcile.Result{After: plan.Recheck}, nil
	}
	return reconcile.Result{After: plan.Recheck}, c.cfg.Apply("resourcequota", q, nil, plan, func() error {
		changed := q.DeepCopy()
		changed.Status = plan.Status
		_, err := c.quota.UpdateStatus(ctx, changed) // fenced: a charge that came meanwhile is not lost
		return control.IgnoreGone(err)
	})
}

// confirm counts once more what there is now: a view that has not heard of all objects yet would
// give back what they were charged for. It tells whether the view of the quota itself is current;
// if not, nobody here knows when it was last charged.
func (c *Controller) confirm(ctx context.Context, o *observed, resources []api.Resource) (current bool, err error) {
	q := o.Quota
	live, err := c.quota.Get(ctx, q.Namespace, q.Name)
	if err != nil || live.ResourceVersion != q.ResourceVersion {
		return false, err
	}
	return true, o.countAll(resources, func(r api.Resource) ([]api.Object, error) {
		objects, _, err := client.Dynamic(c.transport, r).List(ctx, q.Namespace, metav1.ListOptions{})
		if err != nil {
			return nil, fmt.Errorf("confirming how many %s there are: %w", r.Name, err)
		}
		return objects, nil
	})
}

// seen is what the view has of a resource.
func (c *Controller) seen(ctx context.Context, r api.Resource, namespace string) ([]api.Object, error) {
	objects, err := c.follow(ctx, r)
	if err != nil {
		return nil, err
	}
	return objects.List(namespace, nil), nil
}

func (c *Controller) lastChange(key reconcile.Key) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed[key]
}

// follow returns the view of a resource, complete; the first time it starts to watch it.
func (c *Controller) follow(ctx context.Context, r api.Resource) (*client.Informer[api.Object], error) {
	c.mu.Lock()
	inf, ok := c.watched[r]
	if !ok {
		inf = client.InformerOf(c.informers, r)
		c.watched[r] = inf
	}
	c.mu.Unlock()
	if !ok {
		inf.Handle(func(old, obj api.Object) { c.objectChanged(r, old, obj) })
	}
	if err := inf.WaitForSync(ctx); err != nil {
		return nil, fmt.Errorf("waiting for a view of %s: %w", r, err)
	}
	return inf, nil
}

// objectChanged wakes the quotas that count an object, if it counts for something else now.
func (c *Controller) objectChanged(r api.Resource, old, obj api.Object) {
	one := obj
	if one == nil {
		one = old
	}
	quotas := c.quotas.List(one.GetNamespace(), nil)
	if len(quotas) == 0 {
		return
	}
	now := c.cfg.Clock.Now()
	if old != nil && obj != nil && quota.Equal(quota.Usage(r, old, now), quota.Usage(r, obj, now)) && !rescoped(quotas, old, obj) {
		return
	}
	for _, q := range quotas {
		if quota.Concerns(q.Spec.Hard, r) {
			c.loop.EnqueueAfter(keyOf(q), gather)
		}
	}
}

// rescoped tells whether one of the quotas tracks the object only before or only after its change.
func rescoped(quotas []*corev1.ResourceQuota, old, obj api.Object) bool {
	for _, q := range quotas {
		if quota.Matches(&q.Spec, old) != quota.Matches(&q.Spec, obj) {
			return true
		}
	}
	return false
}
