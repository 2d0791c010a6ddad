package watchcache

import (
	"bytes"
	"maps"
	"reflect"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/miniorch/miniorch/pkg/api"
)

// Objects in the cache never change, so two of them can have parts in common: the versions
// of an object differ in little, and so do the replicas of one template. Each object that
// arrives is compared with one that it probably resembles, and takes over what is equal.

// sharer knows how to compare the objects of one Go type.
type sharer struct {
	of   reflect.Type
	root *shape
}

// newSharer returns the sharer of obj's type; nil, which shares nothing, if it is no Go type of
// its own kind.
func newSharer(obj api.Object) *sharer {
	if _, untyped := obj.(runtime.Unstructured); untyped {
		return nil
	}
	t := reflect.TypeOf(obj)
	return &sharer{t, shapes{}.of(t.Elem())}
}

// share replaces the parts of obj that are equal to like's by like's own. Nobody else may
// know obj yet.
func (s *sharer) share(obj, like api.Object) {
	if s != nil && reflect.TypeOf(obj) == s.of && reflect.TypeOf(like) == s.of {
		s.root.share(reflect.ValueOf(obj).Elem(), reflect.ValueOf(like).Elem())
	}
}

// copyTop returns a copy whose metadata can be set; it shares with obj what lies below.
func copyTop(obj api.Object) api.Object {
	if _, untyped := obj.(runtime.Unstructured); untyped {
		return obj.DeepCopyObject().(api.Object)
	}
	v := reflect.ValueOf(obj).Elem()
	to := reflect.New(v.Type())
	to.Elem().Set(v)
	return to.Interface().(api.Object)
}

// shape is what must be known of a type.
type shape struct {
	kind       reflect.Kind
	plain      bool     // holds no memory that could be shared, or hides it: compared as a whole
	comparable bool     // by ==
	elem       *shape   // of a pointer or slice
	fields     []*shape // of a struct
}

// shapes are those that have been made: a type may contain itself.
type shapes map[reflect.Type]*shape

func (all shapes) of(t reflect.Type) *shape {
	if s, ok := all[t]; ok {
		return s
	}
	s := &shape{kind: t.Kind(), comparable: t.Comparable()}
	all[t] = s
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		s.elem = all.of(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			s.plain = s.plain || !t.Field(i).IsExported()
			s.fields = append(s.fields, all.of(t.Field(i).Type))
		}
	case reflect.String, reflect.Map, reflect.Interface:
	default:
		s.plain = true
	}
	return s
}

// share makes the parts of to, which can be set, like's where they are equal, and reports
// whether all is. It may miss an equality.
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
	if to.UnsafePointer() != like.UnsafePointer() || s.kind == reflect.Slice && to.Len() != like.Len() {
		if !s.equalParts(to, like) {
			return false
		}
		to.Set(like)
	}
	return true
}

// equalParts is share for what a pointer, slice or map leads to.
func (s *shape) equalParts(to, like reflect.Value) bool {
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
