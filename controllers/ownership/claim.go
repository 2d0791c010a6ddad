package ownership

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
)

// Claimer adopts and releases children of type T for owners of type O.
type Claimer[O, T api.Object] struct {
	Kind     schema.GroupVersionKind // of the owners
	Owners   client.Client[O]
	Children client.Client[T]
	// Finalizer comes with adoption and goes with release. Empty: none does.
	Finalizer string
}

// Claim does what Decide says, and returns what the owner controls afterwards.
func (c Claimer[O, T]) Claim(ctx context.Context, owner O, by *metav1.LabelSelector, candidates []T) ([]T, error) {
	selector, err := metav1.LabelSelectorAsSelector(by)
	if err != nil {
		return nil, fmt.Errorf("reading the selector: %w", err)
	}
	claims := Decide(owner, selector, candidates)
	adopted, err := c.adopt(ctx, owner, claims.Adopt)
	if err != nil {
		return nil, err
	}
	for _, obj := range claims.Release {
		_, err := c.Children.Patch(ctx, obj.GetNamespace(), obj.GetName(), types.MergePatchType, ReleasePatch(obj, owner.GetUID(), c.Finalizer), "")
		if err != nil && !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("releasing %q: %w", obj.GetName(), err)
		}
	}
	return append(claims.Owned, adopted...), nil
}

// adopt reads the owner consistently first: one that is gone must not adopt what others want.
func (c Claimer[O, T]) adopt(ctx context.Context, owner O, orphans []T) ([]T, error) {
	if len(orphans) == 0 {
		return nil, nil
	}
	live, err := c.Owners.Get(ctx, owner.GetNamespace(), owner.GetName())
	if err != nil {
		return nil, fmt.Errorf("reading %q before it adopts: %w", owner.GetName(), err)
	}
	if live.GetUID() != owner.GetUID() || live.GetDeletionTimestamp() != nil {
		return nil, nil
	}
	var adopted []T
	for _, obj := range orphans {
		patched, err := c.Children.Patch(ctx, obj.GetNamespace(), obj.GetName(), types.MergePatchType, AdoptPatch(obj, Reference(owner, c.Kind), c.Finalizer), "")
		if err != nil && !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("adopting %q: %w", obj.GetName(), err)
		} else if err == nil {
			adopted = append(adopted, patched)
		}
	}
	return adopted, nil
}

// TakeOff removes one finalizer from this very object, whatever else is written to it meanwhile.
func TakeOff[T api.Object](ctx context.Context, objects client.Client[T], obj T, finalizer string) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": obj.GetUID(), "$deleteFromPrimitiveList/finalizers": []string{finalizer},
	}})
	if err != nil {
		return fmt.Errorf("encoding the patch: %w", err)
	}
	_, err = objects.Patch(ctx, obj.GetNamespace(), obj.GetName(), types.StrategicMergePatchType, patch, "")
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) { // conflict: a namesake
		return fmt.Errorf("removing the finalizer %q: %w", finalizer, err)
	}
	return nil
}
