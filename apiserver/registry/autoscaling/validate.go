package autoscaling

import (
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/validate/content"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
)

const (
	maxWindowSeconds = 3600
	maxPeriodSeconds = 1800
)

func validate(a autoscaler) field.ErrorList {
	path, s := field.NewPath("spec"), &a.Spec
	var errs field.ErrorList
	least := ptr.Deref(s.MinReplicas, 1)
	if least < 1 {
		errs = append(errs, field.Invalid(path.Child("minReplicas"), least, "must be greater than or equal to 1"))
	}
	if s.MaxReplicas < 1 {
		errs = append(errs, field.Invalid(path.Child("maxReplicas"), s.MaxReplicas, "must be greater than 0"))
	}
	if s.MaxReplicas < least {
		errs = append(errs, field.Invalid(path.Child("maxReplicas"), s.MaxReplicas, "must be greater than or equal to `minReplicas`"))
	}
	errs = append(errs, validateReference(s.ScaleTargetRef, path.Child("scaleTargetRef"))...)
	for i, m := range s.Metrics {
		errs = append(errs, validateMetric(m, path.Child("metrics").Index(i))...)
	}
	if b := s.Behavior; b != nil {
		errs = append(errs, validateRules(b.ScaleUp, path.Child("behavior", "scaleUp"))...)
		errs = append(errs, validateRules(b.ScaleDown, path.Child("behavior", "scaleDown"))...)
	}
	return errs
}

func validateReference(ref autoscalingv2.CrossVersionObjectReference, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, f := range []struct{ name, value string }{{"kind", ref.Kind}, {"name", ref.Name}} {
		if f.value == "" {
			errs = append(errs, field.Required(path.Child(f.name), ""))
			continue
		}
		errs = append(errs, kind.Invalids(path.Child(f.name), f.value, content.IsPathSegmentName(f.value))...)
	}
	return errs
}

// source is one of the places that a metric can come from, as far as it is filled in.
type source struct {
	of   autoscalingv2.MetricSourceType
	name string // of the field
	set  bool
}

func sources(m autoscalingv2.MetricSpec) []source {
	return []source{
		{autoscalingv2.ObjectMetricSourceType, "object", m.Object != nil},
		{autoscalingv2.PodsMetricSourceType, "pods", m.Pods != nil},
		{autoscalingv2.ResourceMetricSourceType, "resource", m.Resource != nil},
		{autoscalingv2.ContainerResourceMetricSourceType, "containerResource", m.ContainerResource != nil},
		{autoscalingv2.ExternalMetricSourceType, "external", m.External != nil},
	}
}

func validateMetric(m autoscalingv2.MetricSpec, path *field.Path) field.ErrorList {
	all := sources(m)
	types := make([]autoscalingv2.MetricSourceType, len(all))
	for i, s := range all {
		types[i] = s.of
	}
	if errs := kind.RequiredOneOf(m.Type, path.Child("type"), types...); len(errs) > 0 {
		return errs
	}
	var errs field.ErrorList
	for _, s := range all {
		switch {
		case s.of == m.Type && !s.set:
			errs = append(errs, field.Required(path.Child(s.name), "must populate information for the given metric source"))
		case s.of != m.Type && s.set:
			errs = append(errs, field.Forbidden(path.Child(s.name), "must populate the given metric source only"))
		}
	}
	if len(errs) > 0 {
		return errs
	}
	switch m.Type {
	case autoscalingv2.ObjectMetricSourceType:
		at := path.Child("object")
		errs = validateReference(m.Object.DescribedObject, at.Child("describedObject"))
		errs = append(errs, validateIdentifier(m.Object.Metric, at.Child("metric"))...)
		errs = append(errs, validateTarget(m.Object.Target, at.Child("target"))...)
		return append(errs, oneValue(m.Object.Target, at.Child("target"))...)
	case autoscalingv2.PodsMetricSourceType:
		at := path.Child("pods")
		errs = validateIdentifier(m.Pods.Metric, at.Child("metric"))
		errs = append(errs, validateTarget(m.Pods.Target, at.Child("target"))...)
		if v := m.Pods.Target.AverageValue; v == nil || v.Sign() != 1 {
			errs = append(errs, field.Required(at.Child("target", "averageValue"), "must specify a positive target averageValue"))
		}
		return errs
	case autoscalingv2.ExternalMetricSourceType:
		at := path.Child("external")
		errs = validateIdentifier(m.External.Metric, at.Child("metric"))
		errs = append(errs, validateTarget(m.External.Target, at.Child("target"))...)
		return append(errs, oneValue(m.External.Target, at.Child("target"))...)
	case autoscalingv2.ContainerResourceMetricSourceType:
		at := path.Child("containerResource")
		if m.ContainerResource.Container == "" {
			errs = append(errs, field.Required(at.Child("container"), "must specify a container"))
		}
		return append(errs, validateResource(string(m.ContainerResource.Name), m.ContainerResource.Target, at)...)
	}
	return validateResource(string(m.Resource.Name), m.Resource.Target, path.Child("resource"))
}

