package storage

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/resource"
	"github.com/miniorch/miniorch/pkg/claims"
)

func storageClasses() resource.Descriptor {
	return kind.Describe(kind.Of[*storagev1.StorageClass]{
		Singular:            "storageclass",
		ShortNames:          []string{"sc"},
		New:                 func() *storagev1.StorageClass { return &storagev1.StorageClass{} },
		NewList:             func() runtime.Object { return &storagev1.StorageClassList{} },
		Defaults:            defaultStorageClass,
		Validate:            validateStorageClass,
		ValidateUpdate:      validateStorageClassUpdate,
		UnconditionalUpdate: true,
		Columns:             storageClassColumns(),
	})
}

func storageClassColumns() []kind.Column[*storagev1.StorageClass] {
	name := kind.NameColumn[*storagev1.StorageClass]()
	name.Description += " The default class says so."
	return []kind.Column[*storagev1.StorageClass]{
		kind.TextColumn("Name", name.Description, func(c *storagev1.StorageClass) string {
			if claims.IsDefault(c) {
				return c.Name + " (default)"
			}
			return c.Name
		}),
		kind.TextColumn("Provisioner", "Who makes volumes of this class.", func(c *storagev1.StorageClass) string { return c.Provisioner }),
		kind.TextColumn("ReclaimPolicy", "What becomes of a volume after its claim.", func(c *storagev1.StorageClass) string {
			if c.ReclaimPolicy == nil {
				return string(corev1.PersistentVolumeReclaimDelete)
			}
			return string(*c.ReclaimPolicy)
		}),
		kind.TextColumn("VolumeBindingMode", "Whether claims are bound at once, or with their first pod.", func(c *storagev1.StorageClass) string {
			if c.VolumeBindingMode == nil {
				return string(storagev1.VolumeBindingImmediate)
			}
			return string(*c.VolumeBindingMode)
		}),
		kind.TextColumn("AllowVolumeExpansion", "Whether volumes can grow.", func(c *storagev1.StorageClass) string { return truth(c.AllowVolumeExpansion) }),
		kind.AgeColumn[*storagev1.StorageClass](),
	}
}

func truth(b *bool) string {
	if b != nil && *b {
		return "true"
	}
	return "false"
}

func defaultStorageClass(c *storagev1.StorageClass) {
	kind.SetDefault(&c.ReclaimPolicy, corev1.PersistentVolumeReclaimDelete)
	kind.SetDefault(&c.VolumeBindingMode, storagev1.VolumeBindingImmediate)
}

func validateStorageClass(c *storagev1.StorageClass) field.ErrorList {
	errs := validateProvisioner(c.Provisioner, field.NewPath("provisioner"))
	errs = append(errs, validateParameters(c.Parameters, true, field.NewPath("parameters"))...)
	if c.ReclaimPolicy != nil {
		errs = append(errs, kind.OneOf(*c.ReclaimPolicy, field.NewPath("reclaimPolicy"),
			corev1.PersistentVolumeReclaimDelete, corev1.PersistentVolumeReclaimRetain)...)
	}
	if c.VolumeBindingMode == nil {
		errs = append(errs, field.Required(field.NewPath("volumeBindingMode"), ""))
	} else {
		errs = append(errs, kind.OneOf(*c.VolumeBindingMode, field.NewPath("volumeBindingMode"),
			storagev1.VolumeBindingImmediate, storagev1.VolumeBindingWaitForFirstConsumer)...)
	}
	return append(errs, validateTopologies(c.AllowedTopologies, field.NewPath("allowedTopologies"))...)
}

func validateProvisioner(name string, path *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	return kind.Invalids(path, name, utilvalidation.IsQualifiedName(strings.ToLower(name)))
}

// The most that a class may say to its provisioner.
const (
	maxParameters     = 512
	maxParametersSize = 256 << 10
)

func validateParameters(all map[string]string, mayBeEmpty bool, path *field.Path) field.ErrorList {
	if len(all) > maxParameters {
		return field.ErrorList{field.TooLong(path, "", maxParameters)}
	}
	if len(all) == 0 && !mayBeEmpty {
		return field.ErrorList{field.Required(path, "must contain at least one key/value pair")}
	}
	var errs field.ErrorList
	size := 0
	for key, value := range all {
		if key == "" {
			errs = append(errs, field.Invalid(path, "", "field can not be empty."))
		}
		size += len(key) + len(value)
	}
	if size > maxParametersSize {
		errs = append(errs, field.TooLong(path, "", maxParametersSize))
	}
	return errs
}

func validateTopologies(all []corev1.TopologySelectorTerm, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, term := range all {
		keys := map[string]bool{}
		for j, e := range term.MatchLabelExpressions {
			at := path.Index(i).Child("matchLabelExpressions").Index(j)
			errs = append(errs, metavalidation.ValidateLabelName(e.Key, at.Child("key"))...)
			if keys[e.Key] {
				errs = append(errs, field.Duplicate(at.Child("key"), e.Key))
			}
			keys[e.Key] = true
			if len(e.Values) == 0 {
				errs = append(errs, field.Required(at.Child("values"), ""))
			}
			values := map[string]bool{}
			for k, v := range e.Values {
				if values[v] {
					errs = append(errs, field.Duplicate(at.Child("values").Index(k), v))
				}
				values[v] = true
			}
		}
		for j, other := range all[:i] {
			if equality.Semantic.DeepEqual(other, term) {
				errs = append(errs, field.Duplicate(path.Index(i).Child("matchLabelExpressions"), j))
			}
		}
	}
	return errs
}

func validateStorageClassUpdate(c, old *storagev1.StorageClass) field.ErrorList {
	var errs field.ErrorList
	if !equality.Semantic.DeepEqual(c.Parameters, old.Parameters) {
		errs = append(errs, field.Forbidden(field.NewPath("parameters"), "updates to parameters are forbidden."))
	}
	if c.Provisioner != old.Provisioner {
		errs = append(errs, field.Forbidden(field.NewPath("provisioner"), "updates to provisioner are forbidden."))
	}
	if !equality.Semantic.DeepEqual(c.ReclaimPolicy, old.ReclaimPolicy) {
		errs = append(errs, field.Forbidden(field.NewPath("reclaimPolicy"), "updates to reclaimPolicy are forbidden."))
	}
	if !equality.Semantic.DeepEqual(c.VolumeBindingMode, old.VolumeBindingMode) {
		errs = append(errs, field.Invalid(field.NewPath("volumeBindingMode"), c.VolumeBindingMode, kind.Immutable))
	}
	return errs
}
