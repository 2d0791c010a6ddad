package podspec

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
)

// DefaultClaimSpec fills what a claim, or a template of one, leaves open.
func DefaultClaimSpec(s *corev1.PersistentVolumeClaimSpec) {
	kind.SetDefault(&s.VolumeMode, corev1.PersistentVolumeFilesystem)
	kind.TidyQuantities(s.Resources.Limits, s.Resources.Requests)
	// dataSource and dataSourceRef are one field under two names, as far as the older can say it.
	switch {
	case s.DataSource != nil && s.DataSourceRef == nil:
		s.DataSourceRef = &corev1.TypedObjectReference{APIGroup: s.DataSource.APIGroup, Kind: s.DataSource.Kind, Name: s.DataSource.Name}
	case s.DataSource == nil && s.DataSourceRef != nil && s.DataSourceRef.Namespace == nil && populates(s.DataSourceRef):
		s.DataSource = &corev1.TypedLocalObjectReference{APIGroup: s.DataSourceRef.APIGroup, Kind: s.DataSourceRef.Kind, Name: s.DataSourceRef.Name}
	}
}

// populates reports whether the older dataSource field can name the source too.
func populates(r *corev1.TypedObjectReference) bool {
	group := ""
	if r.APIGroup != nil {
		group = *r.APIGroup
	}
	return group == "" && r.Kind == "PersistentVolumeClaim" || group == "snapshot.storage.k8s.io" && r.Kind == "VolumeSnapshot"
}

// ValidateClaimSpec checks the spec of a claim, or of a template of one.
func ValidateClaimSpec(s *corev1.PersistentVolumeClaimSpec, path *field.Path) field.ErrorList {
	errs := ValidateAccessModes(s.AccessModes, path.Child("accessModes"))
	if s.Selector != nil {
		errs = append(errs, metavalidation.ValidateLabelSelector(s.Selector, metavalidation.LabelSelectorValidationOptions{}, path.Child("selector"))...)
	}
	errs = append(errs, validateClaimSize(s.Resources, path.Child("resources"))...)
	if s.StorageClassName != nil && *s.StorageClassName != "" {
		errs = append(errs, kind.Invalids(path.Child("storageClassName"), *s.StorageClassName, utilvalidation.IsDNS1123Subdomain(*s.StorageClassName))...)
	}
	if s.VolumeAttributesClassName != nil && *s.VolumeAttributesClassName != "" {
		errs = append(errs, kind.Invalids(path.Child("volumeAttributesClassName"), *s.VolumeAttributesClassName,
			utilvalidation.IsDNS1123Subdomain(*s.VolumeAttributesClassName))...)
	}
	errs = append(errs, ValidateVolumeMode(s.VolumeMode, path.Child("volumeMode"))...)
	return append(errs, validateDataSources(s, path)...)
}

// validateClaimTemplate checks what the claim of an ephemeral volume is made from: labels and annotations
// are all the metadata that it may give.
func validateClaimTemplate(t *corev1.PersistentVolumeClaimTemplate, path *field.Path) field.ErrorList {
	meta := path.Child("metadata")
	errs := metavalidation.ValidateLabels(t.Labels, meta.Child("labels"))
	errs = append(errs, apivalidation.ValidateAnnotations(t.Annotations, meta.Child("annotations"))...)
	errs = append(errs, kind.Forbidden(meta, "field can not be set for this type",
		kind.Given{Name: "name", Set: t.Name != ""}, kind.Given{Name: "generateName", Set: t.GenerateName != ""},
		kind.Given{Name: "namespace", Set: t.Namespace != ""}, kind.Given{Name: "finalizers", Set: len(t.Finalizers) > 0},
		kind.Given{Name: "ownerReferences", Set: len(t.OwnerReferences) > 0})...)
	return append(errs, ValidateClaimSpec(&t.Spec, path.Child("spec"))...)
}

