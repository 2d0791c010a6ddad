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

// converter is what the library asks about objects of one kind. It turns text into types,
// and the one version of an object into the other where there are two.
type converter struct {
	kind     schema.GroupVersionKind
	typ      typed.ParseableType
	empty    func() api.Object
	defaults func(api.Object)
	convert  func(api.Object, schema.GroupVersion) (api.Object, error) // nil: one version
	// Objects of no interest to us, which the interface wants.
	runtime.ObjectConvertor
}

// ObjectToTyped implements the library's TypeConverter.
func (c *converter) ObjectToTyped(obj runtime.Object, opts ...typed.ValidationOptions) (*typed.TypedValue, error) {
	if u, ok := obj.(*unstructured.Unstructured); ok && u.GroupVersionKind() == c.kind {
		return c.typ.FromUnstructured(u.UnstructuredContent(), opts...)
	}
	// What has a Go type fits the schema; what is wrong with it is for validation to say.
	v, err := value.NewValueReflect(obj)
	if err != nil {
		return nil, err
	}
	typ, err := c.typeOf(obj)
	if err != nil {
		return nil, err
	}
	//lint:ignore SA1019 validating a Go struct by its schema costs as much as all the rest.
	return typed.AsTypedUnvalidated(v, typ.Schema, typ.TypeRef), nil
}

// typeOf returns the schema of an object of the kind, in whichever version.
func (c *converter) typeOf(obj runtime.Object) (typed.ParseableType, error) {
	gvk := obj.GetObjectKind().GroupVersionKind()
	if gvk == c.kind || gvk.Empty() {
		return c.typ, nil
	}
	name, err := api.Scheme.ToOpenAPIDefinitionName(gvk)
	if err != nil {
		return typed.ParseableType{}, err
	}
	return parser().Type(name), nil
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
	gvk := in.GetObjectKind().GroupVersionKind()
	obj, err := c.typedObject(in, gvk)
	if err != nil {
		return nil, err
	}
	want, ok := to.KindForGroupVersionKinds([]schema.GroupVersionKind{gvk})
	if ok && want == gvk {
		return obj, nil
	}
	if version, ok := to.(schema.GroupVersion); ok && c.convert != nil {
		if out, err := c.convert(obj, version); err == nil {
			out.GetObjectKind().SetGroupVersionKind(version.WithKind(gvk.Kind))
			return out, nil
		}
	}
	return nil, runtime.NewNotRegisteredGVKErrForTarget("miniorch", gvk, to)
}

// typedObject makes a Go object of a tree.
func (c *converter) typedObject(in runtime.Object, gvk schema.GroupVersionKind) (api.Object, error) {
	u, ok := in.(*unstructured.Unstructured)
	if !ok {
		return in.(api.Object), nil
	}
	out := c.empty()
	if gvk != c.kind {
		other, err := api.Scheme.New(gvk)
		if err != nil {
			return nil, err
		}
		out = other.(api.Object)
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, out); err != nil {
		return nil, err
	}
	out.GetObjectKind().SetGroupVersionKind(gvk)
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
