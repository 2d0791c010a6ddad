// Package endpointslice keeps, for every Service with a selector, the EndpointSlices that
// say which pods stand behind it. It owns the slices that carry its managed-by label and
// leaves all others alone.
package endpointslice

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/miniorch/miniorch/controllers/backends"
	"github.com/miniorch/miniorch/controllers/brake"
	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/controllers/names"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/reconcile"
)

// byService indexes our slices under the Service they belong to.
const byService = "endpointslice-controller/service"

// Controller reconciles the slices of Services.
type Controller struct {
	cfg      control.Config
	services *client.Informer[*corev1.Service]
	pods     *client.Informer[*corev1.Pod]
	nodes    *client.Informer[*corev1.Node]
	slices   *client.Informer[*discoveryv1.EndpointSlice]
	service  client.Client[*corev1.Service]
	pod      client.Client[*corev1.Pod]
	slice    client.Client[*discoveryv1.EndpointSlice]
	seen     names.Register
	capacity capacity
	loop     *reconcile.Loop
}

// New wires the controller; Run starts it.
func New(t client.Transport, informers *client.Informers, cfg control.Config) *Controller {
	c := &Controller{
		cfg:      cfg.WithDefaults("endpointslice"),
		services: client.InformerFor[*corev1.Service](informers),
		pods:     client.InformerFor[*corev1.Pod](informers),
		nodes:    client.InformerFor[*corev1.Node](informers),
		slices:   client.InformerFor[*discoveryv1.EndpointSlice](informers),
		service:  client.Of[*corev1.Service](t),
		pod:      client.Of[*corev1.Pod](t),
		slice:    client.Of[*discoveryv1.EndpointSlice](t),
		capacity: capacity{nodes: map[string]place{}},
	}
	c.loop = reconcile.New("endpointslice", c, c.cfg.Loop(4))
	backends.IndexServices(c.services)
	c.slices.Index(byService, func(s *discoveryv1.EndpointSlice) []string {
		if key, ok := serviceOf(s); ok {
			return []string{key.String()}
		}
		return nil
	})
	c.services.Handle(func(old, svc *corev1.Service) {
		if old != nil && (svc == nil || svc.UID != old.UID) {
			c.seen.Forget(old.UID)
		}
	})
	reconcile.Watch(c.loop, c.services, reconcile.KeyOf)
	reconcile.Watch(c.loop, c.pods, backends.KeysOfPod(c.services))
	c.nodes.Handle(c.nodeChanged)
	reconcile.Watch(c.loop, c.slices, func(old, s *discoveryv1.EndpointSlice) (keys []reconcile.Key) {
		for _, version := range []*discoveryv1.EndpointSlice{old, s} {
			if version == nil {
				continue
			}
			if key, ok := serviceOf(version); ok {
				keys = append(keys, key)
			}
		}
		c.see(s)
		return keys
	})
	return c
}

// nodeChanged looks at all Services again when a node turns out to be in another zone, which is
// rare: a node's labels come with it. Those that follow the topology are looked at when a zone's share changes.
func (c *Controller) nodeChanged(old, n *corev1.Node) {
	moved := n != nil && zoneOf(old) != zoneOf(n)
	shared := false
	if n != nil {
		shared = c.capacity.set(n.Name, n)
	} else {
		shared = c.capacity.set(old.Name, nil)
	}
	if !moved && !shared {
		return
	}
	for _, svc := range c.services.List("", nil) {
		if moved || followsTopology(svc) {
			c.loop.Enqueue(reconcile.Key{Namespace: svc.Namespace, Name: svc.Name})
		}
	}
}

func zoneOf(n *corev1.Node) string {
	if n == nil {
		return ""
	}
	return n.Labels[corev1.LabelTopologyZone]
}

// Run reconciles until ctx ends.
func (c *Controller) Run(ctx context.Context) error { return c.loop.Run(ctx) }

// Reconcile brings the slices of one Service up to date.
func (c *Controller) Reconcile(ctx context.Context, key reconcile.Key) (reconcile.Result, error) {
	var o observed
	var unused names.Unused // before the slices are read: see names.Register.Snapshot
	if svc, ok := c.services.Get(key.Namespace, key.Name); ok {
		o.Service, unused = svc, c.seen.Snapshot(sequence(svc), svc.UID)
		if backends.Managed(svc) {
			o.Pods = c.pods.List(key.Namespace, labels.SelectorFromSet(svc.Spec.Selector))
		}
	}
	o.Slices, o.Zones, o.Shares = c.slices.ByIndex(byService, key.String()), c.zones(o.Pods), c.capacity.shares()
	plan := decide(o)
	if brake.Default.Trips(plan.Lost, plan.Had) {
		confirmed, err := c.confirm(ctx, key, o, plan)
		if err != nil {
			return reconcile.Result{}, err
		}
		plan = confirmed
	}
	name(o, plan, unused)
	return reconcile.Result{}, c.apply(ctx, o, plan)
}

// name gives new slices the first names that no slice of the Service is known to have had, so
// that a stale view asks for names that exist.
func name(o observed, plan Plan, unused names.Unused) {
	free := names.Free(unused.Next(len(plan.Create)+len(o.Slices)), len(plan.Create), o.Slices)
	for i, name := range free {
		plan.Create[i].Name = name
	}
}

