package daemonset

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/controllers/children"
	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/controllers/history"
	"github.com/miniorch/miniorch/controllers/names"
	"github.com/miniorch/miniorch/controllers/ownership"
	"github.com/miniorch/miniorch/pkg/reconcile"
)

// apply carries the plan out. Pods are made only when their revision is there, and only when those
// that are to go were told to: in a rollout a new one on one node may count on that of another.
func (c *Controller) apply(ctx context.Context, key reconcile.Key, o observed, plan Plan) error {
	if err := history.Keep(ctx, c.revision, historyOf(o.Set), plan.History); err != nil {
		return err
	}
	hash := plan.History.Update.Labels[appsv1.DefaultDaemonSetUniqueLabelKey]
	for _, d := range plan.Delete {
		c.expect.ExpectDeletions(key, d.Pod.UID)
	}
	if err := children.ForAll(plan.Delete, func(d Deletion) error { return c.remove(ctx, key, o, d) }); err != nil {
		return err
	}
	c.expect.ExpectCreations(key, len(plan.Create))
	left, err := children.InBatches(plan.Create, func(one Creation) error { return c.create(ctx, key, o.Set, one, hash) })
	for range left {
		c.expect.Created(key)
	}
	return errors.Join(
		control.IgnoreTerminating(err),
		children.ForAll(plan.Relabel, func(p *corev1.Pod) error { return c.relabel(ctx, p, hash) }),
		history.Forget(ctx, c.revision, plan.History),
	)
}

func (c *Controller) create(ctx context.Context, key reconcile.Key, set *appsv1.DaemonSet, one Creation, hash string) error {
	p, err := c.pod.Create(ctx, newPod(set, one, hash))
	if err == nil {
		c.cfg.Eventf(set, corev1.EventTypeNormal, "SuccessfulCreate", "Created pod: %s", p.Name)
		return nil
	}
	c.expect.Created(key)
	if apierrors.IsAlreadyExists(err) {
		return c.nameTaken(ctx, set, one)
	}
	if children.IsFailure(err) {
		c.cfg.Eventf(set, corev1.EventTypeWarning, "FailedCreate", "Error creating: %v", err)
	}
	return fmt.Errorf("creating pod %q: %w", one.Name, err)
}

// nameTaken handles a name that exists: either the view is stale and it is the pod that was to be
// made, and then all is well; or it is another one, and the next try leaves the name out.
func (c *Controller) nameTaken(ctx context.Context, set *appsv1.DaemonSet, one Creation) error {
	p, err := c.pod.Get(ctx, set.Namespace, one.Name)
	switch {
	case apierrors.IsNotFound(err):
		return fmt.Errorf("creating pod %q: the name was taken and is free again", one.Name)
	case err != nil:
		return fmt.Errorf("reading the pod whose name is taken: %w", err)
	case metav1.IsControlledBy(p, set) && targetOf(p) == one.Node:
		return fmt.Errorf("creating pod %q: %w", one.Name, children.ErrStale)
	}
	c.seen.See(sequenceOf(set.Name, set.UID, one.Node), ownerOf(set.UID, one.Node), one.Name, false)
	return fmt.Errorf("creating pod %q: the name belongs to another pod", one.Name)
}

func (c *Controller) remove(ctx context.Context, key reconcile.Key, o observed, d Deletion) error {
	node := targetOf(d.Pod)
	switch d.Pod.Status.Phase {
	case corev1.PodFailed:
		c.failures.Note(o.Set.UID, node, o.Now)
		c.cfg.Eventf(o.Set, corev1.EventTypeWarning, "FailedDaemonPod", "Found failed daemon pod %s/%s on node %s, will try to kill it", d.Pod.Namespace, d.Pod.Name, node)
	case corev1.PodSucceeded:
		c.cfg.Eventf(o.Set, corev1.EventTypeNormal, "SucceededDaemonPod", "Found succeeded daemon pod %s/%s on node %s, will try to delete it", d.Pod.Namespace, d.Pod.Name, node)
	}
	deleted, err := children.Delete(ctx, c.pod, d.Pod)
	if deleted {
		c.cfg.Eventf(o.Set, corev1.EventTypeNormal, "SuccessfulDelete", "Deleted pod: %s", d.Pod.Name)
		return nil
	}
	c.expect.Deleted(key, d.Pod.UID)
	if err != nil {
		c.cfg.Eventf(o.Set, corev1.EventTypeWarning, "FailedDelete", "Error deleting: %v", err)
	}
	return err
}

// relabel says on a pod that it is of the newest revision.
func (c *Controller) relabel(ctx context.Context, p *corev1.Pod, hash string) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": p.UID, "labels": map[string]string{appsv1.DefaultDaemonSetUniqueLabelKey: hash},
	}})
	if err != nil {
		return fmt.Errorf("encoding the label of pod %q: %w", p.Name, err)
	}
	if _, err = c.pod.Patch(ctx, p.Namespace, p.Name, types.MergePatchType, patch, ""); err != nil {
		return control.IgnoreGone(fmt.Errorf("labelling pod %q: %w", p.Name, err))
	}
	return nil
}

// newPod makes the pod of a node from the set's template.
func newPod(set *appsv1.DaemonSet, one Creation, hash string) *corev1.Pod {
	t := set.Spec.Template.DeepCopy()
	if t.Labels == nil {
		t.Labels = map[string]string{}
	}
	t.Labels[appsv1.DefaultDaemonSetUniqueLabelKey] = hash
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: set.Namespace, Name: one.Name, GenerateName: set.Name + "-",
			Labels: t.Labels, Annotations: t.Annotations, Finalizers: t.Finalizers,
			OwnerReferences: []metav1.OwnerReference{ownership.Reference(set, kind)},
		},
		Spec: t.Spec,
	}
	p.Spec.Tolerations = withDaemonTolerations(&t.Spec)
	aim(&p.Spec, one.Node)
	return p
}

// sequenceOf names the pods that a set has on one node, one after the other.
func sequenceOf(set string, uid types.UID, node string) names.Sequence {
	return names.For(set+"-", ownerOf(uid, node))
}

func ownerOf(uid types.UID, node string) types.UID { return uid + "/" + types.UID(node) }

// nextName remembers which names were in use at this moment, and returns what gives the next one
// for a node.
func (c *Controller) nextName(set *appsv1.DaemonSet, nodes []*corev1.Node) func(node string) string {
	unused := make(map[string]names.Unused, len(nodes))
	for _, n := range nodes {
		unused[n.Name] = c.seen.Snapshot(sequenceOf(set.Name, set.UID, n.Name), ownerOf(set.UID, n.Name))
	}
	return func(node string) string { return unused[node].Next(1)[0] }
}
