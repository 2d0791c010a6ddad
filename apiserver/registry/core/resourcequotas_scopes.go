package core

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
)

// existsOnly are the scopes that an object has or has not; the others have values.
var existsOnly = []corev1.ResourceQuotaScope{
	corev1.ResourceQuotaScopeTerminating, corev1.ResourceQuotaScopeNotTerminating, corev1.ResourceQuotaScopeBestEffort,
	corev1.ResourceQuotaScopeNotBestEffort, corev1.ResourceQuotaScopeCrossNamespacePodAffinity,
}

var allScopes = append(slices.Clone(existsOnly), corev1.ResourceQuotaScopePriorityClass, corev1.ResourceQuotaScopeVolumeAttributesClass)

// opposite are scopes that nothing is in at once.
var opposite = [][2]corev1.ResourceQuotaScope{
	{corev1.ResourceQuotaScopeBestEffort, corev1.ResourceQuotaScopeNotBestEffort},
	{corev1.ResourceQuotaScopeTerminating, corev1.ResourceQuotaScopeNotTerminating},
}

// scopeCovers tells whether a quota within a scope can bound a resource: scopes are about
// pods, and one about claims; a pod without requests has none to count.
func scopeCovers(scope corev1.ResourceQuotaScope, name corev1.ResourceName) bool {
	ofPods := name == corev1.ResourcePods || slices.Contains(computed, name) && name != corev1.ResourceRequestsStorage ||
		strings.HasPrefix(string(name), corev1.ResourceHugePagesPrefix) || strings.HasPrefix(string(name), corev1.ResourceRequestsHugePagesPrefix)
	switch scope {
	case corev1.ResourceQuotaScopeBestEffort:
		return name == corev1.ResourcePods
	case corev1.ResourceQuotaScopeVolumeAttributesClass:
		return name == corev1.ResourcePersistentVolumeClaims || name == corev1.ResourceRequestsStorage
	}
	return ofPods
}

func validateScopes(spec *corev1.ResourceQuotaSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	at := path.Child("scopes")
	for _, scope := range spec.Scopes {
		errs = append(errs, validateScope(scope, spec, at)...)
	}
	for _, pair := range opposite {
		if slices.Contains(spec.Scopes, pair[0]) && slices.Contains(spec.Scopes, pair[1]) {
			errs = append(errs, field.Invalid(at, spec.Scopes, "conflicting scopes"))
		}
	}
	return errs
}

func validateScope(scope corev1.ResourceQuotaScope, spec *corev1.ResourceQuotaSpec, path *field.Path) field.ErrorList {
	if !slices.Contains(allScopes, scope) {
		return field.ErrorList{field.Invalid(path, spec.Scopes, "unsupported scope")}
	}
	var errs field.ErrorList
	for _, name := range kind.SortedNames(spec.Hard) {
		if slices.Contains(standardInQuota, name) && !scopeCovers(scope, name) {
			errs = append(errs, field.Invalid(path, spec.Scopes, "unsupported scope applied to resource"))
		}
	}
	return errs
}

// standardInQuota are the resources of which it is known which scopes they are in.
var standardInQuota = append(slices.Clone(countedObjects), computed...)

func validateScopeSelector(spec *corev1.ResourceQuotaSpec, path *field.Path) field.ErrorList {
	if spec.ScopeSelector == nil {
		return nil
	}
	var errs field.ErrorList
	seen := map[corev1.ResourceQuotaScope]bool{}
	at := path.Child("scopeSelector", "matchExpressions")
	for i, e := range spec.ScopeSelector.MatchExpressions {
		errs = append(errs, validateScope(e.ScopeName, spec, at.Index(i).Child("scopeName"))...)
		errs = append(errs, validateScopeRequirement(e, at.Index(i))...)
		seen[e.ScopeName] = true
	}
	for _, pair := range opposite {
		if seen[pair[0]] && seen[pair[1]] {
			errs = append(errs, field.Invalid(at, spec.ScopeSelector.MatchExpressions, "conflicting scopes"))
		}
	}
	return errs
}

func validateScopeRequirement(e corev1.ScopedResourceSelectorRequirement, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if slices.Contains(existsOnly, e.ScopeName) && e.Operator != corev1.ScopeSelectorOpExists {
		errs = append(errs, field.Invalid(path.Child("operator"), e.Operator,
			"must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"))
	}
	switch e.Operator {
	case corev1.ScopeSelectorOpIn, corev1.ScopeSelectorOpNotIn:
		if len(e.Values) == 0 {
			errs = append(errs, field.Required(path.Child("values"), "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"))
		}
	case corev1.ScopeSelectorOpExists, corev1.ScopeSelectorOpDoesNotExist:
		if len(e.Values) != 0 {
			errs = append(errs, field.Invalid(path.Child("values"), e.Values, "must be no value when `operator` is 'Exists' or 'DoesNotExist' for scope selector"))
		}
	default:
		errs = append(errs, field.Invalid(path.Child("operator"), e.Operator, "not a valid selector operator"))
	}
	return errs
}
