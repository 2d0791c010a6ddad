package storage

import (
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apiresource "k8s.io/apimachinery/pkg/api/resource"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/resource"
)

func csiStorageCapacities() resource.Descriptor {
	return kind.Describe(kind.Of[*storagev1.CSIStorageCapacity]{
		Singular: "csistoragecapacity",
		New:      func() *storagev1.CSIStorageCapacity { return &storagev1.CSIStorageCapacity{} },
		NewList:  func() runtime.Object { return &storagev1.CSIStorageCapacityList{} },
		Defaults: func(c *storagev1.CSIStorageCapacity) {
			kind.TidyQuantity(c.Capacity)
			kind.TidyQuantity(c.MaximumVolumeSize)
		},
		Validate:            validateStorageCapacity,
		ValidateUpdate:      validateStorageCapacityUpdate,
		UnconditionalUpdate: true,
		Columns: []kind.Column[*storagev1.CSIStorageCapacity]{
			kind.NameColumn[*storagev1.CSIStorageCapacity](),
			kind.TextColumn("StorageClassName", "The class whose volumes there is room for.",
				func(c *storagev1.CSIStorageCapacity) string { return c.StorageClassName }),
			kind.TextColumn("Capacity", "How much room there is.", func(c *storagev1.CSIStorageCapacity) string {
				if c.Capacity == nil {
					return "<unset>"
				}
				return c.Capacity.String()
			}),
			kind.AgeColumn[*storagev1.CSIStorageCapacity](),
		},
	})
}

func validateStorageCapacity(c *storagev1.CSIStorageCapacity) field.ErrorList {
	var errs field.ErrorList
	if c.StorageClassName == "" {
		errs = append(errs, field.Required(field.NewPath("storageClassName"), ""))
	} else {
		errs = append(errs, kind.Invalids(field.NewPath("storageClassName"), c.StorageClassName, utilvalidation.IsDNS1123Subdomain(c.StorageClassName))...)
	}
	if c.NodeTopology != nil {
		errs = append(errs, metavalidation.ValidateLabelSelector(c.NodeTopology, metavalidation.LabelSelectorValidationOptions{}, field.NewPath("nodeTopology"))...)
	}
	for name, q := range map[string]*apiresource.Quantity{"capacity": c.Capacity, "maximumVolumeSize": c.MaximumVolumeSize} {
		if q != nil && q.Sign() < 0 {
			errs = append(errs, field.Invalid(field.NewPath(name), q.String(), "must be greater than or equal to 0"))
		}
	}
	return errs
}

func validateStorageCapacityUpdate(c, old *storagev1.CSIStorageCapacity) field.ErrorList {
	var errs field.ErrorList
	if !equality.Semantic.DeepEqual(c.NodeTopology, old.NodeTopology) {
		errs = append(errs, field.Invalid(field.NewPath("nodeTopology"), c.NodeTopology, kind.Immutable))
	}
	if c.StorageClassName != old.StorageClassName {
		errs = append(errs, field.Invalid(field.NewPath("storageClassName"), c.StorageClassName, kind.Immutable))
	}
	return errs
}
