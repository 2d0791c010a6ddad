package rest

import (
	"context"
	"fmt"
	"reflect"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/apiserver/managedfields"
	"github.com/miniorch/miniorch/apiserver/resource"
	"github.com/miniorch/miniorch/pkg/api"
)

// This file is where writes meet metadata.managedFields. Keeping it costs more than much of the
// rest of a write, so nothing is tracked that does not change, and Events, of which there are
// many and nobody owns a part, only once they are applied.

// author is who writes.
type author struct {
	manager string
	applies bool // the object comes with its owners already
}

func (s *Store) author(ctx context.Context, given string) author {
	user, _ := auth.UserFrom(ctx)
	return author{manager: managedfields.Manager(ctx, given, user.Name)}
}

// newKeepers makes a Keeper for each door to the objects of a kind.
func (s *Store) newKeepers(d resource.Descriptor) map[string]*managedfields.Keeper {
	var notHere []string // what only the status's own door changes
	if slices.ContainsFunc(d.Subresources, func(sub resource.Subresource) bool { return sub.Name == "status" }) {
		notHere = []string{"status"}
	}
	kind := managedfields.Kind{GroupVersionKind: d.GVK(), New: d.New, Default: d.Default, Convert: s.convert, Unasked: d.TTL != nil, Ignore: notHere}
	out := map[string]*managedfields.Keeper{"": managedfields.New(kind)}
	for _, sub := range d.Subresources {
		if !slices.Contains(sub.Verbs, "update") {
			continue
		}
		door := kind
		door.Subresource = sub.Name
		if sub.Name == "status" {
			door.Ignore = []string{"spec"}
		}
		out[sub.Name] = managedfields.New(door)
	}
	return out
}

// convert returns an object of one version of the resource as another shows it.
func (s *Store) convert(obj api.Object, to schema.GroupVersion) (api.Object, error) {
	from, target := s.version(obj.GetObjectKind().GroupVersionKind().GroupVersion()), s.version(to)
	if from == nil || target == nil {
		return nil, fmt.Errorf("%s is not served in %s", s.desc.Kind, to)
	}
	stored, err := from.stored(obj.DeepCopyObject().(api.Object))
	if err != nil || target.desc.View == nil {
		return stored, err
	}
	return target.desc.View.From(stored)
}

// version returns the store of the same objects in a version, nil if there is none.
func (s *Store) version(gv schema.GroupVersion) *Store {
	for _, other := range s.reg.order {
		if other.of == s.of && other.desc.GroupVersion() == gv {
			return other
		}
	}
	return nil
}

// ownAll makes the author of a new object the owner of its fields.
func (s *Store) ownAll(obj api.Object, by author) {
	keeper := s.keepers[""]
	switch {
	case keeper == nil:
		obj.SetManagedFields(nil)
	case !by.applies:
		if err := keeper.Created(obj, by.manager, s.now()); err != nil {
			// Who owns what is not worth refusing a write for.
			s.reg.cfg.Logger.Warn("the owners of fields are not known", "resource", s.desc.String(), "error", err)
			obj.SetManagedFields(nil)
		}
	}
}

// keepOwners puts the stored owners into obj, and returns those that the client wants
// instead; nil if it does not.
func (u *update) keepOwners(obj, old api.Object) (wish []metav1.ManagedFieldsEntry) {
	if u.by.applies {
		return nil
	}
	wish = obj.GetManagedFields()
	obj.SetManagedFields(old.GetManagedFields())
	if u.sub != nil || wish == nil || managedfields.Same(wish, old.GetManagedFields()) {
		return nil
	}
	return wish
}

// own makes the author the owner of what differs between old and obj.
func (u *update) own(obj, old api.Object, wish []metav1.ManagedFieldsEntry) {
	s := u.store
	keeper := s.keepers[u.subName()]
	if keeper == nil || u.by.applies {
		return
	}
	if wish != nil {
		obj.SetManagedFields(wish)
	}
	if err := keeper.Updated(old, obj, u.by.manager, s.now()); err != nil {
		s.reg.cfg.Logger.Warn("the owners of fields are not known any more", "resource", s.desc.String(), "error", err)
		obj.SetManagedFields(old.GetManagedFields())
	}
}

// withoutOwners returns obj, or a shallow copy of it that says nothing of owners.
func withoutOwners(obj api.Object) api.Object {
	if len(obj.GetManagedFields()) == 0 || reflect.TypeOf(obj).Elem().Kind() != reflect.Struct {
		return obj
	}
	v := reflect.New(reflect.TypeOf(obj).Elem())
	v.Elem().Set(reflect.ValueOf(obj).Elem())
	out := v.Interface().(api.Object)
	out.SetManagedFields(nil)
	return out
}
