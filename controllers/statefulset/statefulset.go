// Package statefulset gives every ordinal of a StatefulSet a pod of a fixed name, and the claims that
// go with it: in order or all at once, of the revision that is due, replaced from the top
// when the template changes. It binds no claims and deletes none.
package statefulset

import (
	"context"
	"errors"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/controllers/brake"
	"github.com/miniorch/miniorch/controllers/children"
	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/controllers/history"
	"github.com/miniorch/miniorch/controllers/ownership"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/reconcile"
)

var kind = appsv1.SchemeGroupVersion.WithKind("StatefulSet")

// maxWait is how long a failed pod stays at most that fails again and again.
const maxWait = time.Minute

// Controller reconciles StatefulSets.
type Controller struct {
	cfg       control.Config
	sets      *client.Informer[*appsv1.StatefulSet]
	pods      *client.Informer[*corev1.Pod]
	claims    *client.Informer[*corev1.PersistentVolumeClaim]
	revisions *client.Informer[*appsv1.ControllerRevision]

	set      client.Client[*appsv1.StatefulSet]
	pod      client.Client[*corev1.Pod]
	claim    client.Client[*corev1.PersistentVolumeClaim]
	revision client.Client[*appsv1.ControllerRevision]

	podClaimer      ownership.Claimer[*appsv1.StatefulSet, *corev1.Pod]
	revisionClaimer ownership.Claimer[*appsv1.StatefulSet, *appsv1.ControllerRevision]
	failures        *children.Failures // by set and pod
	loop            *reconcile.Loop
}

// New wires the controller; Run starts it.
func New(t client.Transport, informers *client.Informers, cfg control.Config) *Controller {
	c := &Controller{
		cfg:       cfg.WithDefaults("statefulset"),
		sets:      client.InformerFor[*appsv1.StatefulSet](informers),
		pods:      client.InformerFor[*corev1.Pod](informers),
		claims:    client.InformerFor[*corev1.PersistentVolumeClaim](informers),
		revisions: client.InformerFor[*appsv1.ControllerRevision](informers),
		set:       client.Of[*appsv1.StatefulSet](t),
		pod:       client.Of[*corev1.Pod](t),
		claim:     client.Of[*corev1.PersistentVolumeClaim](t),
		revision:  client.Of[*appsv1.ControllerRevision](t),
	}
	c.podClaimer = ownership.Claimer[*appsv1.StatefulSet, *corev1.Pod]{Kind: kind, Owners: c.set, Children: c.pod}
	c.revisionClaimer = ownership.Claimer[*appsv1.StatefulSet, *appsv1.ControllerRevision]{Kind: kind, Owners: c.set, Children: c.revision}
	c.failures = children.NewFailures(maxWait)
	c.loop = reconcile.New("statefulset", c, c.cfg.Loop(4))
	ownership.Index(c.pods)
	ownership.Index(c.revisions)
	c.sets.Handle(c.forget)
	reconcile.Watch(c.loop, c.sets, reconcile.KeyOf)
	reconcile.Watch(c.loop, c.pods, ownership.Concern[*corev1.Pod]{Kind: kind, Adopters: c.adopter}.Keys)
	reconcile.Watch(c.loop, c.revisions, ownership.Concern[*appsv1.ControllerRevision]{Kind: kind}.Keys)
	reconcile.Watch(c.loop, c.claims, c.keysOfClaim)
	return c
}

// Run reconciles until ctx ends.
func (c *Controller) Run(ctx context.Context) error { return c.loop.Run(ctx) }

// Reconcile takes one step of one set. What is decided on the view is decided again on what is
// read live before anything is done to a pod: names that are fixed make a duplicate impossible, and
// this makes sure that no pod goes on the word of an old template or of an old look at the others.
func (c *Controller) Reconcile(ctx context.Context, key reconcile.Key) (reconcile.Result, error) {
	set, ok := c.sets.Get(key.Namespace, key.Name)
	if !ok {
		return reconcile.Result{}, nil
	}
	o, err := c.observe(ctx, set)
	if err != nil {
		return reconcile.Result{}, err
	}
	plan := decide(o)
	if plan.matters() {
		remove, existing := len(plan.Delete), len(o.Pods)
		if o, err = c.confirm(ctx, o, plan); err != nil {
			return reconcile.Result{}, control.IgnoreGone(err)
		}
		plan = decide(o)
		if brake.Default.Trips(remove, existing) && len(plan.Delete) < remove {
			c.cfg.HeldBack(o.Set, remove, existing, "pods", plan)
		}
	}
	if !plan.Empty() {
		err = c.cfg.Apply("statefulset", o.Set, control.Refs(o.Pods), plan, func() error { return c.apply(ctx, o, &plan) })
	}
	if apierrors.IsConflict(err) {
		return reconcile.Result{}, err
	}
	if errors.Is(err, history.ErrCollision) {
		plan.countCollision()
	}
	return reconcile.Result{After: plan.After}, errors.Join(children.WithoutStale(err), c.writeStatus(ctx, o.Set, plan.Status))
}

// observe reads the view, and claims pods and revisions.
func (c *Controller) observe(ctx context.Context, set *appsv1.StatefulSet) (observed, error) {
	o := observed{Set: set, Claims: map[string]*corev1.PersistentVolumeClaim{}, Now: c.cfg.Clock.Now(), Wait: c.failures.Wait}
	var named []*corev1.Pod // an orphan is adopted only if it has one of the set's names
	for _, p := range ownership.Candidates(c.pods, set) {
		if _, ok := ordinalOf(set, p.Name); ok {
			named = append(named, p)
		}
	}
	var err error
	if o.Pods, err = c.podClaimer.Claim(ctx, set, set.Spec.Selector, named); err != nil {
		return o, err
	}
	if o.Revisions, err = c.revisionClaimer.Claim(ctx, set, set.Spec.Selector, ownership.Candidates(c.revisions, set)); err != nil {
		return o, err
	}
	c.observeClaims(&o)
	return o, nil
}

// observeClaims looks at the claims of all ordinals that there are or should be.
func (c *Controller) observeClaims(o *observed) {
	for _, name := range claimNames(o.Set, o.Pods) {
		if claim, ok := c.claims.Get(o.Set.Namespace, name); ok {
			o.Claims[name] = claim
		}
	}
}

// confirm reads the set live, and its pods if some are to go.
func (c *Controller) confirm(ctx context.Context, o observed, plan Plan) (observed, error) {
	live, err := c.set.Get(ctx, o.Set.Namespace, o.Set.Name)
	if err != nil {
		return o, err
	}
	if live.UID != o.Set.UID {
		return o, fmt.Errorf("reading the set: the view has an older one of its name")
	}
	o.Set = live
	if len(plan.Delete) > 0 {
		all, _, err := c.pod.List(ctx, live.Namespace, metav1.ListOptions{LabelSelector: metav1.FormatLabelSelector(live.Spec.Selector)})
		if err != nil {
			return o, fmt.Errorf("confirming which pods there are: %w", err)
		}
		o.Pods = nil
		for _, p := range all {
			if metav1.IsControlledBy(p, live) {
				o.Pods = append(o.Pods, p)
			}
		}
	}
	c.observeClaims(&o)
	return o, nil
}
