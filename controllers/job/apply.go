package job

import (
	"context"
	"errors"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/controllers/children"
	"github.com/miniorch/miniorch/controllers/control"
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
		children.ForAll(plan.Release, func(p *corev1.Pod) error { return c.release(ctx, p) }),
		children.ForAll(plan.Drop, func(p *corev1.Pod) error {
			if err := c.release(ctx, p); err != nil {
				return err
			}
			return c.remove(ctx, key, j, p)
		}),
		children.ForAll(plan.Delete, func(p *corev1.Pod) error { return c.remove(ctx, key, j, p) }),
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
	deleted, err := children.Delete(ctx, c.pod, p)
	if deleted {
		c.cfg.Eventf(j, corev1.EventTypeNormal, "SuccessfulDelete", "Deleted pod: %s", p.Name)
		return nil
	}
	c.expect.Deleted(key, p.UID)
	if err != nil {
		c.cfg.Eventf(j, corev1.EventTypeWarning, "FailedDelete", "Error deleting: %v", err)
	}
	return err
}

// create makes pods, a few at first, so that a job whose pods are refused asks a few times instead
// of a thousand times.
func (c *Controller) create(ctx context.Context, key reconcile.Key, j *batchv1.Job, all []Creation) error {
	c.expect.ExpectCreations(key, len(all))
	left, err := children.InBatches(all, func(one Creation) error { return c.createOne(ctx, key, j, one) })
	for range left {
		c.expect.Created(key)
	}
	return control.IgnoreTerminating(err)
}

func (c *Controller) createOne(ctx context.Context, key reconcile.Key, j *batchv1.Job, one Creation) error {
	made, err := children.Create(ctx, c.pod, j, newPod(j, one))
	if err == nil {
		c.cfg.Eventf(j, corev1.EventTypeNormal, "SuccessfulCreate", "Created pod: %s", made.Name)
		return nil
	}
	c.expect.Created(key)
	if errors.Is(err, children.ErrTaken) {
		c.seen.See(sequence(j), j.UID, one.Name, false) // the next try leaves the name out
	} else if children.IsFailure(err) {
		c.cfg.Eventf(j, corev1.EventTypeWarning, "FailedCreate", "Error creating: %v", err)
	}
	return err
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
