package client

import (
	"context"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/miniorch/miniorch/pkg/api"
)

// Handler is told of every change that an informer sees, in order, one call at a time.
// old is T's zero value for an object that is new, obj is zero for one that is gone.
// old is always what the previous call for that object got as obj.
// Handlers must not block: they put keys into queues. They must not register further
// handlers, nor change what they are given.
type Handler[T api.Object] func(old, obj T)

// IndexFunc returns the values under which obj is found in an index.
type IndexFunc[T api.Object] func(obj T) []string

// Informer is the local view of one resource, or of a selection of it: all objects, by
// namespace and name and by index, updated by a watch. It is a typed handle on a view
// that all who ask the same Informers for the same selection share.
type Informer[T api.Object] struct{ view *view }

// InformerFor returns the informer for all objects of type T.
func InformerFor[T api.Object](f *Informers) *Informer[T] {
	return InformerWith[T](f, Selection{})
}

// InformerWith returns the informer for the objects of type T that s selects: the pods of
// one node, for instance. The API server filters, so nothing else crosses the wire.
func InformerWith[T api.Object](f *Informers, s Selection) *Informer[T] {
	return &Informer[T]{view: f.view(api.ResourceFor[T](), s)}
}

// InformerOf returns the informer for a resource that is only known at run time. For a
// kind that has a Go type it shares the view of that type's informer.
func InformerOf(f *Informers, r api.Resource) *Informer[api.Object] {
	return &Informer[api.Object]{view: f.view(r, Selection{})}
}

// Handle registers h. If the informer holds objects already, h is first told of each as
// new.
func (i *Informer[T]) Handle(h Handler[T]) {
	i.view.handle(func(old, obj api.Object) { h(cast[T](old), cast[T](obj)) })
}

// Index adds an index under a name. Adding a name again has no effect: indexes are shared
// like the informer, so one name must mean one function.
func (i *Informer[T]) Index(name string, f IndexFunc[T]) {
	i.view.index(name, func(obj api.Object) []string { return f(cast[T](obj)) })
}

// Get returns the object; ok is false if there is none. ns is empty for resources that
// are not namespaced.
func (i *Informer[T]) Get(ns, name string) (obj T, ok bool) {
	o, ok := i.view.get(ns, name)
	return cast[T](o), ok
}

// List returns the objects in ns (empty: all namespaces) that sel matches (nil: all), in
// the order of namespace and name.
func (i *Informer[T]) List(ns string, sel labels.Selector) []T {
	if sel == nil {
		sel = labels.Everything()
	}
	var out []T
	i.view.ascend(ns, func(o api.Object) bool {
		if sel.Empty() || sel.Matches(labels.Set(o.GetLabels())) {
			out = append(out, cast[T](o))
		}
		return true
	})
	return out
}

// ByIndex returns the objects that the named index has under value, in the order of
// namespace and name.
func (i *Informer[T]) ByIndex(name, value string) []T {
	found := i.view.byIndex(name, value)
	out := make([]T, len(found))
	for n, e := range found {
		out[n] = cast[T](e)
	}
	return out
}

// Len returns how many objects the informer holds.
func (i *Informer[T]) Len() int { return i.view.len() }

// Synced reports whether the informer has held a complete view and told its handlers of it.
func (i *Informer[T]) Synced() bool { return i.view.isSynced() }

// WaitForSync blocks until the informer is synced or ctx ends.
func (i *Informer[T]) WaitForSync(ctx context.Context) error {
	select {
	case <-i.view.synced:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// cast is T(obj) with nil for nil. A view holds only T's: the transport is asked for T's
// resource, and the view refuses what is something else.
func cast[T api.Object](obj api.Object) T {
	t, _ := obj.(T)
	return t
}
