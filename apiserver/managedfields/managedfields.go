// Package managedfields keeps metadata.managedFields: who set which field of an object
// last, and it merges what clients apply (server-side apply) by that knowledge. It stores
// nothing and knows nothing of requests.
//
// The rules are Kubernetes' own. Every write is tracked, so this has to be cheap: creations
// and updates walk the old and the new Go struct side by side (compare.go) by a plan made
// once per type (plan.go), which writes the changed fields straight in the form in which they
// are stored; the managers' entries are merged as parsed text (set.go, entries.go). What is
// rare is left to the library that apimachinery brings: applying, entries of another API
// version or from a client, more managers than are kept. Tests compare the two.
package managedfields

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/miniorch/miniorch/pkg/api"
)

// Kind is what a Keeper must know of the objects whose fields it keeps.
type Kind struct {
	schema.GroupVersionKind
	New     func() api.Object
	Default func(api.Object) // nil: nothing
	// Convert returns another version's view of an object. Nil: there is one version.
	Convert func(obj api.Object, to schema.GroupVersion) (api.Object, error)
	// Unasked leaves objects untracked until somebody applies: their fields then are those of
	// "before-first-apply".
	Unasked bool
	// Subresource is the door that the writes come through, empty for the main one.
	Subresource string
	// Ignore are fields that this door does not change, whatever clients send.
	Ignore []string
}

// Keeper keeps the managed fields of one kind for one door. It is safe for concurrent use.
type Keeper struct {
	kind    Kind
	plan    func() planned
	library func() *keeping // for what is rare
}

// planned is the way to compare objects of the kind; the root is nil if the library must.
type planned struct {
	root *plan
	zero reflect.Value // an object with nothing in it
}

type keeping struct {
	converter *converter
	manager   *managedfields.FieldManager
}

// New returns the Keeper of a kind that is built in. Nothing is read until it is used.
func New(kind Kind) *Keeper {
	return &Keeper{kind: kind, plan: sync.OnceValue(kind.planned), library: sync.OnceValue(kind.keeping)}
}

func (k Kind) planned() planned {
	zero := reflect.ValueOf(k.New()).Elem()
	root, err := planOf(zero.Type())
	if err != nil {
		return planned{}
	}
	return planned{root: root, zero: zero}
}

func (k Kind) keeping() *keeping {
	name, err := api.Scheme.ToOpenAPIDefinitionName(k.GroupVersionKind)
	if err != nil {
		panic(fmt.Sprintf("managedfields: %v", err)) // kinds are code
	}
	c := &converter{kind: k.GroupVersionKind, typ: parser().Type(name), empty: k.New, defaults: k.Default, convert: k.Convert}
	var ignore *fieldpath.Set
	if len(k.Ignore) > 0 {
		ignore = fieldpath.NewSet()
		for _, field := range k.Ignore {
			ignore.Insert(fieldpath.MakePathOrDie(field))
		}
	}
	filters := map[fieldpath.APIVersion]fieldpath.Filter{}
	out := &keeping{converter: c}
	if ignore != nil {
		filters[fieldpath.APIVersion(k.GroupVersion().String())] = fieldpath.NewExcludeSetFilter(ignore)
	}
	out.manager, err = managedfields.NewDefaultFieldManager(c, c, c, c, k.GroupVersionKind, k.GroupVersion(), k.Subresource, filters)
	if err != nil {
		panic(fmt.Sprintf("managedfields: %s: %v", k.GroupVersionKind, err)) // there is no other reason than a missing converter
	}
	return out
}

// Created makes the manager the owner of all fields of a new object.
func (k *Keeper) Created(obj api.Object, manager string, now metav1.Time) error {
	if k.kind.Unasked {
		obj.SetManagedFields(nil)
		return nil
	}
	p := k.plan()
	if p.root == nil || obj.GetManagedFields() != nil { // from elsewhere, with its history
		return k.byLibrary(k.kind.New(), obj, manager, now)
	}
	w := p.root.compare(p.zero, reflect.ValueOf(obj).Elem(), k.kind.Ignore)
	defer w.release()
	switch {
	case w.err != nil:
		return k.byLibrary(k.kind.New(), obj, manager, now)
	case !isNone(w.set):
		id := k.entry(manager, now)
		id.FieldsV1 = fieldsOf(w.set)
		obj.SetManagedFields([]metav1.ManagedFieldsEntry{id})
	}
	return nil
}

// Updated makes the manager the owner of what differs between old, which stays as it is, and
// obj. Entries that obj carries itself, other than old's, are taken as the client's wish.
// Objects without entries stay without: nobody's fields are tracked until somebody applies.
func (k *Keeper) Updated(old, obj api.Object, manager string, now metav1.Time) error {
	p, entries := k.plan(), old.GetManagedFields()
	if p.root == nil || !usual(entries, k.kind.GroupVersion().String()) || !Same(entries, obj.GetManagedFields()) {
		return k.byLibrary(old, obj, manager, now)
	}
	if len(entries) == 0 {
		return nil
	}
	w := p.root.compare(reflect.ValueOf(old).Elem(), reflect.ValueOf(obj).Elem(), nil)
	defer w.release()
	err := w.err
	if err == nil && !(isNone(w.set) && isNone(w.gone)) {
		entries, err = record(entries, k.entry(manager, now), w.set, w.gone)
	}
	if err != nil {
		return k.byLibrary(old, obj, manager, now)
	}
	obj.SetManagedFields(entries)
	return nil
}

// entry is the manager's entry without its fields.
func (k *Keeper) entry(manager string, now metav1.Time) metav1.ManagedFieldsEntry {
	return metav1.ManagedFieldsEntry{
		Manager: manager, Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: k.kind.GroupVersion().String(),
		Time: &now, FieldsType: fieldsType, Subresource: k.kind.Subresource,
	}
}

// byLibrary is Updated in the library's way, which knows every case and takes its time.
func (k *Keeper) byLibrary(old, obj api.Object, manager string, now metav1.Time) error {
	l := k.library()
	result, err := l.manager.Update(l.converter.named(old), l.converter.named(obj), manager)
	if err != nil {
		return err
	}
	k.adopt(result, obj, old, now)
	return nil
}

// Applied merges what a client applies into old, which stays as it is. What others own and
// the client wants otherwise is a conflict unless it uses force.
func (k *Keeper) Applied(old api.Object, applied *unstructured.Unstructured, manager string, force bool, now metav1.Time) (api.Object, error) {
	part, rest := k.concerned(old, applied, manager)
	obj, err := k.appliedTo(part, applied, manager, force, now)
	if err == nil && rest != nil {
		err = join(obj, rest)
	}
	return obj, err
}

// appliedTo is Applied for all of an object that an apply concerns.
func (k *Keeper) appliedTo(old api.Object, applied *unstructured.Unstructured, manager string, force bool, now metav1.Time) (api.Object, error) {
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
		if unchanged && bytes.Equal(e.FieldsV1.GetRawBytes(), was.FieldsV1.GetRawBytes()) {
			e.Time = was.Time
		} else if !unchanged {
			e.Time = &now
		}
	}
	slices.SortFunc(entries, compareEntries) // by time, among others
	obj.SetManagedFields(entries)
}

// same reports whether two entries are of the same owner.
func same(a, b metav1.ManagedFieldsEntry) bool {
	return a.Manager == b.Manager && a.Operation == b.Operation && a.APIVersion == b.APIVersion && a.Subresource == b.Subresource
}
