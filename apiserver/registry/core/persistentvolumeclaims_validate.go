package core

import (
	"reflect"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/registry/podspec"
	"github.com/miniorch/miniorch/pkg/claims"
)

func validateClaim(c *corev1.PersistentVolumeClaim) field.ErrorList {
	spec := field.NewPath("spec")
	errs := podspec.ValidateClaimSpec(&c.Spec, spec)
	if c.Spec.VolumeName != "" {
		errs = append(errs, kind.Invalids(spec.Child("volumeName"), c.Spec.VolumeName, utilvalidation.IsDNS1123Subdomain(c.Spec.VolumeName))...)
	}
	return errs
}

// validateClaimUpdate lets a claim take a volume or a class that it has none of, and a bound
// one grow; all else of the spec stays as it was made.
func validateClaimUpdate(c, old *corev1.PersistentVolumeClaim) field.ErrorList {
	spec := field.NewPath("spec")
	var errs field.ErrorList
	want := old.Spec.DeepCopy()
	if want.VolumeName == "" {
		want.VolumeName = c.Spec.VolumeName
	}
	if !claims.NamesClass(old) && c.Spec.StorageClassName != nil && want.VolumeName == "" {
		want.StorageClassName = c.Spec.StorageClassName
	}
	if name, beta := old.Annotations[claims.BetaClass]; beta && old.Spec.StorageClassName == nil &&
		c.Spec.StorageClassName != nil && *c.Spec.StorageClassName == name {
		want.StorageClassName = c.Spec.StorageClassName // the newer way to say the same
	}
	if old.Status.Phase == corev1.ClaimBound {
		want.VolumeAttributesClassName = c.Spec.VolumeAttributesClassName
		if q, ok := c.Spec.Resources.Requests[corev1.ResourceStorage]; ok && want.Resources.Requests != nil {
			want.Resources.Requests[corev1.ResourceStorage] = q.DeepCopy()
		}
	}
	if !equality.Semantic.DeepEqual(c.Spec, *want) {
		errs = append(errs, field.Forbidden(spec, "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims; changed: "+
			strings.Join(changedFields(&c.Spec, want), ", ")))
	}
	errs = append(errs, validateShrink(c, old, spec.Child("resources", "requests", "storage"))...)
	if old.Spec.VolumeAttributesClassName != nil && c.Spec.VolumeAttributesClassName == nil {
		errs = append(errs, field.Forbidden(spec.Child("volumeAttributesClassName"), "update from non-nil value to nil is forbidden"))
	}
	if was, ok := old.Annotations[claims.BetaClass]; ok && c.Annotations[claims.BetaClass] != was {
		errs = append(errs, field.Invalid(field.NewPath("metadata", "annotations").Key(claims.BetaClass), c.Annotations[claims.BetaClass], kind.Immutable))
	}
	return errs
}

// changedFields lists the JSON names of the fields in which two specs differ.
func changedFields(a, b *corev1.PersistentVolumeClaimSpec) []string {
	var names []string
	one, other := reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem()
	for i := range one.NumField() {
		if !equality.Semantic.DeepEqual(one.Field(i).Interface(), other.Field(i).Interface()) {
			name, _, _ := strings.Cut(one.Type().Field(i).Tag.Get("json"), ",")
			names = append(names, name)
		}
	}
	return names
}

// validateShrink: a claim may ask for less than before only while it has not got that, and
// never for less than it has.
func validateShrink(c, old *corev1.PersistentVolumeClaim, path *field.Path) field.ErrorList {
	now, was, has := claims.Request(c), claims.Request(old), old.Status.Capacity.Storage()
	switch {
	case now.Cmp(was) >= 0:
		return nil
	case old.Status.Phase != corev1.ClaimBound:
		return nil // the spec as a whole is refused
	case now.Cmp(*has) < 0:
		return field.ErrorList{field.Forbidden(path, "field can not be less than status.capacity")}
	}
	return nil
}

func validateClaimStatus(c, _ *corev1.PersistentVolumeClaim) field.ErrorList {
	path := field.NewPath("status")
	var errs field.ErrorList
	for _, m := range c.Status.AccessModes {
		errs = append(errs, kind.OneOf(m, path.Child("accessModes"),
			corev1.ReadWriteOnce, corev1.ReadOnlyMany, corev1.ReadWriteMany, corev1.ReadWriteOncePod)...)
	}
	errs = append(errs, kind.OneOf(c.Status.Phase, path.Child("phase"), corev1.ClaimPending, corev1.ClaimBound, corev1.ClaimLost)...)
	for list, quantities := range map[string]corev1.ResourceList{"capacity": c.Status.Capacity, "allocatedResources": c.Status.AllocatedResources} {
		for _, name := range kind.SortedNames(quantities) {
			errs = append(errs, podspec.ValidateQuantity(name, quantities[name], path.Child(list).Key(string(name)))...)
		}
	}
	return errs
}
