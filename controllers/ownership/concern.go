package ownership

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/reconcile"
)

// Concern finds the owners that a child's change concerns: its controllers before and after, or those that
// would adopt it. Fields that are nil are not wanted.
type Concern[C api.Object] struct {
	Kind     schema.GroupVersionKind                         // of the owners
	Adopters func(orphan C) []reconcile.Key                  // those that would adopt it
	Expect   *reconcile.Expectations                         // is told of children that come and go
	See      func(child C, controller metav1.OwnerReference) // is told of every child that is there
}

// OwnerOf returns the owner of a kind that controls a child.
func OwnerOf(kind schema.GroupVersionKind, child api.Object) (reconcile.Key, bool) {
	ref := metav1.GetControllerOfNoCopy(child)
	if ref == nil || ref.Kind != kind.Kind || ref.APIVersion != kind.GroupVersion().String() {
		return reconcile.Key{}, false
	}
	return reconcile.Key{Namespace: child.GetNamespace(), Name: ref.Name}, true
}

// Keys is what a child's change wakes; it fits reconcile.Watch.
func (c Concern[C]) Keys(old, child C) []reconcile.Key {
	var none C
	was, is := any(old) != any(none), any(child) != any(none)
	fresh := is && (!was || old.GetUID() != child.GetUID())
	var keys []reconcile.Key
	if was {
		if key, ok := OwnerOf(c.Kind, old); ok {
			keys = append(keys, key)
			if c.Expect != nil && (!is || fresh || child.GetDeletionTimestamp() != nil && old.GetDeletionTimestamp() == nil) {
				c.Expect.Deleted(key, old.GetUID())
			}
		}
	}
	if !is {
		return keys
	}
	if key, ok := OwnerOf(c.Kind, child); ok {
		c.note(key, child, fresh)
		if len(keys) == 1 && keys[0] == key {
			return keys
		}
		return append(keys, key)
	}
	if c.Adopters != nil && metav1.GetControllerOfNoCopy(child) == nil && child.GetDeletionTimestamp() == nil {
		keys = append(keys, c.Adopters(child)...)
	}
	return keys
}

// note tells who wants to know that a child is there.
func (c Concern[C]) note(key reconcile.Key, child C, fresh bool) {
	if c.See != nil {
		c.See(child, *metav1.GetControllerOfNoCopy(child))
	}
	if c.Expect == nil || !fresh {
		return
	}
	c.Expect.Created(key)
	if child.GetDeletionTimestamp() != nil {
		c.Expect.Deleted(key, child.GetUID())
	}
}

// Adopters returns the keys of the owners whose selectors an orphan matches; nil selects nothing.
func Adopters[O api.Object](owners []O, selector func(O) *metav1.LabelSelector, orphan api.Object) []reconcile.Key {
	var keys []reconcile.Key
	for _, o := range owners {
		s, err := metav1.LabelSelectorAsSelector(selector(o))
		if err == nil && !s.Empty() && s.Matches(labels.Set(orphan.GetLabels())) {
			keys = append(keys, reconcile.Key{Namespace: o.GetNamespace(), Name: o.GetName()})
		}
	}
	return keys
}
