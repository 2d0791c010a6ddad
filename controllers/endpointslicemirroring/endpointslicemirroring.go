// Package endpointslicemirroring copies Endpoints that people make by hand, for Services without
// a selector, into EndpointSlices, which is what the nodes read. It owns the slices that
// carry its managed-by label.
package endpointslicemirroring

//lint:file-ignore SA1019 Endpoints made by hand are what this is about.

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/controllers/brake"
	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/reconcile"
)

// byEndpoints indexes our slices under the Endpoints that they mirror.
const byEndpoints = "endpointslicemirroring/endpoints"

// Controller reconciles the slices of Endpoints.
type Controller struct {
	cfg       control.Config
	endpoints *client.Informer[*corev1.Endpoints]
	services  *client.Informer[*corev1.Service]
	slices    *client.Informer[*discoveryv1.EndpointSlice]
	endpoint  client.Client[*corev1.Endpoints]
	service   client.Client[*corev1.Service]
	slice     client.Client[*discoveryv1.EndpointSlice]
	loop      *reconcile.Loop
}

// New wires the controller; Run starts it.
func New(t client.Transport, informers *client.Informers, cfg control.Config) *Controller {
	c := &Controller{
		cfg:       cfg.WithDefaults("endpointslicemirroring"),
		endpoints: client.InformerFor[*corev1.Endpoints](informers),
		services:  client.InformerFor[*corev1.Service](informers),
		slices:    client.InformerFor[*discoveryv1.EndpointSlice](informers),
		endpoint:  client.Of[*corev1.Endpoints](t),
		service:   client.Of[*corev1.Service](t),
		slice:     client.Of[*discoveryv1.EndpointSlice](t),
	}
	c.loop = reconcile.New("endpointslicemirroring", c, c.cfg.Loop(2))
	c.slices.Index(byEndpoints, func(s *discoveryv1.EndpointSlice) []string {
		if key, ok := mirrorOf(s); ok {
			return []string{key.String()}
		}
		return nil
	})
	reconcile.Watch(c.loop, c.endpoints, reconcile.KeyOf)
	reconcile.Watch(c.loop, c.services, reconcile.KeyOf)
	reconcile.Watch(c.loop, c.slices, func(old, s *discoveryv1.EndpointSlice) (keys []reconcile.Key) {
		for _, version := range []*discoveryv1.EndpointSlice{old, s} {
			if version == nil {
				continue
			}
			if key, ok := mirrorOf(version); ok {
				keys = append(keys, key)
			}
		}
		return keys
	})
	return c
}

// mirrorOf returns the Endpoints that a slice of ours belongs to.
func mirrorOf(s *discoveryv1.EndpointSlice) (reconcile.Key, bool) {
	name := s.Labels[discoveryv1.LabelServiceName]
	return reconcile.Key{Namespace: s.Namespace, Name: name}, s.Labels[discoveryv1.LabelManagedBy] == manager && name != ""
}

// Run reconciles until ctx ends.
func (c *Controller) Run(ctx context.Context) error { return c.loop.Run(ctx) }

// Reconcile mirrors one Endpoints.
func (c *Controller) Reconcile(ctx context.Context, key reconcile.Key) (reconcile.Result, error) {
	var o observed
	o.Endpoints, _ = c.endpoints.Get(key.Namespace, key.Name)
	o.Service, _ = c.services.Get(key.Namespace, key.Name)
	o.Slices = c.slices.ByIndex(byEndpoints, key.String())
	plan := decide(o)
	if lost, had := plan.lost(o.Slices); brake.Default.Trips(lost, had) {
		var err error
		if plan, err = c.confirm(ctx, key, &o, lost, had); err != nil {
			return reconcile.Result{}, err
		}
	}
	if plan.Dropped > 0 {
		c.cfg.Eventf(o.Endpoints, corev1.EventTypeWarning, "AddressesSkipped", "%d addresses in this Endpoints resource were skipped: more than %d in a subset are not mirrored", plan.Dropped, maxPerSubset)
	}
	if plan.Empty() {
		return reconcile.Result{}, nil
	}
	about := o.Endpoints
	if about == nil {
		about = &corev1.Endpoints{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
	}
	return reconcile.Result{}, c.cfg.Apply("endpointslicemirroring", about, nil, plan, func() error { return c.apply(ctx, plan) })
}

// confirm decides again from a consistent read when suspiciously many addresses would go.
func (c *Controller) confirm(ctx context.Context, key reconcile.Key, o *observed, lost, had int) (Plan, error) {
	e, err := c.endpoint.Get(ctx, key.Namespace, key.Name)
	if control.IgnoreGone(err) != nil {
		return Plan{}, fmt.Errorf("confirming that %d addresses go: %w", lost, err)
	}
	svc, svcErr := c.service.Get(ctx, key.Namespace, key.Name)
	if control.IgnoreGone(svcErr) != nil {
		return Plan{}, fmt.Errorf("confirming that %d addresses go: %w", lost, svcErr)
	}
	o.Endpoints, o.Service = nil, nil
	if err == nil {
		o.Endpoints = e
	}
	if svcErr == nil {
		o.Service = svc
	}
	plan := decide(*o)
	if still, _ := plan.lost(o.Slices); still < lost && o.Endpoints != nil {
		c.cfg.HeldBack(o.Endpoints, lost, had, "addresses", plan)
	}
	return plan, nil
}

// apply carries the plan out. Names follow from what a slice mirrors: a stale view that lacks
// one asks for its name again and loses.
func (c *Controller) apply(ctx context.Context, plan Plan) error {
	var errs []error
	for _, s := range plan.Create {
		name := s.Name
		if _, err := c.slice.Create(ctx, s); control.IgnoreTerminating(err) != nil {
			errs = append(errs, fmt.Errorf("creating slice %q: %w", name, err))
		}
	}
	for _, s := range plan.Update {
		name := s.Name
		if _, err := c.slice.Update(ctx, s); control.IgnoreGone(err) != nil {
			errs = append(errs, fmt.Errorf("updating slice %q: %w", name, err))
		}
	}
	for _, s := range plan.Delete {
		err := c.slice.Delete(ctx, s.Namespace, s.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &s.UID}})
		if control.IgnoreGone(err) != nil && !apierrors.IsConflict(err) {
			errs = append(errs, fmt.Errorf("deleting slice %q: %w", s.Name, err))
		}
	}
	return errors.Join(errs...)
}
