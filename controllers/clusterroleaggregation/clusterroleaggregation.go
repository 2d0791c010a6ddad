// Package clusterroleaggregation gives ClusterRoles with an aggregationRule the rules of the roles that it
// selects. What roles grant is the authorizer's business.
package clusterroleaggregation

import (
	"context"
	"fmt"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/reconcile"
)

// Controller reconciles ClusterRoles.
type Controller struct {
	cfg   control.Config
	roles *client.Informer[*rbacv1.ClusterRole]
	role  client.Client[*rbacv1.ClusterRole]
	loop  *reconcile.Loop
}

// New wires the controller; Run starts it.
func New(t client.Transport, informers *client.Informers, cfg control.Config) *Controller {
	c := &Controller{
		cfg:   cfg.WithDefaults("clusterroleaggregation"),
		roles: client.InformerFor[*rbacv1.ClusterRole](informers),
		role:  client.Of[*rbacv1.ClusterRole](t),
	}
	c.loop = reconcile.New("clusterroleaggregation", c, c.cfg.Loop(1))
	// Any role may be part of any that aggregates, and those are few.
	reconcile.Watch(c.loop, c.roles, func(_, _ *rbacv1.ClusterRole) (keys []reconcile.Key) {
		for _, r := range c.roles.List("", nil) {
			if r.AggregationRule != nil {
				keys = append(keys, reconcile.Key{Name: r.Name})
			}
		}
		return keys
	})
	return c
}

// Run reconciles until ctx ends.
func (c *Controller) Run(ctx context.Context) error { return c.loop.Run(ctx) }

// Reconcile brings the rules of one role up to date.
func (c *Controller) Reconcile(ctx context.Context, key reconcile.Key) (reconcile.Result, error) {
	role, ok := c.roles.Get("", key.Name)
	if !ok {
		return reconcile.Result{}, nil
	}
	all := c.roles.List("", nil)
	plan := decide(role, all)
	if plan.Rules == nil {
		return reconcile.Result{}, nil
	}
	return reconcile.Result{}, c.cfg.Apply("clusterroleaggregation", role, control.Refs(all), plan, func() error {
		changed := role.DeepCopy()
		changed.Rules = plan.Rules
		if _, err := c.role.Update(ctx, changed); err != nil {
			return control.IgnoreGone(fmt.Errorf("writing the rules: %w", err))
		}
		return nil
	})
}
