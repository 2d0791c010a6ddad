// Package namespace empties namespaces that are being deleted, and lets them go when
// nothing is left in them. It refuses to force anything: finalizers of content are waited for.
package namespace

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/reconcile"
)

// safetyRecheck is when a namespace is looked at again whose content does not go.
const safetyRecheck = 15 * time.Second

// Controller reconciles namespaces.
type Controller struct {
	cfg        control.Config
	transport  client.Transport
	informers  *client.Informers
	namespaces *client.Informer[*corev1.Namespace]
	namespace  client.Client[*corev1.Namespace]
	loop       *reconcile.Loop

	mu      sync.Mutex
	watched map[api.Resource]bool // guarded by mu
}

// New wires the controller; Run starts it.
func New(t client.Transport, informers *client.Informers, cfg control.Config) *Controller {
	c := &Controller{
		cfg: cfg.WithDefaults("namespace"), transport: t, informers: informers,
		namespaces: client.InformerFor[*corev1.Namespace](informers),
		namespace:  client.Of[*corev1.Namespace](t),
		watched:    map[api.Resource]bool{},
	}
	c.loop = reconcile.New("namespace", c, c.cfg.Loop(4))
	reconcile.Watch(c.loop, c.namespaces, func(_, ns *corev1.Namespace) []reconcile.Key {
		if ns == nil || ns.DeletionTimestamp == nil {
			return nil
		}
		return []reconcile.Key{{Name: ns.Name}}
	})
	return c
}

// Run reconciles until ctx ends.
func (c *Controller) Run(ctx context.Context) error { return c.loop.Run(ctx) }

// Reconcile empties one namespace. Everything is read consistently: that a namespace is
// empty must be true, not just look so.
func (c *Controller) Reconcile(ctx context.Context, key reconcile.Key) (reconcile.Result, error) {
	if cached, ok := c.namespaces.Get("", key.Name); !ok || cached.DeletionTimestamp == nil {
		return reconcile.Result{}, nil
	}
	ns, err := c.namespace.Get(ctx, "", key.Name)
	if apierrors.IsNotFound(err) {
		return reconcile.Result{}, nil
	} else if err != nil {
		return reconcile.Result{}, fmt.Errorf("reading the namespace: %w", err)
	}
	o := c.observe(ctx, ns)
	plan := decide(o)
	if len(plan.Delete) > 0 {
		failures, err := c.empty(ctx, ns, plan)
		if err != nil {
			return reconcile.Result{}, err
		}
		o = c.observe(ctx, ns)
		o.Failures = append(o.Failures, failures...)
		plan = decide(o)
	}
	if err := c.conclude(ctx, ns, plan); err != nil || plan.Finalize {
		return reconcile.Result{}, err
	}
	if len(plan.Delete) > 0 { // pods are gone, the rest can go
		return reconcile.Result{After: time.Millisecond}, errors.Join(o.Failures...)
	}
	return reconcile.Result{After: safetyRecheck}, errors.Join(append(o.Failures, o.Discovery)...)
}

// observe counts what is left, of every namespaced resource that is served.
func (c *Controller) observe(ctx context.Context, ns *corev1.Namespace) observed {
	o := observed{Namespace: ns, Now: c.cfg.Clock.Now()}
	resources, err := c.transport.Resources(ctx)
	if err != nil {
		o.Discovery = err
		return o
	}
	for _, r := range resources {
		if !r.Namespaced || r.Group == "events.k8s.io" { // a view of what core events are
			continue
		}
		c.watch(r)
		objs, _, err := client.Dynamic(c.transport, r).List(ctx, ns.Name, metav1.ListOptions{})
		switch {
		case apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err):
		case err != nil:
			o.Failures = append(o.Failures, fmt.Errorf("listing %s: %w", r, err))
		default:
			o.Content = append(o.Content, count(r, objs))
		}
	}
	return o
}

func count(r api.Resource, objs []api.Object) Content {
	c := Content{Resource: r, Count: len(objs), Finalizers: map[string]int{}}
	for _, obj := range objs {
		if obj.GetDeletionTimestamp() == nil {
			c.Pending++
		}
		for _, f := range obj.GetFinalizers() {
			c.Finalizers[f]++
		}
	}
	return c
}

// watch makes the end of any object of r wake its namespace, if that is going.
func (c *Controller) watch(r api.Resource) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.watched[r] || r.Name == "events" {
		return
	}
	c.watched[r] = true
	client.InformerOf(c.informers, r).Handle(func(old, obj api.Object) {
		if obj != nil {
			return
		}
		if ns, ok := c.namespaces.Get("", old.GetNamespace()); ok && ns.DeletionTimestamp != nil {
			c.loop.Enqueue(reconcile.Key{Name: ns.Name})
		}
	})
}

// empty deletes the collections of the plan and puts it on record.
func (c *Controller) empty(ctx context.Context, ns *corev1.Namespace, plan Plan) (failures []error, err error) {
	err = c.cfg.Apply("namespace", ns, nil, plan, func() error {
		background := metav1.DeletePropagationBackground
		for _, r := range plan.Delete {
			err := client.Dynamic(c.transport, r).DeleteCollection(ctx, ns.Name, metav1.DeleteOptions{PropagationPolicy: &background}, metav1.ListOptions{})
			if err != nil && !apierrors.IsNotFound(err) {
				failures = append(failures, fmt.Errorf("deleting %s: %w", r, err))
			}
		}
		return errors.Join(failures...)
	})
	if ctx.Err() != nil {
		return nil, err
	}
	return failures, nil // they show in the conditions, and the key is retried
}

// conclude writes the conditions and, when the namespace is empty, takes our finalizer off.
func (c *Controller) conclude(ctx context.Context, ns *corev1.Namespace, plan Plan) error {
	if !equality.Semantic.DeepEqual(ns.Status.Conditions, plan.Conditions) {
		changed := ns.DeepCopy()
		changed.Status.Conditions, changed.Status.Phase = plan.Conditions, corev1.NamespaceTerminating
		stored, err := c.namespace.UpdateStatus(ctx, changed)
		if err != nil {
			return control.IgnoreGone(fmt.Errorf("writing the conditions: %w", err))
		}
		ns = stored
	}
	if !plan.Finalize {
		return nil
	}
	return c.cfg.Apply("namespace", ns, nil, plan, func() error {
		changed := ns.DeepCopy()
		changed.Spec.Finalizers = slices.DeleteFunc(changed.Spec.Finalizers, func(f corev1.FinalizerName) bool { return f == corev1.FinalizerKubernetes })
		_, err := c.transport.Update(ctx, client.Request{Resource: c.namespace.Resource(), Name: ns.Name, Subresource: "finalize"}, changed, metav1.UpdateOptions{})
		return control.IgnoreGone(err)
	})
}
