package deployment

import (
	"context"
	"errors"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/controllers/control"
)

// apply carries the plan out and puts it on record. It returns the Deployment as it is
// stored afterwards.
func (c *Controller) apply(ctx context.Context, o observed, plan Plan) (result outcome, d *appsv1.Deployment, err error) {
	d = o.Deployment
	if plan.Empty() {
		return outcome{}, d, nil
	}
	err = c.cfg.Apply("deployment", o.Deployment, control.Refs(o.Sets), plan, func() error {
		if plan.Revision != "" { // first: whoever looks at an old template loses here, before it does harm
			stored, err := c.writeRevision(ctx, o.Deployment, plan.Revision)
			if err != nil {
				return err
			}
			d = stored
		}
		if plan.Create != nil {
			if result = c.create(ctx, o.Deployment, plan.Create); result.err != nil {
				return result.err
			}
		}
		for _, change := range plan.Change {
			if err := c.change(ctx, o.Deployment, change); err != nil {
				return err
			}
		}
		if err := c.lead(ctx, o.Deployment, plan.Routes); err != nil {
			return err
		}
		c.report(o.Deployment, plan)
		return c.removeAll(ctx, plan.Delete)
	})
	return result, d, control.IgnoreGone(err)
}

func (c *Controller) writeRevision(ctx context.Context, d *appsv1.Deployment, revision string) (*appsv1.Deployment, error) {
	changed := d.DeepCopy()
	if changed.Annotations == nil {
		changed.Annotations = map[string]string{}
	}
	changed.Annotations[revisionKey] = revision
	stored, err := c.deployment.Update(ctx, changed)
	if err != nil {
		return nil, fmt.Errorf("writing the revision: %w", err)
	}
	return stored, nil
}

func (c *Controller) create(ctx context.Context, d *appsv1.Deployment, rs *appsv1.ReplicaSet) outcome {
	size := replicas(rs)
	_, err := c.set.Create(ctx, rs.DeepCopy())
	switch {
	case err == nil:
		if size > 0 {
			c.cfg.Eventf(d, corev1.EventTypeNormal, "ScalingReplicaSet", "Scaled up replica set %s from 0 to %d", rs.Name, size)
		}
		return outcome{created: rs.Name}
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return outcome{} // nothing will ever make it succeed, and the Deployment goes as well
	case !apierrors.IsAlreadyExists(err):
		c.cfg.Eventf(d, corev1.EventTypeWarning, reasonCreateError, "Failed to create new replica set %q: %v", rs.Name, err)
		return outcome{err: fmt.Errorf("creating replica set %q: %w", rs.Name, err)}
	}
	existing, err := c.set.Get(ctx, rs.Namespace, rs.Name)
	if err != nil {
		return outcome{err: fmt.Errorf("reading the replica set whose name is taken: %w", err)}
	}
	if ref := metav1.GetControllerOfNoCopy(existing); ref != nil && ref.UID == d.UID && sameTemplate(&existing.Spec.Template, &d.Spec.Template) {
		return outcome{err: apierrors.NewConflict(c.set.Resource().GroupResource(), rs.Name, errors.New("it is there already: the view is stale"))}
	}
	return outcome{collision: true, err: fmt.Errorf("the name %q is taken by a replica set with another template", rs.Name)}
}

func (c *Controller) change(ctx context.Context, d *appsv1.Deployment, change Change) error {
	if _, err := c.set.Update(ctx, change.New.DeepCopy()); err != nil {
		return control.IgnoreGone(fmt.Errorf("updating replica set %q: %w", change.Old.Name, err))
	}
	from, to := replicas(change.Old), replicas(change.New)
	if from == to {
		return nil
	}
	direction := "up"
	if to < from {
		direction = "down"
	}
	c.cfg.Eventf(d, corev1.EventTypeNormal, "ScalingReplicaSet", "Scaled %s replica set %s from %d to %d", direction, change.Old.Name, from, to)
	return nil
}

func (c *Controller) removeAll(ctx context.Context, sets []*appsv1.ReplicaSet) error {
	for _, rs := range sets {
		err := c.set.Delete(ctx, rs.Namespace, rs.Name, metav1.DeleteOptions{
			Preconditions: &metav1.Preconditions{UID: &rs.UID, ResourceVersion: &rs.ResourceVersion},
		})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("deleting old replica set %q: %w", rs.Name, err)
		}
	}
	return nil
}
