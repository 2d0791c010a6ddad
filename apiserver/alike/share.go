package alike

import (
	"bytes"
	"maps"
	"reflect"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/miniorch/miniorch/pkg/api"
)

// Share replaces the parts of obj that are equal to like's by like's own, so that they are in
// memory once. Nobody else may know obj or hold a part of it yet, and both must never be
// changed afterwards. Objects of different types, and without a Go type, share nothing.
func Share(obj, like api.Object) {
	to, from := reflect.ValueOf(obj), reflect.ValueOf(like)
	if _, untyped := obj.(runtime.Unstructured); untyped || to.Type() != from.Type() {
		return
	}
	shapeOf(to.Type().Elem()).share(to.Elem(), from.Elem())
}

// CopyTop returns a copy of obj whose own fields and metadata can be set. What these lead to it
// shares with obj.
func CopyTop(obj api.Object) api.Object {
	if _, untyped := obj.(runtime.Unstructured); untyped {
		return obj.DeepCopyObject().(api.Object)
	}
	v := reflect.ValueOf(obj).Elem()
	to := reflect.New(v.Type())
	to.Elem().Set(v)
	return to.Interface().(api.Object)
}

// share makes the parts of to, which can be set, like's where they are equal to the last bit,
// and reports whether all is. It may miss an equality.
func (s *shape) share(to, like reflect.Value) bool {
	if s.plain {
		return s.comparable && to.Equal(like)
	}
	switch s.kind {
	case reflect.Struct:
		equal := true
		for i, field := range s.fields {
			equal = field.share(to.Field(i), like.Field(i)) && equal
		}
		return equal
	case reflect.String:
		if text := like.String(); text == to.String() {
			to.SetString(text)
			return true
		}
		return false
	case reflect.Interface:
		return to.IsNil() && like.IsNil()
	}
	if to.IsNil() || like.IsNil() {
		return to.IsNil() && like.IsNil()
	}
	if !s.same(to, like) {
		if !s.shareParts(to, like) {
			return false
		}
		to.Set(like)
	}
	return true
}

// same reports whether two pointers, slices or maps are the same memory.
func (s *shape) same(a, b reflect.Value) bool {
	return a.UnsafePointer() == b.UnsafePointer() && (s.kind != reflect.Slice || a.Len() == b.Len())
}

// shareParts is share for what a pointer, slice or map leads to.
func (s *shape) shareParts(to, like reflect.Value) bool {
	switch s.kind {
	case reflect.Pointer:
		return s.elem.share(to.Elem(), like.Elem())
	case reflect.Slice:
		if s.elem.kind == reflect.Uint8 {
			return bytes.Equal(to.Bytes(), like.Bytes())
		}
		equal := to.Len() == like.Len()
		for i := range min(to.Len(), like.Len()) {
			equal = s.elem.share(to.Index(i), like.Index(i)) && equal
		}
		return equal
	}
	if to.Len() != like.Len() {
		return false
	}
	a, b := to.Interface(), like.Interface()
	if texts, ok := a.(map[string]string); ok {
		return maps.Equal(texts, b.(map[string]string))
	}
	return reflect.DeepEqual(a, b)
}
