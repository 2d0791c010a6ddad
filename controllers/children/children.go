// Package children holds what controllers that make pods have in common: how many are asked for at
// once, and what it means when the name of one is taken.
package children

import (
	"context"
	"errors"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
)

// ErrStale says that a plan was made from a view that lacks what exists. It stands in the
// decision record, and is no failure: the view will catch up and wake us.
var ErrStale = errors.New("it exists already: the view is stale")

// ErrTaken says that a name belongs to somebody else's object.
var ErrTaken = errors.New("the name belongs to a pod of somebody else")

// WithoutStale drops ErrStale from err.
func WithoutStale(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var rest []error
		for _, e := range joined.Unwrap() {
			rest = append(rest, WithoutStale(e))
		}
		return errors.Join(rest...)
	}
	if errors.Is(err, ErrStale) {
		return nil
	}
	return err
}

// IsFailure tells whether users should hear of an error of Create: not of a view that is stale, and not
// of a namespace that is going.
func IsFailure(err error) bool {
	return !errors.Is(err, ErrStale) && !errors.Is(err, ErrTaken) && !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause)
}

// ForAll calls f for all items at once and joins the errors.
func ForAll[T any](items []T, f func(T) error) error {
	errs := make([]error, len(items))
	var running sync.WaitGroup
	for i, it := range items {
		running.Go(func() { errs[i] = f(it) })
	}
	running.Wait()
	return errors.Join(errs...)
}

// InBatches calls f for all items in batches that double, and stops after one with a failure: an
// owner whose pods are refused (quota, admission) asks a few times instead of a thousand
// times. left is how many items were not tried.
func InBatches[T any](items []T, f func(T) error) (left int, err error) {
	for size := 1; len(items) > 0; size *= 2 {
		size = min(size, len(items))
		e := ForAll(items[:size], f)
		items, err = items[size:], errors.Join(err, e)
		if WithoutStale(e) != nil {
			return len(items), err
		}
	}
	return 0, err
}

// Create makes a pod for its owner. A name that is taken is ErrStale if the pod is the
// owner's, and ErrTaken if it is not.
func Create(ctx context.Context, pods client.Client[*corev1.Pod], owner api.Object, p *corev1.Pod) (*corev1.Pod, error) {
	made, err := pods.Create(ctx, p)
	switch {
	case err == nil:
		return made, nil
	case !apierrors.IsAlreadyExists(err):
		return nil, fmt.Errorf("creating pod %q: %w", p.Name, err)
	}
	there, err := pods.Get(ctx, p.Namespace, p.Name)
	switch {
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("creating pod %q: the name was taken and is free again", p.Name)
	case err != nil:
		return nil, fmt.Errorf("reading the pod whose name is taken: %w", err)
	case metav1.IsControlledBy(there, owner):
		return nil, fmt.Errorf("creating pod %q: %w", p.Name, ErrStale)
	}
	return nil, fmt.Errorf("creating pod %q: %w", p.Name, ErrTaken)
}

// Delete deletes this very pod. That it is gone, or that a namesake has its place, means that the
// view is stale: deleted is false, and that is no failure.
func Delete(ctx context.Context, pods client.Client[*corev1.Pod], p *corev1.Pod) (deleted bool, err error) {
	err = pods.Delete(ctx, p.Namespace, p.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &p.UID}})
	switch {
	case err == nil:
		return true, nil
	case apierrors.IsNotFound(err) || apierrors.IsConflict(err):
		return false, nil
	}
	return false, fmt.Errorf("deleting pod %q: %w", p.Name, err)
}
