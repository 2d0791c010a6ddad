// Package replicas keeps as many pods alive as a set of replicas asks for: it adopts and
// releases pods by selector, creates missing ones, deletes surplus ones and reports.
// ReplicaSets and ReplicationControllers are such sets; what differs is in their Shape.
// It refuses to act on a view in which its own last writes have not appeared yet.
package replicas

import (
	"context"
	"errors"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/miniorch/miniorch/controllers/brake"
	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/controllers/names"
	"github.com/miniorch/miniorch/controllers/ownership"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/reconcile"
)

// safetyRecheck is when a set is looked at again whose expected events have not come.
const safetyRecheck = time.Minute

// Shape makes a ReplicaSet, which is what is decided about, of another kind that asks for replicas.
type Shape[O api.Object] struct {
	Name string // of the controller: "replicaset"
	Kind schema.GroupVersionKind
	// View returns the object as a ReplicaSet, which nobody changes.
	View func(obj O) *appsv1.ReplicaSet
	// WithStatus returns a copy of the object with this status.
	WithStatus func(obj O, status appsv1.ReplicaSetStatus) O
}

// Controller reconciles one kind of sets.
type Controller[O api.Object] struct {
	shape   Shape[O]
	cfg     control.Config
	sets    *client.Informer[O]
	pods    *client.Informer[*corev1.Pod]
	set     client.Client[O]
	pod     client.Client[*corev1.Pod]
	claimer ownership.Claimer[O, *corev1.Pod]
	expect  *reconcile.Expectations
	seen    names.Register
	loop    *reconcile.Loop
}

// New wires the controller; Run starts it.
func New[O api.Object](t client.Transport, informers *client.Informers, shape Shape[O], cfg control.Config) *Controller[O] {
	c := &Controller[O]{
		shape: shape,
		cfg:   cfg.WithDefaults(shape.Name),
		sets:  client.InformerFor[O](informers),
		pods:  client.InformerFor[*corev1.Pod](informers),
		set:   client.Of[O](t),
		pod:   client.Of[*corev1.Pod](t),
	}
	c.claimer = ownership.Claimer[O, *corev1.Pod]{Kind: shape.Kind, Owners: c.set, Children: c.pod}
	c.expect = reconcile.NewExpectations(c.cfg.Clock)
	c.loop = reconcile.New(shape.Name, c, c.cfg.Loop(4))
	ownership.Index(c.pods)
	ownership.Index(c.sets)
	c.sets.Handle(c.forget)
	reconcile.Watch(c.loop, c.sets, reconcile.KeyOf)
	reconcile.Watch(c.loop, c.pods, c.concern().Keys)
	return c
}

// Run reconciles until ctx ends.
func (c *Controller[O]) Run(ctx context.Context) error { return c.loop.Run(ctx) }

// Reconcile brings one set's pods nearer to what it asks for.
func (c *Controller[O]) Reconcile(ctx context.Context, key reconcile.Key) (reconcile.Result, error) {
	obj, ok := c.sets.Get(key.Namespace, key.Name)
	if !ok {
		return reconcile.Result{}, nil
	}
	rs := c.shape.View(obj)
	// Before the pods are read, or what comes between is counted as read:
	satisfied, unused := c.expect.Satisfied(key), c.seen.Snapshot(sequence(rs), rs.UID)
	pods, err := c.claimer.Claim(ctx, obj, rs.Spec.Selector, ownership.Candidates(c.pods, rs))
	if err != nil {
		return reconcile.Result{}, err
	}
	var plan Plan
	if satisfied {
		if plan, pods, err = c.confirm(ctx, obj, decide(c.observe(rs, pods, unused)), pods); err != nil {
			return reconcile.Result{}, err
		}
	}
	fail := c.apply(ctx, key, obj, plan)
	status, after := newStatus(rs, pods, fail, c.cfg.Clock.Now())
	if after == 0 && !satisfied {
		after = safetyRecheck
	}
	err = c.writeStatus(ctx, obj, status)
	if fail != nil {
		err = errors.Join(fail.err, err)
	}
	return reconcile.Result{After: after}, err
}

func (c *Controller[O]) observe(rs *appsv1.ReplicaSet, pods []*corev1.Pod, unused names.Unused) observed {
	o := observed{Set: rs, Pods: pods, Now: c.cfg.Clock.Now()}
	if missing := desired(rs) - len(activePods(pods)); missing > 0 {
		o.Free = unused.Next(min(missing, burst) + len(pods))
	}
	if owner := metav1.GetControllerOfNoCopy(rs); owner != nil && len(activePods(pods)) > desired(rs) {
		related := []*corev1.Pod{}
		for _, sibling := range ownership.Controlled(c.sets, owner.UID) {
			related = append(related, ownership.Controlled(c.pods, sibling.GetUID())...)
		}
		o.Neighbours = countByNode(related)
	}
	return o
}

// confirm decides again from a consistent read when the plan would delete suspiciously much.
func (c *Controller[O]) confirm(ctx context.Context, obj O, plan Plan, pods []*corev1.Pod) (Plan, []*corev1.Pod, error) {
	if !brake.Default.Trips(len(plan.Delete), len(pods)) {
		return plan, pods, nil
	}
	rs := c.shape.View(obj)
	unused := c.seen.Snapshot(sequence(rs), rs.UID)
	live, err := c.set.Get(ctx, rs.Namespace, rs.Name)
	if err != nil {
		return Plan{}, nil, fmt.Errorf("confirming the deletion of %d pods: %w", len(plan.Delete), err)
	}
	if live.GetUID() != rs.UID {
		return Plan{}, nil, fmt.Errorf("confirming the deletion of %d pods: the set was replaced", len(plan.Delete))
	}
	all, _, err := c.pod.List(ctx, rs.Namespace, metav1.ListOptions{LabelSelector: metav1.FormatLabelSelector(rs.Spec.Selector)})
	if err != nil {
		return Plan{}, nil, fmt.Errorf("confirming the deletion of %d pods: %w", len(plan.Delete), err)
	}
	var owned []*corev1.Pod
	for _, p := range all {
		if ref := metav1.GetControllerOfNoCopy(p); ref != nil && ref.UID == rs.UID {
			owned = append(owned, p)
		}
	}
	confirmed := decide(c.observe(c.shape.View(live), owned, unused))
	if len(confirmed.Delete) < len(plan.Delete) {
		c.cfg.HeldBack(obj, len(plan.Delete), len(pods), "pods", confirmed)
	}
	return confirmed, owned, nil
}

func (c *Controller[O]) writeStatus(ctx context.Context, obj O, status appsv1.ReplicaSetStatus) error {
	changed := c.shape.WithStatus(obj, status)
	if equality.Semantic.DeepEqual(c.shape.View(changed).Status, c.shape.View(obj).Status) {
		return nil
	}
	if _, err := c.set.UpdateStatus(ctx, changed); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("writing the status: %w", err)
	}
	return nil
}
