// Package ownership decides which objects an owner adopts and releases, by controller
// reference and label selector, and does so with fenced patches.
package ownership

import (
	"encoding/json"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/pkg/api"
)

// Claims sorts the candidates of one owner.
type Claims[T api.Object] struct {
	Owned   []T // controlled by the owner and selected by it
	Adopt   []T // selected, controlled by nobody
	Release []T // controlled by the owner, selected no longer
}

// Decide sorts candidates for owner. An owner that is being deleted adopts nothing and
// releases nothing; objects that are being deleted are not adopted or released either.
func Decide[T api.Object](owner api.Object, selector labels.Selector, candidates []T) Claims[T] {
	var c Claims[T]
	deleting := owner.GetDeletionTimestamp() != nil
	for _, obj := range candidates {
		ref := metav1.GetControllerOfNoCopy(obj)
		matches := selector.Matches(labels.Set(obj.GetLabels()))
		switch {
		case ref != nil && ref.UID == owner.GetUID() && matches:
			c.Owned = append(c.Owned, obj)
		case ref != nil && ref.UID == owner.GetUID() && !deleting:
			c.Release = append(c.Release, obj)
		case ref == nil && matches && !deleting && obj.GetDeletionTimestamp() == nil:
			c.Adopt = append(c.Adopt, obj)
		}
	}
	return c
}

// Reference returns the controller reference to owner.
func Reference(owner api.Object, kind schema.GroupVersionKind) metav1.OwnerReference {
	return *metav1.NewControllerRef(owner, kind)
}

// AdoptPatch is the merge patch that adds ref to obj's owners, and a finalizer if one is
// named. It carries obj's UID, so that a namesake is never adopted, and obj's
// resourceVersion, because a merge patch replaces lists as a whole.
func AdoptPatch(obj api.Object, ref metav1.OwnerReference, finalizer string) []byte {
	owners := append(slices.Clone(obj.GetOwnerReferences()), ref)
	finalizers := slices.Clone(obj.GetFinalizers())
	if finalizer != "" && !slices.Contains(finalizers, finalizer) {
		finalizers = append(finalizers, finalizer)
	}
	return metaPatch(obj, owners, finalizers)
}

// ReleasePatch is the merge patch that removes owner from obj's owners, and a finalizer if
// one is named.
func ReleasePatch(obj api.Object, owner types.UID, finalizer string) []byte {
	owners := slices.DeleteFunc(slices.Clone(obj.GetOwnerReferences()), func(ref metav1.OwnerReference) bool { return ref.UID == owner })
	finalizers := slices.DeleteFunc(slices.Clone(obj.GetFinalizers()), func(f string) bool { return f == finalizer })
	return metaPatch(obj, owners, finalizers)
}

func metaPatch(obj api.Object, owners []metav1.OwnerReference, finalizers []string) []byte {
	meta := map[string]any{"uid": obj.GetUID(), "resourceVersion": obj.GetResourceVersion(), "ownerReferences": owners}
	if !slices.Equal(finalizers, obj.GetFinalizers()) {
		meta["finalizers"] = finalizers
	}
	patch, err := json.Marshal(map[string]any{"metadata": meta})
	if err != nil {
		panic(err) // strings and booleans always marshal
	}
	return patch
}
