package job

import (
	"context"
	"errors"
	"fmt"
	"sync"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/controllers/ownership"
	"github.com/miniorch/miniorch/pkg/reconcile"
)

// apply carries the plan out. The status comes first: it is fenced by the version that was
// read, and nothing else happens on the word of an old one.
func (c *Controller) apply(ctx context.Context, key reconcile.Key, j *batchv1.Job, plan Plan) error {
	if plan.Status != nil {
		changed := j.DeepCopy()
		changed.Status = *plan.Status
		written, err := c.job.UpdateStatus(ctx, changed)
		if err != nil {
			return fmt.Errorf("writing the status: %w", err)
		}
		c.forgetReleased(&j.Status, &written.Status)
		for _, e := range plan.Events {
			c.cfg.Eventf(j, e.Type, e.Reason, "%s", e.Message)
		}
	}
	err := errors.Join(
		forAll(plan.Release, func(p *corev1.Pod) error { return c.release(ctx, p) }),
		forAll(plan.Drop, func(p *corev1.Pod) error {
			if err := c.release(ctx, p); err != nil {
				return err
			}
			return c.remove(ctx, key, j, p)
		}),
		forAll(plan.Delete, func(p *corev1.Pod) error { return c.remove(ctx, key, j, p) }),
		c.create(ctx, key, j, plan.Create),
	)
	if err == nil && plan.Remove {
		err = c.removeJob(ctx, j)
	}
	return err
}

// release takes the finalizer off a pod.
func (c *Controller) release(ctx context.Context, p *corev1.Pod) error {
	if !tracked(p) {
		return nil
	}
	if err := ownership.TakeOff(ctx, c.pod, p, batchv1.JobTrackingFinalizer); err != nil {
		return fmt.Errorf("releasing pod %q: %w", p.Name, err)
	}
	c.rememberReleased(p.UID)
	return nil
}

func (c *Controller) remove(ctx context.Context, key reconcile.Key, j *batchv1.Job, p *corev1.Pod) error {
	c.expect.ExpectDeletions(key, p.UID)
	err := c.pod.Delete(ctx, p.Namespace, p.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &p.UID}})
	if err == nil {
		c.cfg.Eventf(j, corev1.EventTypeNormal, "SuccessfulDelete", "Deleted pod: %s", p.Name)
		return nil
	}
	c.expect.Deleted(key, p.UID)
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) { // gone, or a namesake: the view is stale
		return nil
	}
	c.cfg.Eventf(j, corev1.EventTypeWarning, "FailedDelete", "Error deleting: %v", err)
	return fmt.Errorf("deleting pod %q: %w", p.Name, err)
}

// create makes pods in batches that double, so that a job whose pods are refused asks a
// few times instead of a thousand times.
func (c *Controller) create(ctx context.Context, key reconcile.Key, j *batchv1.Job, all []Creation) error {
	c.expect.ExpectCreations(key, len(all))
	for size := 1; len(all) > 0; size *= 2 {
		size = min(size, len(all))
		err := forAll(all[:size], func(one Creation) error { return c.createOne(ctx, key, j, one) })
		all = all[size:]
		if withoutStale(err) != nil {
			for range all {
				c.expect.Created(key)
			}
			if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) { // the job goes as well
				return nil
			}
			return err
		}
	}
	return nil
}

// errStale says that a plan was made from a view that lacks what exists. It stands in the
// decision record, and is no failure: the view will catch up and wake us.
var errStale = errors.New("it exists already: the view is stale")

// withoutStale drops errStale from err.
func withoutStale(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var rest []error
		for _, e := range joined.Unwrap() {
			rest = append(rest, withoutStale(e))
		}
		return errors.Join(rest...)
	}
	if errors.Is(err, errStale) {
		return nil
	}
	return err
}

func (c *Controller) createOne(ctx context.Context, key reconcile.Key, j *batchv1.Job, one Creation) error {
	made, err := c.pod.Create(ctx, newPod(j, one))
	if err == nil {
		c.cfg.Eventf(j, corev1.EventTypeNormal, "SuccessfulCreate", "Created pod: %s", made.Name)
		return nil
	}
	c.expect.Created(key)
	if apierrors.IsAlreadyExists(err) {
		return c.nameTaken(ctx, j, one.Name)
	}
	if !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		c.cfg.Eventf(j, corev1.EventTypeWarning, "FailedCreate", "Error creating: %v", err)
	}
	return fmt.Errorf("creating pod %q: %w", one.Name, err)
}

// nameTaken handles a name that exists: either the view is stale and the pod is ours, and
// then all is well; or it is somebody else's.
func (c *Controller) nameTaken(ctx context.Context, j *batchv1.Job, name string) error {
	p, err := c.pod.Get(ctx, j.Namespace, name)
	switch {
	case apierrors.IsNotFound(err):
		return fmt.Errorf("creating pod %q: the name was taken and is free again", name)
	case err != nil:
		return fmt.Errorf("reading the pod whose name is taken: %w", err)
	case metav1.IsControlledBy(p, j):
		return fmt.Errorf("creating pod %q: %w", name, errStale)
	}
	c.seen.See(sequence(j), j.UID, name, false)
	return fmt.Errorf("creating pod %q: the name belongs to a pod of somebody else", name)
}

// removeJob deletes a finished job whose time is up, if it is still the one that was looked at.
func (c *Controller) removeJob(ctx context.Context, j *batchv1.Job) error {
	err := c.job.Delete(ctx, j.Namespace, j.Name, metav1.DeleteOptions{
		PropagationPolicy: ptr.To(metav1.DeletePropagationForeground),
		Preconditions:     &metav1.Preconditions{UID: &j.UID, ResourceVersion: &j.ResourceVersion},
	})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("removing the finished job: %w", err)
	}
	return nil
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
