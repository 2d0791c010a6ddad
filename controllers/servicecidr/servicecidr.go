// Package servicecidr says when a range of cluster IPs may be used, and keeps one that is being
// deleted until no Service has an address that only it covers. It gives out no addresses:
// that is the API server's.
package servicecidr

import (
	"context"
	"fmt"
	"net/netip"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/reconcile"
)

// Controller reconciles ServiceCIDRs.
type Controller struct {
	cfg       control.Config
	cidrs     *client.Informer[*networkingv1.ServiceCIDR]
	addresses *client.Informer[*networkingv1.IPAddress]
	cidr      client.Client[*networkingv1.ServiceCIDR]
	loop      *reconcile.Loop
}

// New wires the controller; Run starts it.
func New(t client.Transport, informers *client.Informers, cfg control.Config) *Controller {
	c := &Controller{
		cfg:       cfg.WithDefaults("servicecidr"),
		cidrs:     client.InformerFor[*networkingv1.ServiceCIDR](informers),
		addresses: client.InformerFor[*networkingv1.IPAddress](informers),
		cidr:      client.Of[*networkingv1.ServiceCIDR](t),
	}
	c.loop = reconcile.New("servicecidr", c, c.cfg.Loop(1))
	// A range that comes or goes decides with others about the same addresses.
	reconcile.Watch(c.loop, c.cidrs, func(_, _ *networkingv1.ServiceCIDR) []reconcile.Key { return c.all(nil) })
	reconcile.Watch(c.loop, c.addresses, func(_, is *networkingv1.IPAddress) []reconcile.Key {
		if is != nil {
			return nil // only an address that goes can let a range go
		}
		return c.all(func(s *networkingv1.ServiceCIDR) bool { return s.DeletionTimestamp != nil })
	})
	return c
}

// all returns the keys of the ranges that are wanted; nil: of all.
func (c *Controller) all(wanted func(*networkingv1.ServiceCIDR) bool) []reconcile.Key {
	var keys []reconcile.Key
	for _, s := range c.cidrs.List("", nil) {
		if wanted == nil || wanted(s) {
			keys = append(keys, reconcile.Key{Name: s.Name})
		}
	}
	return keys
}

// Run reconciles until ctx ends.
func (c *Controller) Run(ctx context.Context) error { return c.loop.Run(ctx) }

// Reconcile brings one range's finalizer and condition to what they should be.
func (c *Controller) Reconcile(ctx context.Context, key reconcile.Key) (reconcile.Result, error) {
	have, ok := c.cidrs.Get("", key.Name)
	if !ok {
		return reconcile.Result{}, nil
	}
	now := c.cfg.Clock.Now()
	plan := decide(have, c.cidrs.List("", nil), c.inUse, now)
	if !plan.any() {
		return reconcile.Result{}, nil
	}
	err := c.cfg.Apply("servicecidr", have, nil, plan, func() error { return c.apply(ctx, have, plan) })
	return reconcile.Result{After: plan.Wait}, err
}

// inUse lists the addresses that somebody has.
func (c *Controller) inUse(yield func(netip.Addr) bool) {
	for _, a := range c.addresses.List("", nil) {
		if ip, err := netip.ParseAddr(a.Name); err == nil && !yield(ip) {
			return
		}
	}
}

func (c *Controller) apply(ctx context.Context, have *networkingv1.ServiceCIDR, plan Plan) error {
	var err error
	if plan.Finalizers != nil {
		next := have.DeepCopy()
		next.Finalizers = *plan.Finalizers
		if have, err = c.cidr.Update(ctx, next); err != nil {
			return control.IgnoreGone(fmt.Errorf("setting finalizers: %w", err))
		}
	}
	if plan.Condition != nil {
		next := have.DeepCopy()
		next.Status.Conditions = plan.conditions(have)
		if _, err = c.cidr.UpdateStatus(ctx, next); err != nil {
			return control.IgnoreGone(fmt.Errorf("setting the condition: %w", err))
		}
	}
	return nil
}
