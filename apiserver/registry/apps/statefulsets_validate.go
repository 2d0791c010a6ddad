package apps

import (
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/intstr"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/registry/podspec"
)

func validateStatefulSet(set *appsv1.StatefulSet) field.ErrorList {
	path, s := field.NewPath("spec"), &set.Spec
	errs := podspec.ValidateWorkload(s.Replicas, s.MinReadySeconds, s.Selector, withClaims(s))
	errs = append(errs, validateClaimTemplates(s.VolumeClaimTemplates, path.Child("volumeClaimTemplates"))...)
	switch s.PodManagementPolicy {
	case "":
		errs = append(errs, field.Required(path.Child("podManagementPolicy"), ""))
	case appsv1.OrderedReadyPodManagement, appsv1.ParallelPodManagement:
	default:
		errs = append(errs, field.Invalid(path.Child("podManagementPolicy"), s.PodManagementPolicy, "must be 'OrderedReady' or 'Parallel'"))
	}
	errs = append(errs, validateStatefulSetStrategy(&s.UpdateStrategy, path.Child("updateStrategy"))...)
	if n := s.RevisionHistoryLimit; n != nil {
		errs = append(errs, kind.NotNegative(*n, path.Child("revisionHistoryLimit"))...)
	}
	if s.Ordinals != nil {
		errs = append(errs, kind.NotNegative(s.Ordinals.Start, path.Child("ordinals", "start"))...)
	}
	if s.ServiceName != "" {
		errs = append(errs, kind.Invalids(path.Child("serviceName"), s.ServiceName, utilvalidation.IsDNS1123Label(s.ServiceName))...)
	}
	if p := s.PersistentVolumeClaimRetentionPolicy; p != nil {
		at := path.Child("persistentVolumeClaimRetentionPolicy")
		policies := []appsv1.PersistentVolumeClaimRetentionPolicyType{
			appsv1.DeletePersistentVolumeClaimRetentionPolicyType, appsv1.RetainPersistentVolumeClaimRetentionPolicyType,
		}
		errs = append(errs, kind.OneOf(p.WhenDeleted, at.Child("whenDeleted"), policies...)...)
		errs = append(errs, kind.OneOf(p.WhenScaled, at.Child("whenScaled"), policies...)...)
	}
	return errs
}

// withClaims is the template with a volume for every claim template, as its pods will have: the
// containers' mounts may name both. A claim goes before a volume of its name.
func withClaims(s *appsv1.StatefulSetSpec) *corev1.PodTemplateSpec {
	if len(s.VolumeClaimTemplates) == 0 {
		return &s.Template
	}
	t := s.Template.DeepCopy()
	for i := range s.VolumeClaimTemplates {
		name := s.VolumeClaimTemplates[i].Name
		t.Spec.Volumes = slices.DeleteFunc(t.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == name })
	}
	for i := range s.VolumeClaimTemplates {
		name := s.VolumeClaimTemplates[i].Name
		if !slices.ContainsFunc(t.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == name }) {
			t.Spec.Volumes = append(t.Spec.Volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}})
		}
	}
	return t
}

// validateClaimTemplates checks the names. The rest is checked when claims are made.
func validateClaimTemplates(templates []corev1.PersistentVolumeClaim, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := map[string]bool{}
	for i := range templates {
		at, name := path.Index(i).Child("metadata", "name"), templates[i].Name
		if name == "" {
			errs = append(errs, field.Required(at, ""))
			continue
		}
		errs = append(errs, kind.Invalids(at, name, utilvalidation.IsDNS1123Label(name))...)
		if seen[name] {
			errs = append(errs, field.Duplicate(at, name))
		}
		seen[name] = true
	}
	return errs
}

func validateStatefulSetStrategy(s *appsv1.StatefulSetUpdateStrategy, path *field.Path) field.ErrorList {
	rolling := path.Child("rollingUpdate")
	switch s.Type {
	case "":
		return field.ErrorList{field.Required(path.Child("type"), "")}
	case appsv1.OnDeleteStatefulSetStrategyType:
		if s.RollingUpdate != nil {
			return field.ErrorList{field.Invalid(rolling, s.RollingUpdate, "only allowed for updateStrategy 'RollingUpdate'")}
		}
		return nil
	case appsv1.RollingUpdateStatefulSetStrategyType:
		if s.RollingUpdate == nil {
			return nil
		}
		errs := kind.NotNegative(ptr.Deref(s.RollingUpdate.Partition, 0), rolling.Child("partition"))
		if m := s.RollingUpdate.MaxUnavailable; m != nil {
			errs = append(errs, validateSomeUnavailable(*m, rolling.Child("maxUnavailable"))...)
		}
		return errs
	}
	return field.ErrorList{field.Invalid(path.Child("type"), s.Type, "must be 'RollingUpdate' or 'OnDelete'")}
}

// validateSomeUnavailable refuses what would let no pod go.
func validateSomeUnavailable(v intstr.IntOrString, path *field.Path) field.ErrorList {
	errs := kind.ValidateIntOrPercent(v, path)
	switch {
	case len(errs) > 0:
	case kind.AmountOf(v) == 0:
		errs = append(errs, field.Invalid(path, v.String(), "cannot be 0"))
	case v.Type == intstr.String && kind.AmountOf(v) > 100:
		errs = append(errs, field.Invalid(path, v.String(), "must not be greater than 100%"))
	}
	return errs
}

// validateStatefulSetUpdate refuses changes of what the pods that are there were made from for good.
func validateStatefulSetUpdate(set, old *appsv1.StatefulSet) field.ErrorList {
	was, s := old.Spec.DeepCopy(), &set.Spec
	was.Replicas, was.Template, was.UpdateStrategy, was.MinReadySeconds = s.Replicas, s.Template, s.UpdateStrategy, s.MinReadySeconds
	was.Ordinals, was.RevisionHistoryLimit = s.Ordinals, s.RevisionHistoryLimit
	was.PersistentVolumeClaimRetentionPolicy = s.PersistentVolumeClaimRetentionPolicy
	if equality.Semantic.DeepEqual(was, s) {
		return nil
	}
	return field.ErrorList{field.Forbidden(field.NewPath("spec"), "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "+
		"'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden")}
}

// validateStatefulSetStatus checks that the counts can be true together.
func validateStatefulSetStatus(set, old *appsv1.StatefulSet) field.ErrorList {
	path, s := field.NewPath("status"), set.Status
	errs := kind.NotNegative(s.ObservedGeneration, path.Child("observedGeneration"))
	counts := []count{
		{"replicas", s.Replicas}, {"readyReplicas", s.ReadyReplicas}, {"currentReplicas", s.CurrentReplicas},
		{"updatedReplicas", s.UpdatedReplicas}, {"availableReplicas", s.AvailableReplicas},
	}
	errs = append(errs, notNegative(path, counts)...)
	for _, c := range counts[1:] {
		if c.value > s.Replicas {
			errs = append(errs, field.Invalid(path.Child(c.name), c.value, "cannot be greater than status.replicas"))
		}
	}
	if s.AvailableReplicas > s.ReadyReplicas {
		errs = append(errs, field.Invalid(path.Child("availableReplicas"), s.AvailableReplicas, "cannot be greater than status.readyReplicas"))
	}
	return append(errs, validateCollisions(s.CollisionCount, old.Status.CollisionCount)...)
}
