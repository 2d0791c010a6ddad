// Package podspec says what a pod's spec defaults to and what is valid in it, for pods and for
// everything that has a pod template.
package podspec

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/pkg/api"
)

// ValidateWorkload checks what ReplicaSet and Deployment have in common: how many, which
// pods, and how to make one.
func ValidateWorkload(replicas *int32, minReady int32, selector *metav1.LabelSelector, template *corev1.PodTemplateSpec) field.ErrorList {
	var errs field.ErrorList
	path := field.NewPath("spec")
	if replicas != nil {
		errs = append(errs, kind.NotNegative(*replicas, path.Child("replicas"))...)
	}
	errs = append(errs, kind.NotNegative(minReady, path.Child("minReadySeconds"))...)
	errs = append(errs, validateWorkloadSelector(selector, template, path)...)
	return append(errs, ValidatePodTemplate(template, path.Child("template"))...)
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

// WorkloadColumns are the wide columns that say what a workload runs and which pods it counts.
func WorkloadColumns[T api.Object](template func(T) *corev1.PodTemplateSpec, selector func(T) *metav1.LabelSelector) []kind.Column[T] {
	join := func(obj T, value func(corev1.Container) string) string {
		var all []string
		for _, c := range template(obj).Spec.Containers {
			all = append(all, value(c))
		}
		return strings.Join(all, ",")
	}
	return []kind.Column[T]{
		kind.Wide(kind.TextColumn("Containers", "The names of the containers.", func(obj T) string {
			return join(obj, func(c corev1.Container) string { return c.Name })
		})),
		kind.Wide(kind.TextColumn("Images", "The images of the containers.", func(obj T) string {
			return join(obj, func(c corev1.Container) string { return c.Image })
		})),
		kind.Wide(kind.TextColumn("Selector", "Which pods count.", func(obj T) string {
			return metav1.FormatLabelSelector(selector(obj))
		})),
	}
}

// SameSelector refuses a change of the selector: it would orphan or adopt pods silently.
func SameSelector(is, was *metav1.LabelSelector) field.ErrorList {
	return validation.ValidateImmutableField(is, was, field.NewPath("spec", "selector"))
}

// ValidateReplicaCounts checks that the counts can be true together.
func ValidateReplicaCounts(replicas, labelled, ready, available int32, generation int64) field.ErrorList {
	path := field.NewPath("status")
	errs := kind.NotNegative(replicas, path.Child("replicas"))
	errs = append(errs, kind.NotNegative(labelled, path.Child("fullyLabeledReplicas"))...)
	errs = append(errs, kind.NotNegative(ready, path.Child("readyReplicas"))...)
	errs = append(errs, kind.NotNegative(available, path.Child("availableReplicas"))...)
	errs = append(errs, kind.NotNegative(generation, path.Child("observedGeneration"))...)
	atMost := func(name string, n, limit int32, limitName string) {
		if n > limit {
			errs = append(errs, field.Invalid(path.Child(name), n, "cannot be greater than "+limitName))
		}
	}
	atMost("fullyLabeledReplicas", labelled, replicas, "status.replicas")
	atMost("readyReplicas", ready, replicas, "status.replicas")
	atMost("availableReplicas", available, replicas, "status.replicas")
	atMost("availableReplicas", available, ready, "readyReplicas")
	return errs
}
