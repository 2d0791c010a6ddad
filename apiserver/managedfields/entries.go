package managedfields

import (
	"cmp"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/managedfields"
)

// This file merges entries as parsed text. Entries are shared between the versions of an
// object: read only.

const fieldsType = "FieldsV1"

// maxUpdaters is how many managers are kept that have updated an object; the library merges
// the oldest of them into one.
const maxUpdaters = 10

// record returns the entries after a manager, whose entry id is without fields, has changed
// the fields in set and removed those in gone, both in their stored form. Fields that are
// gone belong to nobody; fields that were changed belong to the one who did it.
func record(entries []metav1.ManagedFieldsEntry, id metav1.ManagedFieldsEntry, set, gone []byte) ([]metav1.ManagedFieldsEntry, error) {
	changed, err := parseSet(set)
	if err != nil {
		return nil, err
	}
	changed.member = false
	removed, err := parseSet(gone)
	if err != nil {
		return nil, err
	}
	removed.member = false
	out := make([]metav1.ManagedFieldsEntry, 0, len(entries)+1)
	own := -1
	for i := range entries {
		e := entries[i]
		if same(e, id) {
			own = len(out)
			out = append(out, e)
			continue
		}
		kept, err := without(&e, changed, removed)
		if err != nil {
			return nil, err
		}
		if kept {
			out = append(out, e)
		}
	}
	if out, err = grow(out, own, id, changed, removed, set); err != nil {
		return nil, err
	}
	if len(out) == 0 {
		return nil, nil
	}
	slices.SortFunc(out, compareEntries)
	return out, nil
}

// without takes what others changed or removed from an entry. It reports whether anything
// is left.
func without(e *metav1.ManagedFieldsEntry, changed, removed *node) (kept bool, err error) {
	raw := e.FieldsV1.GetRawBytes()
	if !sameTop(raw, changed) && !sameTop(raw, removed) {
		return true, nil
	}
	fields, err := parseSet(raw)
	if err != nil {
		return false, err
	}
	less := fields.remove(changed)
	if less = fields.remove(removed) || less; !less {
		return true, nil
	}
	if len(fields.kids) == 0 {
		return false, nil
	}
	e.FieldsV1 = fieldsOf(fields.append(make([]byte, 0, len(raw))))
	return true, nil
}

// grow gives the manager, whose entry is out[own] if it has one, what it changed.
func grow(out []metav1.ManagedFieldsEntry, own int, id metav1.ManagedFieldsEntry, changed, removed *node, set []byte) ([]metav1.ManagedFieldsEntry, error) {
	if own < 0 {
		if len(changed.kids) > 0 {
			id.FieldsV1 = fieldsOf(set)
			out = append(out, id)
		}
		return out, nil
	}
	fields, err := parseSet(out[own].FieldsV1.GetRawBytes())
	if err != nil {
		return nil, err
	}
	differs := fields.remove(removed)
	differs = fields.add(changed) || differs
	if len(fields.kids) == 0 {
		return slices.Delete(out, own, own+1), nil
	}
	if differs {
		out[own].FieldsV1 = fieldsOf(fields.append(make([]byte, 0, len(set)+len(out[own].FieldsV1.GetRawBytes()))))
	}
	if len(changed.kids) > 0 {
		out[own].Time = id.Time
	}
	return out, nil
}

// Check reports what is wrong with entries: of unknown kinds, or twice for one owner, or with
// fields that cannot be read.
func Check(entries []metav1.ManagedFieldsEntry) error {
	for i, e := range entries {
		if slices.ContainsFunc(entries[:i], func(other metav1.ManagedFieldsEntry) bool { return same(e, other) }) {
			return fmt.Errorf("two entries of %s", e.Manager)
		}
	}
	return managedfields.ValidateManagedFields(entries)
}

// fieldsOf returns an entry's fields with a copy of the set.
func fieldsOf(set []byte) *metav1.FieldsV1 {
	f := &metav1.FieldsV1{}
	f.SetRawBytes(set)
	return f
}

// compareEntries is the order of entries in an object.
func compareEntries(a, b metav1.ManagedFieldsEntry) int {
	return cmp.Or(
		cmp.Compare(a.Operation, b.Operation), cmp.Compare(seconds(a.Time), seconds(b.Time)),
		cmp.Compare(a.Manager, b.Manager), cmp.Compare(a.APIVersion, b.APIVersion), cmp.Compare(a.Subresource, b.Subresource))
}

func seconds(t *metav1.Time) int64 {
	if t == nil {
		return 0
	}
	return t.Unix()
}

// usual reports whether record understands the entries: all of one API version, sound, and
// not so many that some must be merged.
func usual(entries []metav1.ManagedFieldsEntry, apiVersion string) bool {
	updaters := 0
	for i := range entries {
		e := &entries[i]
		if e.APIVersion != apiVersion || e.FieldsType != fieldsType || e.FieldsV1 == nil {
			return false
		}
		if e.Operation == metav1.ManagedFieldsOperationUpdate {
			updaters++
		}
	}
	return updaters < maxUpdaters
}

// Same reports whether the entries are the same, as they are when a client sends back
// what it had read.
func Same(a, b []metav1.ManagedFieldsEntry) bool {
	return slices.EqualFunc(a, b, func(x, y metav1.ManagedFieldsEntry) bool {
		return same(x, y) && seconds(x.Time) == seconds(y.Time) && x.FieldsType == y.FieldsType &&
			(x.FieldsV1 == y.FieldsV1 || x.FieldsV1 != nil && y.FieldsV1 != nil && x.FieldsV1.Equal(*y.FieldsV1))
	})
}
