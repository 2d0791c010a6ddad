// Package endpoints keeps the Endpoints object of every Service with a selector, for
// clients that do not read EndpointSlices yet. It owns the objects that carry its
// managed-by label and those named like a Service with a selector, no others.
package endpoints

//lint:file-ignore SA1019 Endpoints are deprecated, and served.

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/miniorch/miniorch/controllers/backends"
	"github.com/miniorch/miniorch/controllers/brake"
	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/reconcile"
)

// Controller reconciles the Endpoints of Services.
type Controller struct {
	cfg       control.Config
	services  *client.Informer[*corev1.Service]
	pods      *client.Informer[*corev1.Pod]
	endpoints *client.Informer[*corev1.Endpoints]
	service   client.Client[*corev1.Service]
	pod       client.Client[*corev1.Pod]
	endpoint  client.Client[*corev1.Endpoints]
	loop      *reconcile.Loop
}

// New wires the controller; Run starts it.
func New(t client.Transport, informers *client.Informers, cfg control.Config) *Controller {
	c := &Controller{
		cfg:       cfg.WithDefaults("endpoints"),
		services:  client.InformerFor[*corev1.Service](informers),
		pods:      client.InformerFor[*corev1.Pod](informers),
		endpoints: client.InformerFor[*corev1.Endpoints](informers),
		service:   client.Of[*corev1.Service](t),
		pod:       client.Of[*corev1.Pod](t),
		endpoint:  client.Of[*corev1.Endpoints](t),
	}
	c.loop = reconcile.New("endpoints", c, c.cfg.Loop(4))
	backends.IndexServices(c.services)
	reconcile.Watch(c.loop, c.services, reconcile.KeyOf)
	reconcile.Watch(c.loop, c.endpoints, reconcile.KeyOf)
	reconcile.Watch(c.loop, c.pods, backends.KeysOfPod(c.services))
	return c
}

// Run reconciles until ctx ends.
func (c *Controller) Run(ctx context.Context) error { return c.loop.Run(ctx) }

// Reconcile brings the Endpoints of one Service up to date.
func (c *Controller) Reconcile(ctx context.Context, key reconcile.Key) (reconcile.Result, error) {
	var o observed
	if svc, ok := c.services.Get(key.Namespace, key.Name); ok {
		o.Service = svc
		if backends.Managed(svc) {
			o.Pods = c.pods.List(key.Namespace, labels.SelectorFromSet(svc.Spec.Selector))
		}
	}
	o.Existing, _ = c.endpoints.Get(key.Namespace, key.Name)
	plan := decide(o)
	if brake.Default.Trips(plan.Lost, plan.Had) {
		var err error
		if plan, err = c.confirm(ctx, key, o, plan); err != nil {
			return reconcile.Result{}, err
		}
	}
	return reconcile.Result{}, c.apply(ctx, o, plan)
}

// confirm decides again from a consistent read when suspiciously many addresses would go.
func (c *Controller) confirm(ctx context.Context, key reconcile.Key, o observed, plan Plan) (Plan, error) {
	svc, err := c.service.Get(ctx, key.Namespace, key.Name)
	o.Service, o.Pods = nil, nil
	if err == nil {
		o.Service = svc
		if backends.Managed(svc) {
			selector := labels.SelectorFromSet(svc.Spec.Selector).String()
			o.Pods, _, err = c.pod.List(ctx, key.Namespace, metav1.ListOptions{LabelSelector: selector})
		}
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return Plan{}, fmt.Errorf("confirming that %d addresses go: %w", plan.Lost, err)
	}
	confirmed := decide(o)
	if confirmed.Lost < plan.Lost && o.Service != nil {
		c.cfg.HeldBack(o.Service, plan.Lost, plan.Had, "addresses", confirmed)
	}
	return confirmed, nil
}

// apply carries the plan out and puts it on record. An update is fenced by resourceVersion,
// a creation by the name.
func (c *Controller) apply(ctx context.Context, o observed, plan Plan) error {
	if plan.Empty() {
		return nil
	}
	about := o.Service
	if about == nil {
		about = &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: o.Existing.Namespace, Name: o.Existing.Name}}
	}
	return c.cfg.Apply("endpoints", about, control.Refs(o.Pods), plan, func() error {
		var verb string
		var err error
		switch {
		case plan.Create != nil:
			verb = "creating"
			_, err = c.endpoint.Create(ctx, plan.Create)
			if apierrors.IsAlreadyExists(err) || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
				err = nil // the view is stale and will wake us when it is not, or all goes anyway
			}
		case plan.Update != nil:
			verb = "updating"
			_, err = c.endpoint.Update(ctx, plan.Update)
		case plan.Delete != nil:
			verb = "deleting"
			uid := plan.Delete.UID
			err = c.endpoint.Delete(ctx, plan.Delete.Namespace, plan.Delete.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
		}
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("%s endpoints: %w", verb, err)
		}
		return nil
	})
}
