// Package servicecidr says when a range of cluster IPs may be used, and keeps one that is being
// deleted until no Service has an address that only it covers. It gives out no addresses:
// that is the API server's.
package servicecidr

import (
	"context"
	"fmt"
	"iter"
	"net/netip"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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
	address   client.Client[*networkingv1.IPAddress]
	loop      *reconcile.Loop
}

// New wires the controller; Run starts it.
func New(t client.Transport, informers *client.Informers, cfg control.Config) *Controller {
	c := &Controller{
		cfg:       cfg.WithDefaults("servicecidr"),
		cidrs:     client.InformerFor[*networkingv1.ServiceCIDR](informers),
		addresses: client.InformerFor[*networkingv1.IPAddress](informers),
		cidr:      client.Of[*networkingv1.ServiceCIDR](t),
		address:   client.Of[*networkingv1.IPAddress](t),
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
	plan := decide(have, c.cidrs.List("", nil), inUse(c.addresses.List("", nil)), now)
	var err error
	if plan.lets(have) {
		if plan, err = c.confirm(ctx, have, now); err != nil {
			return reconcile.Result{}, err
		}
	}
	if !plan.any() {
		return reconcile.Result{}, nil
	}
	err = c.cfg.Apply("servicecidr", have, nil, plan, func() error { return c.apply(ctx, have, plan) })
	return reconcile.Result{After: plan.Wait}, err
}

// confirm decides again from consistent reads before a range goes: an address that the view does not have yet is in use.
func (c *Controller) confirm(ctx context.Context, have *networkingv1.ServiceCIDR, now time.Time) (Plan, error) {
	all, _, err := c.cidr.List(ctx, "", metav1.ListOptions{})
	if err != nil {
		return Plan{}, fmt.Errorf("reading which ranges stay: %w", err)
	}
	addresses, _, err := c.address.List(ctx, "", metav1.ListOptions{})
	if err != nil {
		return Plan{}, fmt.Errorf("reading which addresses are in use: %w", err)
	}
	return decide(have, all, inUse(addresses), now), nil
}

// inUse yields the addresses that somebody has.
func inUse(addresses []*networkingv1.IPAddress) iter.Seq[netip.Addr] {
	return func(yield func(netip.Addr) bool) {
		for _, a := range addresses {
			if ip, err := netip.ParseAddr(a.Name); err == nil && !yield(ip) {
				return
			}
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
