package attachdetach

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/pkg/claims"
)

// apply makes a plan so. What is to be detached is taken off the node's list first, and only if the
// agent has not begun to use it meanwhile: a conflict ends it here.
func (c *Controller) apply(ctx context.Context, n *corev1.Node, p Plan) error {
	var errs []error
	for _, a := range p.Ask {
		errs = append(errs, c.annotate(ctx, a, c.cfg.Clock.Now().UTC().Format(time.RFC3339)))
	}
	for _, a := range p.Keep {
		errs = append(errs, c.annotate(ctx, a, ""))
	}
	if p.Report {
		n = n.DeepCopy()
		n.Status.VolumesAttached = p.List
		if _, err := c.node.UpdateStatus(ctx, n); err != nil {
			return errors.Join(append(errs, control.IgnoreGone(fmt.Errorf("reporting what is attached: %w", err)))...)
		}
	}
	for _, a := range p.Detach {
		err := c.attachment.Delete(ctx, "", a.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &a.UID, ResourceVersion: &a.ResourceVersion}})
		if err != nil {
			errs = append(errs, control.IgnoreGone(fmt.Errorf("detaching volume %q: %w", volumeOf(a), err)))
		}
	}
	for _, a := range p.Attach {
		errs = append(errs, c.attach(ctx, a))
	}
	return errors.Join(errs...)
}

// annotate writes since when an attachment is not wanted any more; empty: it is.
func (c *Controller) annotate(ctx context.Context, a *storagev1.VolumeAttachment, since string) error {
	a = a.DeepCopy()
	if since == "" {
		delete(a.Annotations, claims.DetachRequested)
	} else {
		metav1.SetMetaDataAnnotation(&a.ObjectMeta, claims.DetachRequested, since)
	}
	if _, err := c.attachment.Update(ctx, a); err != nil {
		return control.IgnoreGone(fmt.Errorf("noting whether volume %q is wanted: %w", volumeOf(a), err))
	}
	return nil
}

// attach makes an attachment. That an exclusive volume is nowhere else is confirmed: the view may lack
// what was attached a moment ago.
func (c *Controller) attach(ctx context.Context, a *storagev1.VolumeAttachment) error {
	if v, ok := c.volumes.Get("", volumeOf(a)); !ok || claims.IsExclusive(v) {
		all, _, err := c.attachment.List(ctx, "", metav1.ListOptions{})
		if err != nil {
			return fmt.Errorf("confirming that volume %q is nowhere else: %w", volumeOf(a), err)
		}
		for _, other := range all {
			if other.Annotations[claims.AttachedAs] == a.Annotations[claims.AttachedAs] {
				return nil // the view will show it soon
			}
		}
	}
	if _, err := c.attachment.Create(ctx, a); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("attaching volume %q: %w", volumeOf(a), err)
	}
	return nil
}
