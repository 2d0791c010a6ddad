package core

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/registry/podspec"
	"github.com/miniorch/miniorch/apiserver/resource"
)

func resourceQuotas() resource.Descriptor {
	type quota = *corev1.ResourceQuota
	return kind.Describe(kind.Of[quota]{
		Singular:   "resourcequota",
		ShortNames: []string{"quota"},
		New:        func() quota { return &corev1.ResourceQuota{} },
		NewList:    func() runtime.Object { return &corev1.ResourceQuotaList{} },
		Defaults: func(q quota) {
			kind.TidyQuantities(q.Spec.Hard, q.Status.Hard, q.Status.Used)
		},
		PrepareCreate:       func(q quota) { q.Status = corev1.ResourceQuotaStatus{} },
		PrepareUpdate:       func(q, old quota) { q.Status = old.Status },
		Validate:            validateQuota,
		ValidateUpdate:      validateQuotaUpdate,
		UnconditionalUpdate: true,
		Columns: []kind.Column[quota]{
			kind.NameColumn[quota](),
			kind.TextColumn("Request", "What may be asked for, and how much of it is.", func(q quota) string { return printQuota(q, false) }),
			kind.TextColumn("Limit", "What limits may add up to, and what they do.", func(q quota) string { return printQuota(q, true) }),
			kind.AgeColumn[quota](),
		},
		Subresources: []resource.Subresource{
			kind.StatusOf(func(q, old quota) { q.Spec = old.Spec }, validateQuotaStatus),
		},
	})
}

// printQuota shows "used/hard" of each resource, those of limits or all others.
func printQuota(q *corev1.ResourceQuota, limits bool) string {
	var parts []string
	for _, name := range kind.SortedNames(q.Status.Hard) {
		if strings.HasPrefix(string(name), "limits.") != limits {
			continue
		}
		used, hard := q.Status.Used[name], q.Status.Hard[name]
		parts = append(parts, fmt.Sprintf("%s: %s/%s", name, used.String(), hard.String()))
	}
	return strings.Join(parts, ", ")
}

func validateQuota(q *corev1.ResourceQuota) field.ErrorList {
	path := field.NewPath("spec")
	errs := validateQuotaList(q.Spec.Hard, path.Child("hard"))
	errs = append(errs, validateScopes(&q.Spec, path)...)
	return append(errs, validateScopeSelector(&q.Spec, path)...)
}

func validateQuotaList(list corev1.ResourceList, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, name := range kind.SortedNames(list) {
		at := path.Key(string(name))
		errs = append(errs, validateQuotaResource(name, at)...)
		errs = append(errs, podspec.ValidateQuantity(countedAs(name), list[name], at)...)
	}
	return errs
}

// countedAs is the resource whose rules a quota's resource follows: numbers of objects are
// whole, as numbers of pods are.
func countedAs(name corev1.ResourceName) corev1.ResourceName {
	if slices.Contains(countedObjects, name) || strings.HasPrefix(string(name), "count/") {
		return corev1.ResourcePods
	}
	for _, prefix := range []string{"requests.", "limits."} {
		if rest, ok := strings.CutPrefix(string(name), prefix); ok {
			return corev1.ResourceName(rest)
		}
	}
	return name
}

// countedObjects are the kinds with a short name of their own in a quota.
var countedObjects = []corev1.ResourceName{
	corev1.ResourcePods, corev1.ResourceServices, corev1.ResourceReplicationControllers, corev1.ResourceQuotas, corev1.ResourceSecrets,
	corev1.ResourceConfigMaps, corev1.ResourcePersistentVolumeClaims, corev1.ResourceServicesNodePorts, corev1.ResourceServicesLoadBalancers,
}

// computed are the resources of pods that a quota can bound.
var computed = []corev1.ResourceName{
	corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage,
	corev1.ResourceRequestsCPU, corev1.ResourceRequestsMemory, corev1.ResourceRequestsStorage, corev1.ResourceRequestsEphemeralStorage,
	corev1.ResourceLimitsCPU, corev1.ResourceLimitsMemory, corev1.ResourceLimitsEphemeralStorage,
}

func validateQuotaResource(name corev1.ResourceName, path *field.Path) field.ErrorList {
	if msgs := utilvalidation.IsQualifiedName(string(name)); len(msgs) > 0 {
		return kind.Invalids(path, name, msgs)
	}
	text := string(name)
	if strings.Contains(text, "/") || slices.Contains(countedObjects, name) || slices.Contains(computed, name) ||
		strings.HasPrefix(text, corev1.ResourceHugePagesPrefix) || strings.HasPrefix(text, corev1.ResourceRequestsHugePagesPrefix) {
		return nil
	}
	return field.ErrorList{field.Invalid(path, name, "must be a standard resource for quota")}
}

// validateQuotaUpdate keeps the scopes: what has been counted was counted within them.
func validateQuotaUpdate(q, old *corev1.ResourceQuota) field.ErrorList {
	is, was := slices.Sorted(slices.Values(q.Spec.Scopes)), slices.Sorted(slices.Values(old.Spec.Scopes))
	if slices.Equal(slices.Compact(is), slices.Compact(was)) && equality.Semantic.DeepEqual(q.Spec.ScopeSelector, old.Spec.ScopeSelector) {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("spec", "scopes"), q.Spec.Scopes, kind.Immutable)}
}

func validateQuotaStatus(q, _ *corev1.ResourceQuota) field.ErrorList {
	path := field.NewPath("status")
	return append(validateQuotaList(q.Status.Hard, path.Child("hard")), validateQuotaList(q.Status.Used, path.Child("used"))...)
}