func validateResource(name string, t autoscalingv2.MetricTarget, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if name == "" {
		errs = append(errs, field.Required(path.Child("name"), "must specify a resource name"))
	}
	errs = append(errs, validateTarget(t, path.Child("target"))...)
	switch {
	case t.AverageUtilization == nil && t.AverageValue == nil:
		errs = append(errs, field.Required(path.Child("target", "averageUtilization"), "must set either a target raw value or a target utilization"))
	case t.AverageUtilization != nil && t.AverageValue != nil:
		errs = append(errs, field.Forbidden(path.Child("target", "averageValue"), "may not set both a target raw value and a target utilization"))
	}
	return errs
}

// oneValue wants a total or an average per pod.
func oneValue(t autoscalingv2.MetricTarget, path *field.Path) field.ErrorList {
	switch {
	case t.Value == nil && t.AverageValue == nil:
		return field.ErrorList{field.Required(path.Child("averageValue"), "must set either a target value for metric or a per-pod target")}
	case t.Value != nil && t.AverageValue != nil:
		return field.ErrorList{field.Forbidden(path.Child("value"), "may not set both a target value for metric and a per-pod target")}
	}
	return nil
}

func validateTarget(t autoscalingv2.MetricTarget, path *field.Path) field.ErrorList {
	errs := kind.RequiredOneOf(t.Type, path.Child("type"), autoscalingv2.UtilizationMetricType, autoscalingv2.ValueMetricType, autoscalingv2.AverageValueMetricType)
	if t.Value != nil && t.Value.Sign() != 1 {
		errs = append(errs, field.Invalid(path.Child("value"), t.Value.String(), "must be positive"))
	}
	if t.AverageValue != nil && t.AverageValue.Sign() != 1 {
		errs = append(errs, field.Invalid(path.Child("averageValue"), t.AverageValue.String(), "must be positive"))
	}
	if t.AverageUtilization != nil && *t.AverageUtilization < 1 {
		errs = append(errs, field.Invalid(path.Child("averageUtilization"), *t.AverageUtilization, "must be greater than 0"))
	}
	return errs
}

func validateIdentifier(m autoscalingv2.MetricIdentifier, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if m.Name == "" {
		errs = append(errs, field.Required(path.Child("name"), "must specify a metric name"))
	} else {
		errs = append(errs, kind.Invalids(path.Child("name"), m.Name, content.IsPathSegmentName(m.Name))...)
	}
	return append(errs, metavalidation.ValidateLabelSelector(m.Selector, metavalidation.LabelSelectorValidationOptions{}, path.Child("selector"))...)
}

func validateRules(r *autoscalingv2.HPAScalingRules, path *field.Path) field.ErrorList {
	if r == nil {
		return nil
	}
	var errs field.ErrorList
	if w := r.StabilizationWindowSeconds; w != nil {
		errs = append(errs, kind.NotNegative(*w, path.Child("stabilizationWindowSeconds"))...)
		if *w > maxWindowSeconds {
			errs = append(errs, field.Invalid(path.Child("stabilizationWindowSeconds"), *w, "must be less than or equal to 3600"))
		}
	}
	if p := r.SelectPolicy; p != nil {
		errs = append(errs, kind.OneOf(*p, path.Child("selectPolicy"), autoscalingv2.MaxChangePolicySelect, autoscalingv2.MinChangePolicySelect, autoscalingv2.DisabledPolicySelect)...)
	}
	if t := r.Tolerance; t != nil && t.Sign() < 0 {
		errs = append(errs, field.Invalid(path.Child("tolerance"), t.String(), "must be greater than or equal to 0"))
	}
	policies := path.Child("policies")
	if len(r.Policies) == 0 {
		return append(errs, field.Required(policies, "must specify at least one Policy"))
	}
	for i, p := range r.Policies {
		errs = append(errs, validatePolicy(p, policies.Index(i))...)
	}
	return errs
}

func validatePolicy(p autoscalingv2.HPAScalingPolicy, path *field.Path) field.ErrorList {
	errs := kind.OneOf(p.Type, path.Child("type"), autoscalingv2.PodsScalingPolicy, autoscalingv2.PercentScalingPolicy)
	if p.Value <= 0 {
		errs = append(errs, field.Invalid(path.Child("value"), p.Value, "must be greater than zero"))
	}
	switch {
	case p.PeriodSeconds <= 0:
		errs = append(errs, field.Invalid(path.Child("periodSeconds"), p.PeriodSeconds, "must be greater than zero"))
	case p.PeriodSeconds > maxPeriodSeconds:
		errs = append(errs, field.Invalid(path.Child("periodSeconds"), p.PeriodSeconds, "must be less than or equal to 1800"))
	}
	return errs
}

func validateStatus(a, _ autoscaler) field.ErrorList {
	path := field.NewPath("status")
	errs := kind.NotNegative(a.Status.CurrentReplicas, path.Child("currentReplicas"))
	return append(errs, kind.NotNegative(a.Status.DesiredReplicas, path.Child("desiredReplicas"))...)
}
