package apps

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/apiserver/alike"
	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/registry/podspec"
	"github.com/miniorch/miniorch/apiserver/resource"
)

func daemonSets() resource.Descriptor {
	return kind.Describe(kind.Of[*appsv1.DaemonSet]{
		Singular:      "daemonset",
		ShortNames:    []string{"ds"},
		Categories:    []string{"all"},
		New:           func() *appsv1.DaemonSet { return &appsv1.DaemonSet{} },
		NewList:       func() runtime.Object { return &appsv1.DaemonSetList{} },
		Defaults:      defaultDaemonSet,
		PrepareCreate: prepareDaemonSetCreate,
		PrepareUpdate: prepareDaemonSetUpdate,
		Validate:      validateDaemonSet,
		ValidateUpdate: func(d, old *appsv1.DaemonSet) field.ErrorList {
			return podspec.SameSelector(d.Spec.Selector, old.Spec.Selector)
		},
		Warnings:            warnDaemonSet,
		UnconditionalUpdate: true,
		Columns:             daemonSetColumns(),
		Subresources: []resource.Subresource{
			kind.StatusOf(func(d, old *appsv1.DaemonSet) { d.Spec = old.Spec }, validateDaemonSetStatus),
		},
	})
}

func daemonSetColumns() []kind.Column[*appsv1.DaemonSet] {
	number := func(name, description string, value func(s *appsv1.DaemonSetStatus) int32) kind.Column[*appsv1.DaemonSet] {
		return kind.CountColumn(name, description, func(d *appsv1.DaemonSet) int64 { return int64(value(&d.Status)) })
	}
	columns := []kind.Column[*appsv1.DaemonSet]{
		kind.NameColumn[*appsv1.DaemonSet](),
		number("Desired", "How many nodes should run a pod.", func(s *appsv1.DaemonSetStatus) int32 { return s.DesiredNumberScheduled }),
		number("Current", "How many of them do.", func(s *appsv1.DaemonSetStatus) int32 { return s.CurrentNumberScheduled }),
		number("Ready", "On how many of them it is ready.", func(s *appsv1.DaemonSetStatus) int32 { return s.NumberReady }),
		number("Up-to-date", "On how many of them it is of the newest template.", func(s *appsv1.DaemonSetStatus) int32 { return s.UpdatedNumberScheduled }),
		number("Available", "On how many of them it was ready for minReadySeconds.", func(s *appsv1.DaemonSetStatus) int32 { return s.NumberAvailable }),
		kind.TextColumn("Node Selector", "The labels that a node must have.", func(d *appsv1.DaemonSet) string {
			return labels.FormatLabels(d.Spec.Template.Spec.NodeSelector)
		}),
		kind.AgeColumn[*appsv1.DaemonSet](),
	}
	return append(columns, podspec.WorkloadColumns(
		func(d *appsv1.DaemonSet) *corev1.PodTemplateSpec { return &d.Spec.Template },
		func(d *appsv1.DaemonSet) *metav1.LabelSelector { return d.Spec.Selector })...)
}

func defaultDaemonSet(d *appsv1.DaemonSet) {
	s := &d.Spec
	if s.UpdateStrategy.Type == "" {
		s.UpdateStrategy.Type = appsv1.RollingUpdateDaemonSetStrategyType
	}
	if s.UpdateStrategy.Type == appsv1.RollingUpdateDaemonSetStrategyType {
		if s.UpdateStrategy.RollingUpdate == nil {
			s.UpdateStrategy.RollingUpdate = &appsv1.RollingUpdateDaemonSet{}
		}
		kind.SetDefault(&s.UpdateStrategy.RollingUpdate.MaxUnavailable, intstr.FromInt32(1))
		kind.SetDefault(&s.UpdateStrategy.RollingUpdate.MaxSurge, intstr.FromInt32(0))
	}
	kind.SetDefault(&s.RevisionHistoryLimit, 10)
	podspec.DefaultPodSpec(&s.Template.Spec)
}

func prepareDaemonSetCreate(d *appsv1.DaemonSet) {
	d.Status = appsv1.DaemonSetStatus{}
	d.Generation = 1
}

