package managedfields

import (
	"fmt"
	"reflect"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/miniorch/miniorch/apiserver/alike"
	"github.com/miniorch/miniorch/pkg/api"
)

// An apply is often about some of an object's parts: its labels, its status. The library looks
// at every field that there is, several times, so it is not shown the others.

// concerned divides an object into what an apply can have an effect on, which is what it names
// and what its manager named before, and the rest; nil if there is none. Both share with old.
func (k *Keeper) concerned(old api.Object, applied *unstructured.Unstructured, manager string) (part, rest api.Object) {
	entries, parts := old.GetManagedFields(), alike.Parts(reflect.TypeOf(old).Elem())
	// Without entries everything gets an owner, and what kubectl applied by itself gets another one.
	if parts == nil || len(entries) == 0 || !usual(entries, k.kind.GroupVersion().String()) || old.GetAnnotations()[corev1.LastAppliedConfigAnnotation] != "" {
		return old, nil
	}
	named := map[string]bool{"metadata": true}
	for name := range applied.Object {
		named[name] = true
	}
	for i := range entries {
		if e := &entries[i]; e.Manager == manager && e.Operation == metav1.ManagedFieldsOperationApply {
			fields, err := parseSet(e.FieldsV1.GetRawBytes())
			if err != nil {
				return old, nil
			}
			for _, kid := range fields.kids {
				named[string(kid.key[min(len("f:"), len(kid.key)):])] = true
			}
		}
	}
	part, rest = alike.CopyTop(old), reflect.New(reflect.TypeOf(old).Elem()).Interface().(api.Object)
	from, to := reflect.ValueOf(part).Elem(), reflect.ValueOf(rest).Elem()
	left := false
	for name, i := range parts {
		if !named[name] && !from.Field(i).IsZero() {
			to.Field(i).Set(from.Field(i))
			from.Field(i).SetZero()
			left = true
		}
	}
	if !left {
		return old, nil
	}
	return part, rest
}

// join puts a copy of the rest back into an object.
func join(obj, rest api.Object) error {
	to, from := reflect.ValueOf(obj), reflect.ValueOf(rest.DeepCopyObject())
	if to.Type() != from.Type() {
		return fmt.Errorf("managedfields: applying to a %T made a %T", rest, obj)
	}
	for name, i := range alike.Parts(from.Type().Elem()) {
		if field := from.Elem().Field(i); name != "metadata" && !field.IsZero() {
			to.Elem().Field(i).Set(field)
		}
	}
	return nil
}
