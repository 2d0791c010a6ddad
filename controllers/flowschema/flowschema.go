// Package flowschema says of every FlowSchema whether the level exists that it sends requests to. It
// owns the condition Dangling; how requests are served is the API server's business.
package flowschema

import (
	"context"
	"fmt"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"

	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/reconcile"
)

const byLevel = "level" // index of schemas

// Controller reconciles FlowSchemas.
type Controller struct {
	cfg     control.Config
	schemas *client.Informer[*flowcontrolv1.FlowSchema]
	levels  *client.Informer[*flowcontrolv1.PriorityLevelConfiguration]
	schema  client.Client[*flowcontrolv1.FlowSchema]
	loop    *reconcile.Loop
}

// New wires the controller; Run starts it.
func New(t client.Transport, informers *client.Informers, cfg control.Config) *Controller {
	c := &Controller{
		cfg:     cfg.WithDefaults("flowschema"),
		schemas: client.InformerFor[*flowcontrolv1.FlowSchema](informers),
		levels:  client.InformerFor[*flowcontrolv1.PriorityLevelConfiguration](informers),
		schema:  client.Of[*flowcontrolv1.FlowSchema](t),
	}
	c.loop = reconcile.New("flowschema", c, c.cfg.Loop(1))
	c.schemas.Index(byLevel, func(s *flowcontrolv1.FlowSchema) []string { return []string{s.Spec.PriorityLevelConfiguration.Name} })
	reconcile.Watch(c.loop, c.schemas, reconcile.KeyOf)
	reconcile.Watch(c.loop, c.levels, func(old, is *flowcontrolv1.PriorityLevelConfiguration) []reconcile.Key {
		switch {
		case old == nil:
			return c.naming(is.Name)
		case is == nil:
			return c.naming(old.Name)
		}
		return nil // it is there, as it was before
	})
	return c
}

// naming returns the keys of the schemas that name a level.
func (c *Controller) naming(level string) []reconcile.Key {
	var keys []reconcile.Key
	for _, s := range c.schemas.ByIndex(byLevel, level) {
		keys = append(keys, reconcile.Key{Name: s.Name})
	}
	return keys
}

// Run reconciles until ctx ends.
func (c *Controller) Run(ctx context.Context) error { return c.loop.Run(ctx) }

// Reconcile brings one schema's condition to what it should be.
func (c *Controller) Reconcile(ctx context.Context, key reconcile.Key) (reconcile.Result, error) {
	have, ok := c.schemas.Get("", key.Name)
	if !ok {
		return reconcile.Result{}, nil
	}
	_, exists := c.levels.Get("", have.Spec.PriorityLevelConfiguration.Name)
	plan := decide(have, exists, c.cfg.Clock.Now())
	if plan.Condition == nil {
		return reconcile.Result{}, nil
	}
	return reconcile.Result{}, c.cfg.Apply("flowschema", have, nil, plan, func() error {
		next := have.DeepCopy()
		next.Status.Conditions = plan.conditions(have)
		if _, err := c.schema.UpdateStatus(ctx, next); err != nil {
			return control.IgnoreGone(fmt.Errorf("setting the condition: %w", err))
		}
		return nil
	})
}
