package alike

import (
	"bytes"
	"maps"
	"reflect"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Equal reports whether two values mean the same, exactly as apimachinery's
// equality.Semantic.DeepEqual does (nil and empty are equal, quantities and times are compared
// by value), in a fraction of its time.
func Equal[T any](a, b *T) bool {
	return shapeOf(reflect.TypeFor[T]()).equal(reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem())
}

// Values is Equal for two values of one type that reflection has found.
func Values(a, b reflect.Value) bool { return shapeOf(a.Type()).equal(a, b) }

func (s *shape) equal(a, b reflect.Value) bool {
	if s.plain {
		return s.comparable && a.Equal(b) || s.kind == reflect.Struct && apiequality.Semantic.DeepEqual(a.Interface(), b.Interface())
	}
	switch s.kind {
	case reflect.Struct:
		for i, field := range s.fields {
			if !field.equal(a.Field(i), b.Field(i)) {
				return false
			}
		}
		return true
	case reflect.String:
		return a.String() == b.String()
	case reflect.Interface:
		return a.IsNil() && b.IsNil() || apiequality.Semantic.DeepEqual(a.Interface(), b.Interface())
	case reflect.Pointer:
		if a.IsNil() || b.IsNil() {
			return a.IsNil() && b.IsNil()
		}
		return s.same(a, b) || s.elem.equal(a.Elem(), b.Elem())
	}
	return a.Len() == b.Len() && (a.Len() == 0 || s.same(a, b) || s.equalParts(a, b))
}

// equalParts is equal for slices and maps of one length.
func (s *shape) equalParts(a, b reflect.Value) bool {
	if s.kind == reflect.Map {
		switch m := a.Interface().(type) {
		case map[string]string:
			return maps.Equal(m, b.Interface().(map[string]string))
		case corev1.ResourceList:
			return maps.EqualFunc(m, b.Interface().(corev1.ResourceList), func(x, y resource.Quantity) bool { return x.Cmp(y) == 0 })
		}
		for it := a.MapRange(); it.Next(); {
			other := b.MapIndex(it.Key())
			if !other.IsValid() || !s.elem.equal(it.Value(), other) {
				return false
			}
		}
		return true
	}
	if s.elem.kind == reflect.Uint8 {
		return bytes.Equal(a.Bytes(), b.Bytes())
	}
	for i := range a.Len() {
		if !s.elem.equal(a.Index(i), b.Index(i)) {
			return false
		}
	}
	return true
}
