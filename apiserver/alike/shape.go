// Package alike compares objects of one Go type that have much in common, as the versions of
// one object and the replicas of one template do: quickly, and so that they can have in common
// the memory of what is equal. It walks them by a plan that is made once per type.
package alike

import (
	"reflect"
	"sync"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// shape is what must be known of a type.
type shape struct {
	kind       reflect.Kind
	plain      bool     // a value that is compared as a whole: it has no parts, or hides them
	comparable bool     // plain, and equal if == says so
	elem       *shape   // of a pointer, slice or map
	fields     []*shape // of a struct
}

// shapesByType keeps what has been made: a shape for each type of built-in objects.
var shapesByType sync.Map // reflect.Type → *shape

func shapeOf(t reflect.Type) *shape {
	if s, ok := shapesByType.Load(t); ok {
		return s.(*shape)
	}
	s, _ := shapesByType.LoadOrStore(t, shapes{}.of(t))
	return s.(*shape)
}

// shapes are those of the types below one that is being looked at: a type may contain itself.
type shapes map[reflect.Type]*shape

func (all shapes) of(t reflect.Type) *shape {
	if s, ok := all[t]; ok {
		return s
	}
	s := &shape{kind: t.Kind()}
	all[t] = s
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		s.elem = all.of(t.Elem())
	case reflect.Struct:
		s.plain = opaque[t]
		for i := range t.NumField() {
			s.plain = s.plain || !t.Field(i).IsExported()
			s.fields = append(s.fields, all.of(t.Field(i).Type))
		}
		s.comparable = s.plain && t.Comparable()
	case reflect.String, reflect.Interface:
	default:
		s.plain, s.comparable = true, true
	}
	return s
}

// opaque are the structs that are equal when their meaning is.
var opaque = map[reflect.Type]bool{
	reflect.TypeFor[metav1.Time]():       true,
	reflect.TypeFor[metav1.MicroTime]():  true,
	reflect.TypeFor[resource.Quantity](): true,
}
