package history

import (
	"context"
	"errors"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/pkg/client"
)

// ErrCollision says that a revision's name belongs to something else: the owner's status is to
// count it, so that the next try has another name.
var ErrCollision = errors.New("the name of the revision is taken by another")

// Keep stores the revision of the owner's template: pods are made of it only after that.
func Keep(ctx context.Context, revisions client.Client[*appsv1.ControllerRevision], o Owner, p Plan) error {
	switch {
	case p.Create:
		return create(ctx, revisions, o, p.Update)
	case p.Change:
		if _, err := revisions.Update(ctx, p.Update); err != nil {
			return fmt.Errorf("making %q the newest revision: %w", p.Update.Name, err)
		}
	}
	return nil
}

// Forget deletes what is beyond the limit.
func Forget(ctx context.Context, revisions client.Client[*appsv1.ControllerRevision], p Plan) error {
	for _, r := range p.Delete {
		err := revisions.Delete(ctx, r.Namespace, r.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &r.UID, ResourceVersion: &r.ResourceVersion}})
		if control.IgnoreGone(err) != nil {
			return fmt.Errorf("forgetting revision %q: %w", r.Name, err)
		}
	}
	return nil
}

func create(ctx context.Context, revisions client.Client[*appsv1.ControllerRevision], o Owner, r *appsv1.ControllerRevision) error {
	_, err := revisions.Create(ctx, r.DeepCopy())
	if err == nil || !apierrors.IsAlreadyExists(err) {
		return control.IgnoreTerminating(err)
	}
	existing, err := revisions.Get(ctx, r.Namespace, r.Name)
	switch {
	case err != nil:
		return fmt.Errorf("reading the revision whose name is taken: %w", err)
	case sameData(existing.Data.Raw, r.Data.Raw) && metav1.IsControlledBy(existing, o.Object):
		return nil // the view is stale
	}
	return fmt.Errorf("creating revision %q: %w", r.Name, ErrCollision)
}
