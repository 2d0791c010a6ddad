// Package managedfields keeps metadata.managedFields: who set which field of an object
// last, and it merges what clients apply (server-side apply) by that knowledge. The rules
// are Kubernetes' own, from the library that apimachinery brings; this package says how
// our kinds are made up and keeps the cost of ordinary writes low. It stores nothing and
// knows nothing of requests.
package managedfields

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/typed"

	"github.com/miniorch/miniorch/pkg/api"
)

// Kind is what a Keeper must know of the objects whose fields it keeps.
type Kind struct {
	schema.GroupVersionKind
	New     func() api.Object
	Default func(api.Object) // nil: nothing
	// Subresource is the door that the writes come through, empty for the main one.
	Subresource string
	// Ignore are fields that this door does not change, whatever clients send.
	Ignore []string
}

// Keeper keeps the managed fields of one kind for one door. It is safe for concurrent use.
type Keeper struct {
	kind    Kind
	library func() *keeping
}

type keeping struct {
	converter *converter
	manager   *managedfields.FieldManager
	ignored   fieldpath.Filter
	nothing   *typed.TypedValue // an empty object
}

// New returns the Keeper of a kind that is built in. Nothing is read until it is used.
func New(kind Kind) *Keeper { return &Keeper{kind: kind, library: sync.OnceValue(kind.keeping)} }

func (k Kind) keeping() *keeping {
	name, err := api.Scheme.ToOpenAPIDefinitionName(k.GroupVersionKind)
	if err != nil {
		panic(fmt.Sprintf("managedfields: %v", err)) // kinds are code
	}
	c := &converter{kind: k.GroupVersionKind, typ: parser().Type(name), empty: k.New, defaults: k.Default}
	var ignore *fieldpath.Set
	if len(k.Ignore) > 0 {
		ignore = fieldpath.NewSet()
		for _, field := range k.Ignore {
			ignore.Insert(fieldpath.MakePathOrDie(field))
		}
	}
	filters := map[fieldpath.APIVersion]fieldpath.Filter{}
	out := &keeping{converter: c}
	if out.nothing, err = c.ObjectToTyped(k.New()); err != nil {
		panic(fmt.Sprintf("managedfields: %s: %v", k.GroupVersionKind, err)) // as above
	}
	if ignore != nil {
		out.ignored = fieldpath.NewExcludeSetFilter(ignore)
		filters[fieldpath.APIVersion(k.GroupVersion().String())] = out.ignored
	}
	out.manager, err = managedfields.NewDefaultFieldManager(c, c, c, c, k.GroupVersionKind, k.GroupVersion(), k.Subresource, filters)
	if err != nil {
		panic(fmt.Sprintf("managedfields: %s: %v", k.GroupVersionKind, err)) // there is no other reason than a missing converter
	}
	return out
}

// unowned are the fields that belong to the server.
var unowned = fieldpath.NewSet(
	fieldpath.MakePathOrDie("apiVersion"), fieldpath.MakePathOrDie("kind"), fieldpath.MakePathOrDie("metadata"),
	fieldpath.MakePathOrDie("metadata", "name"), fieldpath.MakePathOrDie("metadata", "namespace"),
	fieldpath.MakePathOrDie("metadata", "creationTimestamp"), fieldpath.MakePathOrDie("metadata", "selfLink"),
	fieldpath.MakePathOrDie("metadata", "uid"), fieldpath.MakePathOrDie("metadata", "generation"),
	fieldpath.MakePathOrDie("metadata", "managedFields"), fieldpath.MakePathOrDie("metadata", "resourceVersion"),
)

// Created makes the manager the owner of all fields of a new object. It is Updated with
// nothing before, without the detours: most writes are creations.
func (k *Keeper) Created(obj api.Object, manager string, now metav1.Time) error {
	l := k.library()
	if len(obj.GetManagedFields()) > 0 { // from elsewhere, with its history
		return k.Updated(k.kind.New(), obj, manager, now)
	}
	value, err := l.converter.ObjectToTyped(obj, typed.AllowDuplicates)
	if err != nil {
		return fmt.Errorf("reading the fields of a %s: %w", k.kind.Kind, err)
	}
	difference, err := l.nothing.Compare(value)
	if err != nil {
		return fmt.Errorf("listing the fields of a %s: %w", k.kind.Kind, err)
	}
	set := difference.Added.Union(difference.Modified).Difference(unowned)
	if l.ignored != nil {
		set = l.ignored.Filter(set)
	}
	if set.Empty() {
		return nil
	}
	raw, err := set.ToJSON()
	if err != nil {
		return fmt.Errorf("writing the fields of a %s: %w", k.kind.Kind, err)
	}
	obj.SetManagedFields([]metav1.ManagedFieldsEntry{{
		Manager: manager, Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: k.kind.GroupVersion().String(),
		Time: &now, FieldsType: "FieldsV1", FieldsV1: &metav1.FieldsV1{Raw: raw}, Subresource: k.kind.Subresource,
	}})
	return nil
}

// Updated makes the manager the owner of what differs between old, which stays as it is, and
// obj. Entries that obj carries itself, other than old's, are taken as the client's wish.
func (k *Keeper) Updated(old, obj api.Object, manager string, now metav1.Time) error {
	l := k.library()
	live := l.converter.named(old)
	result, err := l.manager.Update(live, l.converter.named(obj), manager)
	if err != nil {
		return err
	}
	k.adopt(result, obj, old, now)
	return nil
}

// Applied merges what a client applies into old, which stays as it is. What others own and
// the client wants otherwise is a conflict unless it uses force.
func (k *Keeper) Applied(old api.Object, applied *unstructured.Unstructured, manager string, force bool, now metav1.Time) (api.Object, error) {
	l := k.library()
	result, err := l.manager.Apply(l.converter.named(old), applied, manager, force)
	if err != nil {
		var status apierrors.APIStatus
		if errors.As(err, &status) {
			return nil, err
		}
		return nil, apierrors.NewBadRequest(err.Error())
	}
	obj, ok := result.(api.Object)
	if !ok {
		return nil, apierrors.NewInternalError(fmt.Errorf("applying a %s made a %T", k.kind.Kind, result))
	}
	k.adopt(result, obj, old, now)
	return obj, nil
}

// adopt gives obj the entries of result, with times by our own clock: those that the library
// renewed are of now, all others of when they were.
func (k *Keeper) adopt(result runtime.Object, obj, old api.Object, now metav1.Time) {
	from, ok := result.(metav1.Object)
	if !ok {
		return
	}
	entries := from.GetManagedFields()
	for i := range entries {
		e := &entries[i]
		at := slices.IndexFunc(old.GetManagedFields(), func(was metav1.ManagedFieldsEntry) bool { return same(*e, was) })
		if at < 0 {
			e.Time = &now
			continue
		}
		was := old.GetManagedFields()[at]
		unchanged := e.Time == nil || was.Time != nil && e.Time.Equal(was.Time)
		if unchanged && bytes.Equal(fields(*e), fields(was)) {
			e.Time = was.Time
		} else if !unchanged {
			e.Time = &now
		}
	}
	obj.SetManagedFields(entries)
}

// same reports whether two entries are of the same owner.
func same(a, b metav1.ManagedFieldsEntry) bool {
	return a.Manager == b.Manager && a.Operation == b.Operation && a.APIVersion == b.APIVersion && a.Subresource == b.Subresource
}

func fields(e metav1.ManagedFieldsEntry) []byte {
	if e.FieldsV1 == nil {
		return nil
	}
	return e.FieldsV1.Raw
}
