package managedfields

import (
	"fmt"
	"reflect"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
	"sigs.k8s.io/structured-merge-diff/v6/value"

	"github.com/miniorch/miniorch/pkg/api"
)

// converter is what the library asks about objects of one kind. There is one version of
// each, so nothing is ever converted but text to types.
type converter struct {
	kind     schema.GroupVersionKind
	typ      typed.ParseableType
	empty    func() api.Object
	defaults func(api.Object)
	// Objects of no interest to us, which the interface wants.
	runtime.ObjectConvertor
}

// ObjectToTyped implements the library's TypeConverter.
func (c *converter) ObjectToTyped(obj runtime.Object, opts ...typed.ValidationOptions) (*typed.TypedValue, error) {
	if u, ok := obj.(*unstructured.Unstructured); ok {
		return c.typ.FromUnstructured(u.UnstructuredContent(), opts...)
	}
	// What has a Go type fits the schema; what is wrong with it is for validation to say.
	v, err := value.NewValueReflect(obj)
	if err != nil {
		return nil, err
	}
	return typed.AsTypedUnvalidated(v, c.typ.Schema, c.typ.TypeRef), nil
}

// TypedToObject implements the library's TypeConverter.
func (c *converter) TypedToObject(v *typed.TypedValue) (runtime.Object, error) {
	tree, ok := v.AsValue().Unstructured().(map[string]any)
	if !ok {
		return nil, fmt.Errorf("a %s that is no object", c.kind.Kind)
	}
	return &unstructured.Unstructured{Object: tree}, nil
}

// ConvertToVersion implements runtime.ObjectConvertor. Fields that are owned in a version that
// there no longer is are owned by nobody.
func (c *converter) ConvertToVersion(in runtime.Object, to runtime.GroupVersioner) (runtime.Object, error) {
	if gvk, ok := to.KindForGroupVersionKinds([]schema.GroupVersionKind{c.kind}); !ok || gvk != c.kind {
		return nil, runtime.NewNotRegisteredGVKErrForTarget("miniorch", c.kind, to)
	}
	u, ok := in.(*unstructured.Unstructured)
	if !ok {
		return in, nil
	}
	out := c.empty()
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, out); err != nil {
		return nil, err
	}
	out.GetObjectKind().SetGroupVersionKind(c.kind)
	return out, nil
}

// Default implements runtime.ObjectDefaulter.
func (c *converter) Default(obj runtime.Object) {
	if o, ok := obj.(api.Object); ok && c.defaults != nil {
		c.defaults(o)
	}
}

// New implements runtime.ObjectCreater.
func (c *converter) New(schema.GroupVersionKind) (runtime.Object, error) {
	return c.named(c.empty()), nil
}

// named returns a shallow copy of obj that says what it is, as the library wants to know and
// stored objects do not.
func (c *converter) named(obj api.Object) api.Object {
	v := reflect.New(reflect.TypeOf(obj).Elem())
	v.Elem().Set(reflect.ValueOf(obj).Elem())
	out := v.Interface().(api.Object)
	out.GetObjectKind().SetGroupVersionKind(c.kind)
	return out
}