func prepareDaemonSetUpdate(d, old *appsv1.DaemonSet) {
	d.Status = old.Status
	d.Generation = old.Generation
	if !alike.Equal(&d.Spec, &old.Spec) {
		d.Generation++
	}
}

func validateDaemonSet(d *appsv1.DaemonSet) field.ErrorList {
	path, s := field.NewPath("spec"), &d.Spec
	errs := podspec.ValidateWorkload(nil, s.MinReadySeconds, s.Selector, &s.Template)
	errs = append(errs, validateDaemonSetStrategy(&s.UpdateStrategy, path.Child("updateStrategy"))...)
	if n := s.RevisionHistoryLimit; n != nil {
		errs = append(errs, kind.NotNegative(*n, path.Child("revisionHistoryLimit"))...)
	}
	return errs
}

func validateDaemonSetStrategy(s *appsv1.DaemonSetUpdateStrategy, path *field.Path) field.ErrorList {
	switch s.Type {
	case appsv1.OnDeleteDaemonSetStrategyType:
		return nil
	case appsv1.RollingUpdateDaemonSetStrategyType:
		if s.RollingUpdate == nil {
			return field.ErrorList{field.Required(path.Child("rollingUpdate"), "")}
		}
		return validateDaemonSetRolling(s.RollingUpdate, path.Child("rollingUpdate"))
	}
	return field.ErrorList{field.NotSupported(path.Child("type"), s.Type, []appsv1.DaemonSetUpdateStrategyType{
		appsv1.OnDeleteDaemonSetStrategyType, appsv1.RollingUpdateDaemonSetStrategyType})}
}

// validateDaemonSetRolling wants one of two ways: first down, then up; or first up, then down.
func validateDaemonSetRolling(r *appsv1.RollingUpdateDaemonSet, path *field.Path) field.ErrorList {
	unavailable, surge := ptr.Deref(r.MaxUnavailable, intstr.FromInt32(0)), ptr.Deref(r.MaxSurge, intstr.FromInt32(0))
	var errs field.ErrorList
	for _, p := range []struct {
		name  string
		value intstr.IntOrString
	}{{"maxUnavailable", unavailable}, {"maxSurge", surge}} {
		errs = append(errs, kind.ValidateIntOrPercent(p.value, path.Child(p.name))...)
		if p.value.Type == intstr.String && kind.AmountOf(p.value) > 100 {
			errs = append(errs, field.Invalid(path.Child(p.name), p.value.String(), "must not be greater than 100%"))
		}
	}
	switch down, up := kind.AmountOf(unavailable) != 0, kind.AmountOf(surge) != 0; {
	case down && up:
		errs = append(errs, field.Invalid(path.Child("maxSurge"), surge.String(), "may not be set when maxUnavailable is non-zero"))
	case !down && !up:
		errs = append(errs, field.Required(path.Child("maxUnavailable"), "cannot be 0 when maxSurge is 0"))
	}
	return errs
}

func validateDaemonSetStatus(d, old *appsv1.DaemonSet) field.ErrorList {
	path, s := field.NewPath("status"), d.Status
	errs := kind.NotNegative(s.ObservedGeneration, path.Child("observedGeneration"))
	errs = append(errs, notNegative(path, []count{
		{"currentNumberScheduled", s.CurrentNumberScheduled}, {"numberMisscheduled", s.NumberMisscheduled},
		{"desiredNumberScheduled", s.DesiredNumberScheduled}, {"numberReady", s.NumberReady},
		{"updatedNumberScheduled", s.UpdatedNumberScheduled}, {"numberAvailable", s.NumberAvailable},
		{"numberUnavailable", s.NumberUnavailable},
	})...)
	return append(errs, validateCollisions(s.CollisionCount, old.Status.CollisionCount)...)
}

func warnDaemonSet(d, old *appsv1.DaemonSet, isUpdate bool) []string {
	if isUpdate && alike.Equal(&d.Spec.Template, &old.Spec.Template) {
		return nil
	}
	return podspec.WarnPodSpec(&d.Spec.Template.Spec, field.NewPath("spec", "template", "spec"))
}
