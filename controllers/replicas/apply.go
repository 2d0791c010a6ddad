package replicas

import (
	"context"
	"errors"
	"fmt"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

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
	if err = withoutStale(err); err == nil {
		return nil
	}
	return &failure{reason, err}
}

// errStale says that a plan was made from a view that lacks what exists. It stands in the
// decision record, and is no failure: the view will catch up and wake us.
var errStale = errors.New("it exists already: the view is stale")

func withoutStale(err error) error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		if errors.Is(err, errStale) {
			return nil
		}
		return err
	}
	var rest []error
	for _, e := range joined.Unwrap() {
		rest = append(rest, withoutStale(e))
	}
	return errors.Join(rest...)
}

// create makes pods in batches that double, so that a set whose pods are refused (quota,
// admission) asks a few times instead of a thousand times.
func (c *Controller[O]) create(ctx context.Context, key reconcile.Key, obj O, plan Plan) error {
	c.expect.ExpectCreations(key, len(plan.Create))
	for batch, rest := 1, plan.Create; len(rest) > 0; batch *= 2 {
		batch = min(batch, len(rest))
		err := forAll(rest[:batch], func(name string) error { return c.createOne(ctx, key, obj, name) })
		rest = rest[batch:]
		if err != nil {
			for range rest {
				c.expect.Created(key)
			}
			return ignoreTerminating(err)
		}
	}
	return nil
}

func (c *Controller[O]) createOne(ctx context.Context, key reconcile.Key, obj O, name string) error {
	created, err := c.pod.Create(ctx, newPod(c.shape.View(obj), c.shape.Kind, name))
	if err == nil {
		c.cfg.Eventf(obj, corev1.EventTypeNormal, "SuccessfulCreate", "Created pod: %s", created.Name)
		return nil
	}
	c.expect.Created(key)
	if apierrors.IsAlreadyExists(err) {
		return c.nameTaken(ctx, obj, name)
	}
	if !terminating(err) {
		c.cfg.Eventf(obj, corev1.EventTypeWarning, "FailedCreate", "Error creating: %v", err)
	}
	return fmt.Errorf("creating pod %q: %w", name, err)
}

// nameTaken handles a name that exists: either the view is stale and the pod is ours, and
// then all is well; or it is somebody else's, and the next try leaves the name out.
func (c *Controller[O]) nameTaken(ctx context.Context, obj O, name string) error {
	rs := c.shape.View(obj)
	p, err := c.pod.Get(ctx, rs.Namespace, name)
	switch {
	case apierrors.IsNotFound(err):
		return fmt.Errorf("creating pod %q: the name was taken and is free again", name)
	case err != nil:
		return fmt.Errorf("reading the pod whose name is taken: %w", err)
	}
	if ref := metav1.GetControllerOfNoCopy(p); ref != nil && ref.UID == rs.UID {
		return fmt.Errorf("creating pod %q: %w", name, errStale)
	}
	c.seen.See(sequence(rs), rs.UID, name, false)
	return fmt.Errorf("creating pod %q: the name belongs to a pod of somebody else", name)
}

func (c *Controller[O]) remove(ctx context.Context, key reconcile.Key, obj O, plan Plan) error {
	for _, p := range plan.Delete {
		c.expect.ExpectDeletions(key, p.UID)
	}
	return forAll(plan.Delete, func(p *corev1.Pod) error {
		err := c.pod.Delete(ctx, p.Namespace, p.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &p.UID}})
		switch {
		case err == nil:
			c.cfg.Eventf(obj, corev1.EventTypeNormal, "SuccessfulDelete", "Deleted pod: %s", p.Name)
			return nil
		case apierrors.IsNotFound(err) || apierrors.IsConflict(err): // gone, or a namesake: the view is stale
			c.expect.Deleted(key, p.UID)
			return nil
		}
		c.expect.Deleted(key, p.UID)
		c.cfg.Eventf(obj, corev1.EventTypeWarning, "FailedDelete", "Error deleting: %v", err)
		return fmt.Errorf("deleting pod %q: %w", p.Name, err)
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

// forAll calls f for all items at once and joins the errors.
func forAll[T any](items []T, f func(T) error) error {
	errs := make([]error, len(items))
	var running sync.WaitGroup
	for i, it := range items {
		running.Go(func() { errs[i] = f(it) })
	}
	running.Wait()
	return errors.Join(errs...)
}

func terminating(err error) bool {
	return apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause)
}

// ignoreTerminating drops the error of creating in a namespace that is going: nothing will
// ever make it succeed, and the set goes as well.
func ignoreTerminating(err error) error {
	if terminating(err) {
		return nil
	}
	return err
}
