package storage

import (
	"maps"

	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/resource"
)

func volumeAttributesClasses() resource.Descriptor {
	return kind.Describe(kind.Of[*storagev1.VolumeAttributesClass]{
		Singular:            "volumeattributesclass",
		ShortNames:          []string{"vac"},
		New:                 func() *storagev1.VolumeAttributesClass { return &storagev1.VolumeAttributesClass{} },
		NewList:             func() runtime.Object { return &storagev1.VolumeAttributesClassList{} },
		Validate:            validateAttributesClass,
		ValidateUpdate:      validateAttributesClassUpdate,
		UnconditionalUpdate: true,
		Columns: []kind.Column[*storagev1.VolumeAttributesClass]{
			kind.NameColumn[*storagev1.VolumeAttributesClass](),
			kind.TextColumn("DriverName", "The driver that knows the attributes.",
				func(c *storagev1.VolumeAttributesClass) string { return c.DriverName }),
			kind.AgeColumn[*storagev1.VolumeAttributesClass](),
		},
	})
}

func validateAttributesClass(c *storagev1.VolumeAttributesClass) field.ErrorList {
	errs := validateProvisioner(c.DriverName, field.NewPath("driverName"))
	return append(errs, validateParameters(c.Parameters, false, field.NewPath("parameters"))...)
}

func validateAttributesClassUpdate(c, old *storagev1.VolumeAttributesClass) field.ErrorList {
	var errs field.ErrorList
	if c.DriverName != old.DriverName {
		errs = append(errs, field.Forbidden(field.NewPath("driverName"), "updates to driverName are forbidden."))
	}
	if !maps.Equal(c.Parameters, old.Parameters) {
		errs = append(errs, field.Forbidden(field.NewPath("parameters"), "updates to parameters are forbidden."))
	}
	return errs
}