// confirm decides again from a consistent read when suspiciously many endpoints would go.
func (c *Controller) confirm(ctx context.Context, key reconcile.Key, o observed, plan Plan) (Plan, error) {
	svc, err := c.service.Get(ctx, key.Namespace, key.Name)
	switch {
	case apierrors.IsNotFound(err):
		o.Service, o.Pods = nil, nil
	case err != nil:
		return Plan{}, fmt.Errorf("confirming that %d endpoints go: %w", plan.Lost, err)
	case o.Service == nil || o.Service.UID != svc.UID:
		return Plan{}, nil // the view lacks this Service, and will wake us when it does not
	default:
		o.Service, o.Pods = svc, nil
		if backends.Managed(svc) {
			selector := labels.SelectorFromSet(svc.Spec.Selector).String()
			if o.Pods, _, err = c.pod.List(ctx, key.Namespace, metav1.ListOptions{LabelSelector: selector}); err != nil {
				return Plan{}, fmt.Errorf("confirming that %d endpoints go: %w", plan.Lost, err)
			}
		}
		o.Zones = c.zones(o.Pods)
	}
	confirmed := decide(o)
	if confirmed.Lost < plan.Lost && svc != nil {
		c.cfg.HeldBack(svc, plan.Lost, plan.Had, "endpoints", confirmed)
	}
	return confirmed, nil
}

func (c *Controller) zones(pods []*corev1.Pod) map[string]string {
	zones := map[string]string{}
	for _, p := range pods {
		if node, ok := c.nodes.Get("", p.Spec.NodeName); ok {
			if zone := zoneOf(node); zone != "" {
				zones[node.Name] = zone
			}
		}
	}
	return zones
}

// apply carries the plan out and puts it on record. Updates are fenced by resourceVersion.
func (c *Controller) apply(ctx context.Context, o observed, plan Plan) error {
	if plan.Empty() {
		return nil
	}
	about := o.Service
	if about == nil {
		gone := plan.Delete[0]
		about = &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: gone.Namespace, Name: gone.Labels[discoveryv1.LabelServiceName]}}
	}
	if o.Service != nil {
		c.tell(o, plan)
	}
	return c.cfg.Apply("endpointslice", about, control.Refs(o.Pods), plan, func() error {
		for _, s := range plan.Create {
			if err := c.create(ctx, o.Service, s); err != nil {
				return err
			}
		}
		for _, change := range plan.Update {
			if _, err := c.slice.Update(ctx, change.New); err != nil && !apierrors.IsNotFound(err) {
				return fmt.Errorf("updating slice %q: %w", change.Old.Name, err)
			}
		}
		var errs []error
		for _, s := range plan.Delete {
			err := c.slice.Delete(ctx, s.Namespace, s.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &s.UID}})
			if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
				errs = append(errs, fmt.Errorf("deleting slice %q: %w", s.Name, err))
			}
		}
		return errors.Join(errs...)
	})
}

// tell says when zones begin to have their shares of the endpoints, or why they cannot.
func (c *Controller) tell(o observed, plan Plan) {
	hinted := slices.ContainsFunc(o.Slices, func(s *discoveryv1.EndpointSlice) bool {
		return slices.ContainsFunc(s.Endpoints, func(e discoveryv1.Endpoint) bool { return e.Hints != nil })
	})
	switch {
	case plan.Unshared != nil:
		c.cfg.Eventf(o.Service, corev1.EventTypeWarning, "TopologyAwareHintsDisabled", "No zones are hinted: %v", plan.Unshared)
	case followsTopology(o.Service) && !hinted:
		c.cfg.Eventf(o.Service, corev1.EventTypeNormal, "TopologyAwareHintsEnabled", "Topology Aware Hints has been enabled")
	}
}

func (c *Controller) create(ctx context.Context, svc *corev1.Service, s *discoveryv1.EndpointSlice) error {
	name := s.Name
	_, err := c.slice.Create(ctx, s)
	switch {
	case err == nil || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return nil
	case !apierrors.IsAlreadyExists(err):
		return fmt.Errorf("creating slice %q: %w", name, err)
	}
	existing, err := c.slice.Get(ctx, svc.Namespace, name)
	if err != nil {
		return fmt.Errorf("reading the slice whose name is taken: %w", err)
	}
	if ref := metav1.GetControllerOfNoCopy(existing); ref != nil && ref.UID == svc.UID {
		return nil // it is ours: the view is stale, and will wake us when it is not
	}
	c.seen.See(sequence(svc), svc.UID, name, false)
	return fmt.Errorf("the name %q belongs to a slice of somebody else", name)
}

// see notes the name of a slice as used.
func (c *Controller) see(s *discoveryv1.EndpointSlice) {
	if s == nil {
		return
	}
	if ref := metav1.GetControllerOfNoCopy(s); ref != nil {
		c.seen.See(names.For(ref.Name+"-", ref.UID), ref.UID, s.Name, !c.slices.Synced())
	}
}

// serviceOf returns the Service that a slice of ours belongs to.
func serviceOf(s *discoveryv1.EndpointSlice) (reconcile.Key, bool) {
	name := s.Labels[discoveryv1.LabelServiceName]
	if s.Labels[discoveryv1.LabelManagedBy] != manager || name == "" {
		return reconcile.Key{}, false
	}
	return reconcile.Key{Namespace: s.Namespace, Name: name}, true
}
