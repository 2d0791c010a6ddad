// Package daemonset keeps one pod of each DaemonSet on every node that it is for, follows nodes as
// they come, go and change, and rolls new templates out from node to node. It binds no
// pods: each asks the scheduler for its node by name.
package daemonset

import (
	"cmp"
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
	"github.com/miniorch/miniorch/controllers/names"
	"github.com/miniorch/miniorch/controllers/ownership"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/reconcile"
)

var kind = appsv1.SchemeGroupVersion.WithKind("DaemonSet")

// maxWait is how long a failed pod stays at most that fails again and again.
const maxWait = 15 * time.Minute

// safetyRecheck is when a set is looked at again whose expected events have not come.
const safetyRecheck = time.Minute

// Controller reconciles DaemonSets.
type Controller struct {
	cfg       control.Config
	sets      *client.Informer[*appsv1.DaemonSet]
	pods      *client.Informer[*corev1.Pod]
	nodes     *client.Informer[*corev1.Node]
	revisions *client.Informer[*appsv1.ControllerRevision]

	set      client.Client[*appsv1.DaemonSet]
	pod      client.Client[*corev1.Pod]
	node     client.Client[*corev1.Node]
	revision client.Client[*appsv1.ControllerRevision]

	podClaimer      ownership.Claimer[*appsv1.DaemonSet, *corev1.Pod]
	revisionClaimer ownership.Claimer[*appsv1.DaemonSet, *appsv1.ControllerRevision]
	expect          *reconcile.Expectations
	seen            names.Register     // by set and node
	failures        *children.Failures // by set and node
	loop            *reconcile.Loop
}

// New wires the controller; Run starts it.
func New(t client.Transport, informers *client.Informers, cfg control.Config) *Controller {
	c := &Controller{
		cfg:       cfg.WithDefaults("daemonset"),
		sets:      client.InformerFor[*appsv1.DaemonSet](informers),
		pods:      client.InformerFor[*corev1.Pod](informers),
		nodes:     client.InformerFor[*corev1.Node](informers),
		revisions: client.InformerFor[*appsv1.ControllerRevision](informers),
		set:       client.Of[*appsv1.DaemonSet](t),
		pod:       client.Of[*corev1.Pod](t),
		node:      client.Of[*corev1.Node](t),
		revision:  client.Of[*appsv1.ControllerRevision](t),
	}
	c.podClaimer = ownership.Claimer[*appsv1.DaemonSet, *corev1.Pod]{Kind: kind, Owners: c.set, Children: c.pod}
	c.revisionClaimer = ownership.Claimer[*appsv1.DaemonSet, *appsv1.ControllerRevision]{Kind: kind, Owners: c.set, Children: c.revision}
	c.expect = reconcile.NewExpectations(c.cfg.Clock)
	c.failures = children.NewFailures(maxWait)
	c.loop = reconcile.New("daemonset", c, c.cfg.Loop(2))
	ownership.Index(c.pods)
	ownership.Index(c.revisions)
	c.sets.Handle(c.forget)
	reconcile.Watch(c.loop, c.sets, reconcile.KeyOf)
	reconcile.Watch(c.loop, c.pods, c.concern().Keys)
	reconcile.Watch(c.loop, c.revisions, ownership.Concern[*appsv1.ControllerRevision]{Kind: kind}.Keys)
	reconcile.Watch(c.loop, c.nodes, c.keysOfNode)
	return c
}

// Run reconciles until ctx ends.
func (c *Controller) Run(ctx context.Context) error { return c.loop.Run(ctx) }

// Reconcile takes one step of one set. What deletes pods is decided again on what is read live, so
// that none goes on the word of an old template or of an old look at the others.
func (c *Controller) Reconcile(ctx context.Context, key reconcile.Key) (reconcile.Result, error) {
	set, ok := c.sets.Get(key.Namespace, key.Name)
	if !ok {
		return reconcile.Result{}, nil
	}
	satisfied := c.expect.Satisfied(key)
	o, err := c.observe(ctx, set)
	if err != nil {
		return reconcile.Result{}, err
	}
	plan := decide(o)
	if satisfied && plan.matters() {
		if o, err = c.confirm(ctx, o, plan); err != nil {
			return reconcile.Result{}, control.IgnoreGone(err)
		}
		plan = decide(o)
	}
	if !satisfied {
		plan.After = cmp.Or(plan.After, safetyRecheck)
	} else if !plan.Empty() {
		err = c.cfg.Apply("daemonset", o.Set, nil, plan, func() error { return c.apply(ctx, key, o, plan) })
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
func (c *Controller) observe(ctx context.Context, set *appsv1.DaemonSet) (observed, error) {
	o := observed{Set: set, Nodes: c.nodes.List("", nil), Now: c.cfg.Clock.Now(), Wait: c.failures.Wait}
	// Before the pods are read, or what comes between is counted as read:
	o.Name = c.nextName(set, o.Nodes)
	var err error
	if o.Pods, err = c.podClaimer.Claim(ctx, set, set.Spec.Selector, ownership.Candidates(c.pods, set)); err != nil {
		return o, err
	}
	o.Revisions, err = c.revisionClaimer.Claim(ctx, set, set.Spec.Selector, ownership.Candidates(c.revisions, set))
	return o, err
}

// confirm reads the set live, its pods if some are to go, and the nodes if many are.
func (c *Controller) confirm(ctx context.Context, o observed, plan Plan) (observed, error) {
	live, err := c.set.Get(ctx, o.Set.Namespace, o.Set.Name)
	if err != nil {
		return o, err
	}
	if live.UID != o.Set.UID {
		return o, fmt.Errorf("reading the set: the view has an older one of its name")
	}
	existing := len(o.Pods)
	o.Set = live
	if len(plan.Delete) == 0 {
		return o, nil
	}
	trips := brake.Default.Trips(len(plan.Delete), existing)
	if trips {
		if o.Nodes, _, err = c.node.List(ctx, "", metav1.ListOptions{}); err != nil {
			return o, fmt.Errorf("confirming which nodes there are: %w", err)
		}
		o.Name = c.nextName(live, o.Nodes)
	}
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
	if !trips {
		return o, nil
	}
	if confirmed := decide(o); len(confirmed.Delete) < len(plan.Delete) {
		c.cfg.HeldBack(live, len(plan.Delete), existing, "pods", confirmed)
	}
	return o, nil
}
