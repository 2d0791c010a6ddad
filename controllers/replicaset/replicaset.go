// Package replicaset keeps as many pods alive as each ReplicaSet asks for: it adopts and
// releases pods by selector, creates missing ones, deletes surplus ones and reports.
// It refuses to act on a view in which its own last writes have not appeared yet.
package replicaset

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

	"github.com/miniorch/miniorch/controllers/brake"
	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/controllers/names"
	"github.com/miniorch/miniorch/controllers/ownership"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/reconcile"
)

var kind = appsv1.SchemeGroupVersion.WithKind("ReplicaSet")

// safetyRecheck is when a set is looked at again whose expected events have not come.
const safetyRecheck = time.Minute

// Controller reconciles ReplicaSets.
type Controller struct {
	cfg     control.Config
	sets    *client.Informer[*appsv1.ReplicaSet]
	pods    *client.Informer[*corev1.Pod]
	set     client.Client[*appsv1.ReplicaSet]
	pod     client.Client[*corev1.Pod]
	claimer ownership.Claimer[*appsv1.ReplicaSet, *corev1.Pod]
	expect  *reconcile.Expectations
	seen    names.Register
	loop    *reconcile.Loop
}

// New wires the controller; Run starts it.
func New(t client.Transport, informers *client.Informers, cfg control.Config) *Controller {
	c := &Controller{
		cfg:  cfg.WithDefaults("replicaset"),
		sets: client.InformerFor[*appsv1.ReplicaSet](informers),
		pods: client.InformerFor[*corev1.Pod](informers),
		set:  client.Of[*appsv1.ReplicaSet](t),
		pod:  client.Of[*corev1.Pod](t),
	}
	c.claimer = ownership.Claimer[*appsv1.ReplicaSet, *corev1.Pod]{Kind: kind, Owners: c.set, Children: c.pod}
	c.expect = reconcile.NewExpectations(c.cfg.Clock)
	c.loop = reconcile.New("replicaset", c, c.cfg.Loop(4))
	ownership.Index(c.pods)
	ownership.Index(c.sets)
	c.sets.Handle(c.forget)
	reconcile.Watch(c.loop, c.sets, reconcile.KeyOf)
	reconcile.Watch(c.loop, c.pods, c.keysOfPod)
	return c
}

// Run reconciles until ctx ends.
func (c *Controller) Run(ctx context.Context) error { return c.loop.Run(ctx) }

// Reconcile brings one ReplicaSet's pods nearer to what it asks for.
func (c *Controller) Reconcile(ctx context.Context, key reconcile.Key) (reconcile.Result, error) {
	rs, ok := c.sets.Get(key.Namespace, key.Name)
	if !ok {
		return reconcile.Result{}, nil
	}
	// Before the pods are read, or what comes between is counted as read:
	satisfied, unused := c.expect.Satisfied(key), c.seen.Snapshot(sequence(rs), rs.UID)
	pods, err := c.claimer.Claim(ctx, rs, rs.Spec.Selector, ownership.Candidates(c.pods, rs))
	if err != nil {
		return reconcile.Result{}, err
	}
	var plan Plan
	if satisfied {
		if plan, pods, err = c.confirm(ctx, rs, decide(c.observe(rs, pods, unused)), pods); err != nil {
			return reconcile.Result{}, err
		}
	}
	fail := c.apply(ctx, key, rs, plan)
	status, after := newStatus(rs, pods, fail, c.cfg.Clock.Now())
	if after == 0 && !satisfied {
		after = safetyRecheck
	}
	err = c.writeStatus(ctx, rs, status)
	if fail != nil {
		err = errors.Join(fail.err, err)
	}
	return reconcile.Result{After: after}, err
}

func (c *Controller) observe(rs *appsv1.ReplicaSet, pods []*corev1.Pod, unused names.Unused) observed {
	o := observed{Set: rs, Pods: pods, Now: c.cfg.Clock.Now()}
	if missing := desired(rs) - len(activePods(pods)); missing > 0 {
		o.Free = unused.Next(min(missing, burst) + len(pods))
	}
	if owner := metav1.GetControllerOfNoCopy(rs); owner != nil && len(activePods(pods)) > desired(rs) {
		related := []*corev1.Pod{}
		for _, sibling := range ownership.Controlled(c.sets, owner.UID) {
			related = append(related, ownership.Controlled(c.pods, sibling.UID)...)
		}
		o.Neighbours = countByNode(related)
	}
	return o
}

// confirm decides again from a consistent read when the plan would delete suspiciously much.
func (c *Controller) confirm(ctx context.Context, rs *appsv1.ReplicaSet, plan Plan, pods []*corev1.Pod) (Plan, []*corev1.Pod, error) {
	if !brake.Default.Trips(len(plan.Delete), len(pods)) {
		return plan, pods, nil
	}
	unused := c.seen.Snapshot(sequence(rs), rs.UID)
	live, err := c.set.Get(ctx, rs.Namespace, rs.Name)
	if err != nil {
		return Plan{}, nil, fmt.Errorf("confirming the deletion of %d pods: %w", len(plan.Delete), err)
	}
	if live.UID != rs.UID {
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
	confirmed := decide(c.observe(live, owned, unused))
	if len(confirmed.Delete) < len(plan.Delete) {
		c.cfg.Eventf(rs, corev1.EventTypeWarning, "DeletionHeldBack", "%s",
			brake.Message(len(plan.Delete), len(pods), "pods", confirmed.String()))
	}
	return confirmed, owned, nil
}

func (c *Controller) writeStatus(ctx context.Context, rs *appsv1.ReplicaSet, status appsv1.ReplicaSetStatus) error {
	if equality.Semantic.DeepEqual(rs.Status, status) {
		return nil
	}
	changed := rs.DeepCopy()
	changed.Status = status
	if _, err := c.set.UpdateStatus(ctx, changed); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("writing the status: %w", err)
	}
	return nil
}
