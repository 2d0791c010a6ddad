package replicas

import (
	"context"
	"errors"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/miniorch/miniorch/controllers/children"
	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/controllers/ownership"
	"github.com/miniorch/miniorch/pkg/reconcile"
)

// apply carries the plan out and puts it on record. It returns what went wrong, nil if nothing.
func (c *Controller[O]) apply(ctx context.Context, key reconcile.Key, obj O, plan Plan) *failure {
	if plan.Empty() {
		return nil
	}
	reason, effects := "FailedCreate", c.create
	if len(plan.Delete) > 0 {
		reason, effects = "FailedDelete", c.remove
	}
	err := c.cfg.Apply(c.shape.Name, obj, nil, plan, func() error { return effects(ctx, key, obj, plan) })
	if err = children.WithoutStale(err); err == nil {
		return nil
	}
	return &failure{reason, err}
}

// create makes pods in batches that double, so that a set whose pods are refused (quota,
// admission) asks a few times instead of a thousand times.
func (c *Controller[O]) create(ctx context.Context, key reconcile.Key, obj O, plan Plan) error {
	c.expect.ExpectCreations(key, len(plan.Create))
	left, err := children.InBatches(plan.Create, func(name string) error { return c.createOne(ctx, key, obj, name) })
	for range left {
		c.expect.Created(key)
	}
	return control.IgnoreTerminating(err)
}

func (c *Controller[O]) createOne(ctx context.Context, key reconcile.Key, obj O, name string) error {
	rs := c.shape.View(obj)
	created, err := children.Create(ctx, c.pod, obj, newPod(rs, c.shape.Kind, name))
	if err == nil {
		c.cfg.Eventf(obj, corev1.EventTypeNormal, "SuccessfulCreate", "Created pod: %s", created.Name)
		return nil
	}
	c.expect.Created(key)
	if errors.Is(err, children.ErrTaken) {
		c.seen.See(sequence(rs), rs.UID, name, false) // the next try leaves the name out
	} else if children.IsFailure(err) {
		c.cfg.Eventf(obj, corev1.EventTypeWarning, "FailedCreate", "Error creating: %v", err)
	}
	return err
}

func (c *Controller[O]) remove(ctx context.Context, key reconcile.Key, obj O, plan Plan) error {
	for _, p := range plan.Delete {
		c.expect.ExpectDeletions(key, p.UID)
	}
	return children.ForAll(plan.Delete, func(p *corev1.Pod) error {
		deleted, err := children.Delete(ctx, c.pod, p)
		if deleted {
			c.cfg.Eventf(obj, corev1.EventTypeNormal, "SuccessfulDelete", "Deleted pod: %s", p.Name)
			return nil
		}
		c.expect.Deleted(key, p.UID)
		if err != nil {
			c.cfg.Eventf(obj, corev1.EventTypeWarning, "FailedDelete", "Error deleting: %v", err)
		}
		return err
	})
}

// newPod makes a pod from the set's template.
func newPod(rs *appsv1.ReplicaSet, kind schema.GroupVersionKind, name string) *corev1.Pod {
	t := rs.Spec.Template.DeepCopy()
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: rs.Namespace, Name: name, GenerateName: rs.Name + "-",
			Labels: t.Labels, Annotations: t.Annotations, Finalizers: t.Finalizers,
			OwnerReferences: []metav1.OwnerReference{ownership.Reference(rs, kind)},
		},
		Spec: t.Spec,
	}
}
