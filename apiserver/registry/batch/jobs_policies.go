package batch

import (
	"fmt"
	"math"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/pkg/api"
)

// The limits of the API documentation.
const (
	maxFailureRules    = 20
	maxFailurePatterns = 20
	maxPolicyExitCodes = 255
	maxSuccessRules    = 20
	maxIndexesLength   = 64 << 10
)

func validatePodFailurePolicy(s *batchv1.JobSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	at, rules := path.Child("rules"), s.PodFailurePolicy.Rules
	if len(rules) > maxFailureRules {
		errs = append(errs, field.TooMany(at, len(rules), maxFailureRules))
	}
	for i := range rules {
		errs = append(errs, validateFailureRule(s, &rules[i], at.Index(i))...)
	}
	return errs
}

func validateFailureRule(s *batchv1.JobSpec, r *batchv1.PodFailurePolicyRule, path *field.Path) field.ErrorList {
	action := path.Child("action")
	errs := kind.RequiredOneOf(r.Action, action, batchv1.PodFailurePolicyActionCount, batchv1.PodFailurePolicyActionFailIndex,
		batchv1.PodFailurePolicyActionFailJob, batchv1.PodFailurePolicyActionIgnore)
	if r.Action == batchv1.PodFailurePolicyActionFailIndex && s.BackoffLimitPerIndex == nil {
		errs = append(errs, field.Invalid(action, r.Action, "requires the backoffLimitPerIndex to be set"))
	}
	codes, patterns := r.OnExitCodes != nil, len(r.OnPodConditions) > 0
	switch {
	case codes && patterns:
		errs = append(errs, field.Invalid(path, r.Action, "specifying both OnExitCodes and OnPodConditions is not supported"))
	case !codes && !patterns:
		errs = append(errs, field.Invalid(path, r.Action, "specifying one of OnExitCodes and OnPodConditions is required"))
	}
	if codes {
		errs = append(errs, validateOnExitCodes(r.OnExitCodes, &s.Template.Spec, path.Child("onExitCodes"))...)
	}
	return append(errs, validateOnPodConditions(r.OnPodConditions, path.Child("onPodConditions"))...)
}

func validateOnExitCodes(r *batchv1.PodFailurePolicyOnExitCodesRequirement, spec *corev1.PodSpec, path *field.Path) field.ErrorList {
	errs := kind.RequiredOneOf(r.Operator, path.Child("operator"), batchv1.PodFailurePolicyOnExitCodesOpIn, batchv1.PodFailurePolicyOnExitCodesOpNotIn)
	named := func(c corev1.Container) bool { return c.Name == *r.ContainerName }
	if r.ContainerName != nil && !slices.ContainsFunc(spec.Containers, named) && !slices.ContainsFunc(spec.InitContainers, named) {
		errs = append(errs, field.Invalid(path.Child("containerName"), *r.ContainerName, "must be one of the container or initContainer names in the pod template"))
	}
	at := path.Child("values")
	switch n := len(r.Values); {
	case n == 0:
		errs = append(errs, field.Invalid(at, r.Values, "at least one value is required"))
	case n > maxPolicyExitCodes:
		errs = append(errs, field.TooMany(at, n, maxPolicyExitCodes))
	}
	seen := map[int32]bool{}
	for i, code := range r.Values {
		if code == 0 && r.Operator == batchv1.PodFailurePolicyOnExitCodesOpIn {
			errs = append(errs, field.Invalid(at.Index(i), code, "must not be 0 for the In operator"))
		}
		if seen[code] {
			errs = append(errs, field.Duplicate(at.Index(i), code))
		}
		seen[code] = true
	}
	if !slices.IsSorted(r.Values) {
		errs = append(errs, field.Invalid(at, r.Values, "must be ordered"))
	}
	return errs
}

func validateOnPodConditions(patterns []batchv1.PodFailurePolicyOnPodConditionsPattern, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(patterns) > maxFailurePatterns {
		errs = append(errs, field.TooMany(path, len(patterns), maxFailurePatterns))
	}
	for i, p := range patterns {
		errs = append(errs, metavalidation.ValidateLabelName(string(p.Type), path.Index(i).Child("type"))...)
		errs = append(errs, kind.RequiredOneOf(p.Status, path.Index(i).Child("status"), corev1.ConditionFalse, corev1.ConditionTrue, corev1.ConditionUnknown)...)
	}
	return errs
}

func validateSuccessPolicy(s *batchv1.JobSpec, path *field.Path) field.ErrorList {
	if !isIndexed(s) {
		return field.ErrorList{field.Invalid(path, *s.SuccessPolicy, needsIndexed)}
	}
	at, rules := path.Child("rules"), s.SuccessPolicy.Rules
	var errs field.ErrorList
	switch n := len(rules); {
	case n == 0:
		errs = append(errs, field.Required(at, "at least one rules must be specified when the successPolicy is specified"))
	case n > maxSuccessRules:
		errs = append(errs, field.TooMany(at, n, maxSuccessRules))
	}
	for i := range rules {
		errs = append(errs, validateSuccessRule(&rules[i], ptr.Deref(s.Completions, math.MaxInt32), at.Index(i))...)
	}
	return errs
}

func validateSuccessRule(r *batchv1.SuccessPolicyRule, completions int32, path *field.Path) field.ErrorList {
	if r.SucceededCount == nil && r.SucceededIndexes == nil {
		return field.ErrorList{field.Required(path, "at least one of succeededCount or succeededIndexes must be specified")}
	}
	var errs field.ErrorList
	limit := completions
	if text := r.SucceededIndexes; text != nil {
		at := path.Child("succeededIndexes")
		indexes, err := api.ParseIndexes(*text, int(completions))
		switch {
		case len(*text) > maxIndexesLength:
			errs = append(errs, field.TooLong(at, *text, maxIndexesLength))
		case err != nil:
			errs = append(errs, field.Invalid(at, *text, "error parsing succeededIndexes: "+err.Error()))
		case indexes.Len() == 0:
			errs = append(errs, field.Invalid(at, *text, "error parsing succeededIndexes: there are none"))
		default:
			limit = int32(indexes.Len())
		}
	}
	if n := r.SucceededCount; n != nil {
		at := path.Child("succeededCount")
		switch {
		case *n < 1:
			errs = append(errs, field.Invalid(at, *n, "must be greater than zero"))
		case *n > completions:
			errs = append(errs, field.Invalid(at, *n, fmt.Sprintf("must be less than or equal to %d (the number of specified completions)", completions)))
		case *n > limit:
			errs = append(errs, field.Invalid(at, *n, fmt.Sprintf("must be less than or equal to %d (the number of indexes in the specified succeededIndexes field)", limit)))
		}
	}
	return errs
}
