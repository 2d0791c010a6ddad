package rbac

import (
	rbacv1 "k8s.io/api/rbac/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/resource"
)

func roles() resource.Descriptor {
	return kind.Describe(kind.Of[*rbacv1.Role]{
		Singular:            "role",
		New:                 func() *rbacv1.Role { return &rbacv1.Role{} },
		NewList:             func() runtime.Object { return &rbacv1.RoleList{} },
		Validate:            func(r *rbacv1.Role) field.ErrorList { return validateRules(r.Rules, true) },
		ValidateName:        kind.PathSegment,
		CreateOnUpdate:      true,
		UnconditionalUpdate: true,
		Columns:             roleColumns[*rbacv1.Role](),
	})
}

func clusterRoles() resource.Descriptor {
	return kind.Describe(kind.Of[*rbacv1.ClusterRole]{
		Singular:            "clusterrole",
		New:                 func() *rbacv1.ClusterRole { return &rbacv1.ClusterRole{} },
		NewList:             func() runtime.Object { return &rbacv1.ClusterRoleList{} },
		Validate:            validateClusterRole,
		ValidateName:        kind.PathSegment,
		CreateOnUpdate:      true,
		UnconditionalUpdate: true,
		Columns:             roleColumns[*rbacv1.ClusterRole](),
	})
}

func validateClusterRole(r *rbacv1.ClusterRole) field.ErrorList {
	errs := validateRules(r.Rules, false)
	if r.AggregationRule == nil {
		return errs
	}
	at := field.NewPath("aggregationRule", "clusterRoleSelectors")
	if len(r.AggregationRule.ClusterRoleSelectors) == 0 {
		errs = append(errs, field.Required(at, "at least one clusterRoleSelector required if aggregationRule is non-nil"))
	}
	for i, s := range r.AggregationRule.ClusterRoleSelectors {
		errs = append(errs, metavalidation.ValidateLabelSelector(&s, metavalidation.LabelSelectorValidationOptions{}, at.Index(i))...)
	}
	return errs
}

// validateRules checks that each rule is about resources or, outside of a namespace, about
// URLs, and about something at all.
func validateRules(rules []rbacv1.PolicyRule, namespaced bool) field.ErrorList {
	var errs field.ErrorList
	for i, r := range rules {
		at := field.NewPath("rules").Index(i)
		if len(r.Verbs) == 0 {
			errs = append(errs, field.Required(at.Child("verbs"), "verbs must contain at least one value"))
		}
		switch {
		case len(r.NonResourceURLs) > 0 && namespaced:
			errs = append(errs, field.Invalid(at.Child("nonResourceURLs"), r.NonResourceURLs, "namespaced rules cannot apply to non-resource URLs"))
		case len(r.NonResourceURLs) > 0:
			if len(r.APIGroups)+len(r.Resources)+len(r.ResourceNames) > 0 {
				errs = append(errs, field.Invalid(at.Child("nonResourceURLs"), r.NonResourceURLs, "rules cannot apply to both regular resources and non-resource URLs"))
			}
			continue
		}
		if len(r.APIGroups) == 0 {
			errs = append(errs, field.Required(at.Child("apiGroups"), "resource rules must supply at least one api group"))
		}
		if len(r.Resources) == 0 {
			errs = append(errs, field.Required(at.Child("resources"), "resource rules must supply at least one resource"))
		}
	}
	return errs
}
