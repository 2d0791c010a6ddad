package registry

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/pkg/api"
)

// validateWorkload checks what ReplicaSet and Deployment have in common: how many, which
// pods, and how to make one.
func validateWorkload(replicas *int32, minReady int32, selector *metav1.LabelSelector, template *corev1.PodTemplateSpec) field.ErrorList {
	var errs field.ErrorList
	path := field.NewPath("spec")
	if replicas != nil {
		errs = append(errs, notNegative(*replicas, path.Child("replicas"))...)
	}
	errs = append(errs, notNegative(minReady, path.Child("minReadySeconds"))...)
	errs = append(errs, validateWorkloadSelector(selector, template, path)...)
	return append(errs, validatePodTemplate(template, path.Child("template"))...)
}

// validateWorkloadSelector refuses an empty selector, which would adopt every pod of the
// namespace, and one that the template's own pods would not match.
func validateWorkloadSelector(selector *metav1.LabelSelector, template *corev1.PodTemplateSpec, path *field.Path) field.ErrorList {
	at := path.Child("selector")
	if selector == nil {
		return field.ErrorList{field.Required(at, "")}
	}
	errs := metavalidation.ValidateLabelSelector(selector, metavalidation.LabelSelectorValidationOptions{}, at)
	if len(selector.MatchLabels)+len(selector.MatchExpressions) == 0 {
		errs = append(errs, field.Invalid(at, selector, "empty selector is invalid for deployment"))
	}
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return append(errs, field.Invalid(at, selector, "invalid label selector"))
	}
	if !s.Empty() && !s.Matches(labels.Set(template.Labels)) {
		errs = append(errs, field.Invalid(path.Child("template", "metadata", "labels"), template.Labels,
			"`selector` does not match template `labels`"))
	}
	return errs
}

// workloadColumns are the wide columns that say what a workload runs and which pods it counts.
func workloadColumns[T api.Object](template func(T) *corev1.PodTemplateSpec, selector func(T) *metav1.LabelSelector) []column[T] {
	join := func(obj T, value func(corev1.Container) string) string {
		var all []string
		for _, c := range template(obj).Spec.Containers {
			all = append(all, value(c))
		}
		return strings.Join(all, ",")
	}
	return []column[T]{
		wide(textColumn("Containers", "The names of the containers.", func(obj T) string {
			return join(obj, func(c corev1.Container) string { return c.Name })
		})),
		wide(textColumn("Images", "The images of the containers.", func(obj T) string {
			return join(obj, func(c corev1.Container) string { return c.Image })
		})),
		wide(textColumn("Selector", "Which pods count.", func(obj T) string {
			return metav1.FormatLabelSelector(selector(obj))
		})),
	}
}

// sameSelector refuses a change of the selector: it would orphan or adopt pods silently.
func sameSelector(is, was *metav1.LabelSelector) field.ErrorList {
	return validation.ValidateImmutableField(is, was, field.NewPath("spec", "selector"))
}
