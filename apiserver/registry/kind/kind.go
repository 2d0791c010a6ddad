// Package kind is the toolkit in which the built-in kinds are described: a typed descriptor, the
// columns and subresources that many share, and the checks that any field may need.
package kind

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

// Of is a resource.Descriptor in the kind's own Go type, so that the
// kinds need no type assertions. The fields mean what they mean there; nil
// functions do nothing.
type Of[T api.Object] struct {
	Singular   string
	ShortNames []string
	Categories []string

	New     func() T
	NewList func() runtime.Object

	Defaults       func(obj T)
	PrepareCreate  func(obj T)
	PrepareUpdate  func(obj, old T)
	Validate       func(obj T) field.ErrorList
	ValidateUpdate func(obj, old T) field.ErrorList
	ValidateName   func(name string, prefix bool) []string
	Warnings       func(obj, old T, isUpdate bool) []string

	CreateOnUpdate      bool
	UnconditionalUpdate bool
	NoDeleteCollection  bool

	GracePeriod func(obj T, asked *int64) int64
	TTL         func(obj T) time.Duration

	Propagation   metav1.DeletionPropagation
	DeleteWarning string

	FieldNames []string
	Fields     func(obj T) fields.Set

	Columns      []Column[T]
	Subresources []resource.Subresource
}

// Column is a resource.Column in the kind's own Go type.
type Column[T api.Object] struct {
	Name, Type, Format, Description string
	Priority                        int32
	Value                           func(obj T, now time.Time) any
	text                            func(obj T, now time.Time) string // of a column of text, the same
}

// Describe turns the typed value into the one that the engine reads.
func Describe[T api.Object](k Of[T]) resource.Descriptor {
	d := resource.Descriptor{
		Resource:                 api.ResourceFor[T](),
		Deprecated:               deprecation[T](),
		Singular:                 k.Singular,
		ShortNames:               k.ShortNames,
		Categories:               k.Categories,
		New:                      func() api.Object { return k.New() },
		NewList:                  k.NewList,
		ValidateName:             k.ValidateName,
		AllowCreateOnUpdate:      k.CreateOnUpdate,
		AllowUnconditionalUpdate: k.UnconditionalUpdate,
		NoDeleteCollection:       k.NoDeleteCollection,
		DefaultPropagation:       k.Propagation,
		DeleteWarning:            k.DeleteWarning,
		FieldNames:               k.FieldNames,
		Subresources:             k.Subresources,
	}
	describeStrategy(&d, k)
	describeReading(&d, k)
	return d
}

func describeStrategy[T api.Object](d *resource.Descriptor, k Of[T]) {
	if k.Defaults != nil {
		d.Default = func(obj api.Object) { k.Defaults(obj.(T)) }
	}
	if k.PrepareCreate != nil {
		d.PrepareCreate = func(_ context.Context, obj api.Object) { k.PrepareCreate(obj.(T)) }
	}
	d.PrepareUpdate = Prepares(k.PrepareUpdate)
	if k.Validate != nil {
		d.Validate = func(_ context.Context, obj api.Object) field.ErrorList { return k.Validate(obj.(T)) }
	}
	d.ValidateUpdate = Validates(k.ValidateUpdate)
	if k.Warnings != nil {
		d.Warnings = func(_ context.Context, obj, old api.Object) []string {
			o, isUpdate := old.(T) // old is nil on create
			return k.Warnings(obj.(T), o, isUpdate)
		}
	}
	if k.GracePeriod != nil {
		d.GracePeriod = func(obj api.Object, asked *int64) int64 { return k.GracePeriod(obj.(T), asked) }
	}
	if k.TTL != nil {
		d.TTL = func(obj api.Object) time.Duration { return k.TTL(obj.(T)) }
	}
}

func describeReading[T api.Object](d *resource.Descriptor, k Of[T]) {
	if k.Fields != nil {
		d.Fields = func(obj api.Object) fields.Set { return k.Fields(obj.(T)) }
	}
	for _, c := range k.Columns {
		column := resource.Column{
			Name: c.Name, Type: c.Type, Format: c.Format, Description: c.Description, Priority: c.Priority,
			Value: func(obj api.Object, now time.Time) any { return c.Value(obj.(T), now) },
		}
		if c.text != nil {
			column.Text = func(obj api.Object, now time.Time) string { return c.text(obj.(T), now) }
		}
		d.Columns = append(d.Columns, column)
	}
}

// Prepares makes a step before an update, written for the kind's own type, one that the engine calls.
func Prepares[T api.Object](f func(obj, old T)) func(context.Context, api.Object, api.Object) {
	if f == nil {
		return nil
	}
	return func(_ context.Context, obj, old api.Object) { f(obj.(T), old.(T)) }
}

// Validates makes a check of an update, written for the kind's own type, one that the engine calls.
func Validates[T api.Object](f func(obj, old T) field.ErrorList) func(context.Context, api.Object, api.Object) field.ErrorList {
	if f == nil {
		return nil
	}
	return func(_ context.Context, obj, old api.Object) field.ErrorList { return f(obj.(T), old.(T)) }
}

// StatusOf is the "status" subresource: prepare puts back what this endpoint may not
// change. The generation always stays, since it counts changes of the spec.
func StatusOf[T api.Object](prepare func(obj, old T), validate func(obj, old T) field.ErrorList) resource.Subresource {
	return resource.Subresource{
		Name:  "status",
		Verbs: []string{"get", "patch", "update"},
		PrepareUpdate: Prepares(func(obj, old T) {
			prepare(obj, old)
			obj.SetGeneration(old.GetGeneration())
		}),
		ValidateUpdate: Validates(validate),
	}
}