// ValidateAccessModes checks who may use a volume at a time.
func ValidateAccessModes(modes []corev1.PersistentVolumeAccessMode, path *field.Path) field.ErrorList {
	if len(modes) == 0 {
		return field.ErrorList{field.Required(path, "at least 1 access mode is required")}
	}
	var errs field.ErrorList
	for _, m := range modes {
		errs = append(errs, kind.OneOf(m, path, corev1.ReadWriteOnce, corev1.ReadOnlyMany, corev1.ReadWriteMany, corev1.ReadWriteOncePod)...)
	}
	others := func(m corev1.PersistentVolumeAccessMode) bool { return m != corev1.ReadWriteOncePod }
	if slices.Contains(modes, corev1.ReadWriteOncePod) && slices.ContainsFunc(modes, others) {
		errs = append(errs, field.Forbidden(path, "may not use ReadWriteOncePod with other access modes"))
	}
	return errs
}

// ValidateVolumeMode checks whether a volume is a file system or a device.
func ValidateVolumeMode(mode *corev1.PersistentVolumeMode, path *field.Path) field.ErrorList {
	if mode == nil {
		return nil
	}
	return kind.OneOf(*mode, path, corev1.PersistentVolumeBlock, corev1.PersistentVolumeFilesystem)
}

func validateClaimSize(r corev1.VolumeResourceRequirements, path *field.Path) field.ErrorList {
	size, ok := r.Requests[corev1.ResourceStorage]
	if !ok {
		return field.ErrorList{field.Required(path.Key(string(corev1.ResourceStorage)), "")}
	}
	if size.Sign() <= 0 {
		return field.ErrorList{field.Invalid(path.Key(string(corev1.ResourceStorage)), size.String(), "must be greater than zero")}
	}
	if limit, ok := r.Limits[corev1.ResourceStorage]; ok && limit.Cmp(size) < 0 {
		return field.ErrorList{field.Invalid(path.Child("limits").Key(string(corev1.ResourceStorage)), limit.String(), "must be greater than or equal to storage request")}
	}
	return nil
}

func validateDataSources(s *corev1.PersistentVolumeClaimSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if d := s.DataSource; d != nil {
		errs = append(errs, validateDataSource(d.APIGroup, d.Kind, d.Name, path.Child("dataSource"))...)
	}
	if d := s.DataSourceRef; d != nil {
		errs = append(errs, validateDataSource(d.APIGroup, d.Kind, d.Name, path.Child("dataSourceRef"))...)
		if d.Namespace != nil && *d.Namespace != "" {
			errs = append(errs, kind.Invalids(path.Child("dataSourceRef", "namespace"), *d.Namespace, utilvalidation.IsDNS1123Label(*d.Namespace))...)
		}
		old := s.DataSource
		if old != nil && (old.Kind != d.Kind || old.Name != d.Name || text(old.APIGroup) != text(d.APIGroup)) {
			errs = append(errs, field.Invalid(path, path.Child("dataSource").String(), "must match dataSourceRef"))
		}
	}
	return errs
}

func validateDataSource(group *string, kindName, name string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if name == "" {
		errs = append(errs, field.Required(path.Child("name"), ""))
	}
	if kindName == "" {
		errs = append(errs, field.Required(path.Child("kind"), ""))
	}
	if text(group) == "" && kindName != "" && kindName != "PersistentVolumeClaim" {
		errs = append(errs, field.Invalid(path, kindName, "must be 'PersistentVolumeClaim' when referencing the default apiGroup"))
	}
	return errs
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// ValidateNodeSelector checks which nodes something is for.
func ValidateNodeSelector(s *corev1.NodeSelector, path *field.Path) field.ErrorList {
	at := path.Child("nodeSelectorTerms")
	if len(s.NodeSelectorTerms) == 0 {
		return field.ErrorList{field.Required(at, "must have at least one node selector term")}
	}
	var errs field.ErrorList
	for i := range s.NodeSelectorTerms {
		errs = append(errs, validateNodeTerm(&s.NodeSelectorTerms[i], at.Index(i))...)
	}
	return errs
}
