// Package garbagecollector deletes objects whose owners are gone, and sees foreground and
// orphaning deletions through. It knows all resources, also those added at run time, and of
// each object only who owns it. It never deletes on the word of a cache: that an owner is
// absent is read live first, and the object itself too.
package garbagecollector

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/reconcile"
)

const (
	// rediscovery is how often the served resources are read again.
	rediscovery = 30 * time.Second
	// unreachableRecheck is when an object is looked at again whose owner's kind is not served.
	unreachableRecheck = 5 * time.Minute
)

// Controller reconciles every object that has to do with owners. Keys are UIDs.
type Controller struct {
	cfg       control.Config
	transport client.Transport
	informers *client.Informers
	graph     *graph
	owners    *owners
	loop      *reconcile.Loop
	watched   map[api.Resource]bool // touched by Run only
}

// New wires the controller; Run starts it.
func New(t client.Transport, informers *client.Informers, cfg control.Config) *Controller {
	cfg = cfg.WithDefaults("garbagecollector")
	c := &Controller{cfg: cfg, transport: t, informers: informers, graph: newGraph(), watched: map[api.Resource]bool{}}
	c.owners = &owners{transport: t, graph: c.graph, cfg: cfg}
	c.loop = reconcile.New("garbagecollector", c, cfg.Loop(8))
	return c
}

// Run follows all resources and reconciles until ctx ends. It acts on nothing before the
// graph is complete.
func (c *Controller) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for {
		err := c.discover(ctx)
		if err == nil {
			break
		}
		c.cfg.Logger.Warn("cannot read which resources are served, will retry", "error", err)
		if !c.sleep(ctx, time.Second) {
			return ctx.Err()
		}
	}
	if err := c.informers.WaitForSync(ctx); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- c.loop.Run(ctx) }()
	for c.sleep(ctx, rediscovery) {
		if err := c.discover(ctx); err != nil {
			c.cfg.Logger.Warn("cannot read which resources are served", "error", err)
		}
	}
	return <-done
}

// sleep waits; it returns false when ctx ended first.
func (c *Controller) sleep(ctx context.Context, d time.Duration) bool {
	t := c.cfg.Clock.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C():
		return true
	case <-ctx.Done():
		return false
	}
}

// discover follows the resources that are not followed yet. Events are left out: they are
// many, short-lived, and own nothing.
func (c *Controller) discover(ctx context.Context) error {
	resources, err := c.transport.Resources(ctx)
	if err != nil {
		return err
	}
	c.owners.serve(resources)
	for _, r := range resources {
		if c.watched[r] || r.Name == "events" && (r.Group == "" || r.Group == "events.k8s.io") {
			continue
		}
		c.watched[r] = true
		client.InformerOf(c.informers, r).Handle(func(old, obj api.Object) { c.observe(r, old, obj) })
	}
	return nil
}

// observe keeps the graph in step and wakes whom a change concerns.
func (c *Controller) observe(r api.Resource, old, obj api.Object) {
	if old != nil && (obj == nil || obj.GetUID() != old.GetUID()) {
		c.enqueue(c.graph.remove(old.GetUID()))
	}
	if obj != nil {
		c.enqueue(c.graph.set(r, obj))
	}
}

func (c *Controller) enqueue(uids []types.UID) {
	for _, uid := range uids {
		c.loop.Enqueue(reconcile.Key{Name: string(uid)})
	}
}

// Reconcile looks at one object by its UID.
func (c *Controller) Reconcile(ctx context.Context, key reconcile.Key) (reconcile.Result, error) {
	it, ok := c.graph.item(types.UID(key.Name))
	if !ok {
		return reconcile.Result{}, nil
	}
	if !it.Deleting && len(it.Owners) > 0 {
		var err error
		if it, err = c.owners.resolve(ctx, it); err != nil {
			return reconcile.Result{}, fmt.Errorf("%s %s/%s: %w", it.Resource, it.Namespace, it.Name, err)
		}
	}
	plan := decide(it)
	c.enqueue(plan.Push)
	var result reconcile.Result
	if plan.WaitOwner {
		result.After = unreachableRecheck
	}
	if err := c.apply(ctx, it, plan); err != nil {
		return result, fmt.Errorf("%s %s/%s: %w", it.Resource, it.Namespace, it.Name, err)
	}
	return result, nil
}
