package registry

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/resource"
	"github.com/miniorch/miniorch/pkg/api"
)

// kind is a resource.Descriptor in the kind's own Go type, so that the files of this
// package need no type assertions. The fields mean what they mean there; nil
// functions do nothing.
type kind[T api.Object] struct {
	singular   string
	shortNames []string
	categories []string

	new     func() T
	newList func() runtime.Object

	defaults       func(obj T)
	prepareCreate  func(obj T)
	prepareUpdate  func(obj, old T)
	validate       func(obj T) field.ErrorList
	validateUpdate func(obj, old T) field.ErrorList
	validateName   func(name string, prefix bool) []string
	warnings       func(obj, old T, isUpdate bool) []string

	createOnUpdate      bool
	unconditionalUpdate bool
	noDeleteCollection  bool

	gracePeriod func(obj T, asked *int64) int64
	ttl         func(obj T) time.Duration

	propagation   metav1.DeletionPropagation
	deleteWarning string

	fieldNames []string
	fields     func(obj T) fields.Set

	columns      []column[T]
	subresources []resource.Subresource
}

// column is a resource.Column in the kind's own Go type.
type column[T api.Object] struct {
	name, typ, format, description string
	priority                       int32
	value                          func(obj T, now time.Time) any
}

// describe turns the typed value into the one that the engine reads.
func describe[T api.Object](k kind[T]) resource.Descriptor {
	d := resource.Descriptor{
		Resource:                 api.ResourceFor[T](),
		Singular:                 k.singular,
		ShortNames:               k.shortNames,
		Categories:               k.categories,
		New:                      func() api.Object { return k.new() },
		NewList:                  k.newList,
		ValidateName:             k.validateName,
		AllowCreateOnUpdate:      k.createOnUpdate,
		AllowUnconditionalUpdate: k.unconditionalUpdate,
		NoDeleteCollection:       k.noDeleteCollection,
		DefaultPropagation:       k.propagation,
		DeleteWarning:            k.deleteWarning,
		FieldNames:               k.fieldNames,
		Subresources:             k.subresources,
	}
	describeStrategy(&d, k)
	describeReading(&d, k)
	return d
}

func describeStrategy[T api.Object](d *resource.Descriptor, k kind[T]) {
	if k.defaults != nil {
		d.Default = func(obj api.Object) { k.defaults(obj.(T)) }
	}
	if k.prepareCreate != nil {
		d.PrepareCreate = func(_ context.Context, obj api.Object) { k.prepareCreate(obj.(T)) }
	}
	d.PrepareUpdate = prepares(k.prepareUpdate)
	if k.validate != nil {
		d.Validate = func(_ context.Context, obj api.Object) field.ErrorList { return k.validate(obj.(T)) }
	}
	d.ValidateUpdate = validates(k.validateUpdate)
	if k.warnings != nil {
		d.Warnings = func(_ context.Context, obj, old api.Object) []string {
			o, isUpdate := old.(T) // old is nil on create
			return k.warnings(obj.(T), o, isUpdate)
		}
	}
	if k.gracePeriod != nil {
		d.GracePeriod = func(obj api.Object, asked *int64) int64 { return k.gracePeriod(obj.(T), asked) }
	}
	if k.ttl != nil {
		d.TTL = func(obj api.Object) time.Duration { return k.ttl(obj.(T)) }
	}
}

func describeReading[T api.Object](d *resource.Descriptor, k kind[T]) {
	if k.fields != nil {
		d.Fields = func(obj api.Object) fields.Set { return k.fields(obj.(T)) }
	}
	for _, c := range k.columns {
		d.Columns = append(d.Columns, resource.Column{
			Name: c.name, Type: c.typ, Format: c.format, Description: c.description, Priority: c.priority,
			Value: func(obj api.Object, now time.Time) any { return c.value(obj.(T), now) },
		})
	}
}

func prepares[T api.Object](f func(obj, old T)) func(context.Context, api.Object, api.Object) {
	if f == nil {
		return nil
	}
	return func(_ context.Context, obj, old api.Object) { f(obj.(T), old.(T)) }
}

func validates[T api.Object](f func(obj, old T) field.ErrorList) func(context.Context, api.Object, api.Object) field.ErrorList {
	if f == nil {
		return nil
	}
	return func(_ context.Context, obj, old api.Object) field.ErrorList { return f(obj.(T), old.(T)) }
}

// statusOf is the "status" subresource: prepare puts back what this endpoint may not
// change. The generation always stays, since it counts changes of the spec.
func statusOf[T api.Object](prepare func(obj, old T), validate func(obj, old T) field.ErrorList) resource.Subresource {
	return resource.Subresource{
		Name:  "status",
		Verbs: []string{"get", "patch", "update"},
		PrepareUpdate: prepares(func(obj, old T) {
			prepare(obj, old)
			obj.SetGeneration(old.GetGeneration())
		}),
		ValidateUpdate: validates(validate),
	}
}
