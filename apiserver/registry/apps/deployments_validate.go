package apps

import (
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/registry/podspec"
)

func validateDeployment(d *appsv1.Deployment) field.ErrorList {
	path, s := field.NewPath("spec"), &d.Spec
	errs := podspec.ValidateWorkload(s.Replicas, s.MinReadySeconds, s.Selector, &s.Template)
	errs = append(errs, validateStrategy(&s.Strategy, path.Child("strategy"))...)
	if n := s.RevisionHistoryLimit; n != nil {
		errs = append(errs, kind.NotNegative(*n, path.Child("revisionHistoryLimit"))...)
	}
	if n := s.ProgressDeadlineSeconds; n != nil {
		at := path.Child("progressDeadlineSeconds")
		errs = append(errs, kind.NotNegative(*n, at)...)
		if *n <= s.MinReadySeconds {
			errs = append(errs, field.Invalid(at, *n, "must be greater than minReadySeconds"))
		}
	}
	return errs
}

func validateStrategy(s *appsv1.DeploymentStrategy, path *field.Path) field.ErrorList {
	rolling := path.Child("rollingUpdate")
	switch s.Type {
	case appsv1.RecreateDeploymentStrategyType:
		if s.RollingUpdate != nil {
			return field.ErrorList{field.Forbidden(rolling, "may not be specified when strategy `type` is '"+string(s.Type)+"'")}
		}
		return nil
	case appsv1.RollingUpdateDeploymentStrategyType:
		if s.RollingUpdate == nil {
			return field.ErrorList{field.Required(rolling, "this should be defaulted and never be nil")}
		}
		return validateRolling(s.RollingUpdate, rolling)
	}
	return field.ErrorList{field.NotSupported(path.Child("type"), s.Type, []appsv1.DeploymentStrategyType{
		appsv1.RecreateDeploymentStrategyType, appsv1.RollingUpdateDeploymentStrategyType})}
}

// validateRolling refuses a rollout that may neither add a pod nor take one away.
func validateRolling(r *appsv1.RollingUpdateDeployment, path *field.Path) field.ErrorList {
	unavailable := ptr.Deref(r.MaxUnavailable, intstr.FromInt32(0))
	surge := ptr.Deref(r.MaxSurge, intstr.FromInt32(0))
	at := path.Child("maxUnavailable")
	errs := kind.ValidateIntOrPercent(unavailable, at)
	errs = append(errs, kind.ValidateIntOrPercent(surge, path.Child("maxSurge"))...)
	if len(errs) == 0 && kind.AmountOf(unavailable) == 0 && kind.AmountOf(surge) == 0 {
		errs = append(errs, field.Invalid(at, unavailable.String(), "may not be 0 when `maxSurge` is 0"))
	}
	if unavailable.Type == intstr.String && kind.AmountOf(unavailable) > 100 {
		errs = append(errs, field.Invalid(at, unavailable.String(), "must not be greater than 100%"))
	}
	return errs
}

func validateDeploymentUpdate(d, old *appsv1.Deployment) field.ErrorList {
	return podspec.SameSelector(d.Spec.Selector, old.Spec.Selector)
}

// validateDeploymentStatus checks that the counts can be true together.
func validateDeploymentStatus(d, old *appsv1.Deployment) field.ErrorList {
	path, s := field.NewPath("status"), d.Status
	errs := kind.NotNegative(s.ObservedGeneration, path.Child("observedGeneration"))
	counts := []count{
		{"replicas", s.Replicas}, {"updatedReplicas", s.UpdatedReplicas}, {"readyReplicas", s.ReadyReplicas},
		{"availableReplicas", s.AvailableReplicas}, {"unavailableReplicas", s.UnavailableReplicas},
		{"terminatingReplicas", ptr.Deref(s.TerminatingReplicas, 0)},
	}
	errs = append(errs, notNegative(path, counts)...)
	for _, c := range counts[1:4] {
		if c.value > s.Replicas {
			errs = append(errs, field.Invalid(path.Child(c.name), c.value, "cannot be greater than status.replicas"))
		}
	}
	if s.AvailableReplicas > s.ReadyReplicas {
		errs = append(errs, field.Invalid(path.Child("availableReplicas"), s.AvailableReplicas, "cannot be greater than readyReplicas"))
	}
	return append(errs, validateCollisions(s.CollisionCount, old.Status.CollisionCount)...)
}
