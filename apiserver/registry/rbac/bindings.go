package rbac

import (
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/resource"
)

func roleBindings() resource.Descriptor {
	type binding = *rbacv1.RoleBinding
	return kind.Describe(kind.Of[binding]{
		Singular:            "rolebinding",
		New:                 func() binding { return &rbacv1.RoleBinding{} },
		NewList:             func() runtime.Object { return &rbacv1.RoleBindingList{} },
		Defaults:            func(b binding) { defaultBinding(&b.RoleRef, b.Subjects) },
		Validate:            func(b binding) field.ErrorList { return validateBinding(b.RoleRef, b.Subjects, true) },
		ValidateUpdate:      func(b, old binding) field.ErrorList { return sameRole(b.RoleRef, old.RoleRef) },
		ValidateName:        kind.PathSegment,
		CreateOnUpdate:      true,
		UnconditionalUpdate: true,
		Columns: bindingColumns(
			func(b binding) rbacv1.RoleRef { return b.RoleRef },
			func(b binding) []rbacv1.Subject { return b.Subjects }),
	})
}

func clusterRoleBindings() resource.Descriptor {
	type binding = *rbacv1.ClusterRoleBinding
	return kind.Describe(kind.Of[binding]{
		Singular:            "clusterrolebinding",
		New:                 func() binding { return &rbacv1.ClusterRoleBinding{} },
		NewList:             func() runtime.Object { return &rbacv1.ClusterRoleBindingList{} },
		Defaults:            func(b binding) { defaultBinding(&b.RoleRef, b.Subjects) },
		Validate:            func(b binding) field.ErrorList { return validateBinding(b.RoleRef, b.Subjects, false) },
		ValidateUpdate:      func(b, old binding) field.ErrorList { return sameRole(b.RoleRef, old.RoleRef) },
		ValidateName:        kind.PathSegment,
		CreateOnUpdate:      true,
		UnconditionalUpdate: true,
		Columns: bindingColumns(
			func(b binding) rbacv1.RoleRef { return b.RoleRef },
			func(b binding) []rbacv1.Subject { return b.Subjects }),
	})
}

func defaultBinding(role *rbacv1.RoleRef, subjects []rbacv1.Subject) {
	if role.APIGroup == "" {
		role.APIGroup = rbacv1.GroupName
	}
	for i := range subjects {
		if s := &subjects[i]; s.APIGroup == "" && (s.Kind == rbacv1.UserKind || s.Kind == rbacv1.GroupKind) {
			s.APIGroup = rbacv1.GroupName
		}
	}
}

func validateBinding(role rbacv1.RoleRef, subjects []rbacv1.Subject, namespaced bool) field.ErrorList {
	var errs field.ErrorList
	at := field.NewPath("roleRef")
	if role.APIGroup != rbacv1.GroupName {
		errs = append(errs, field.NotSupported(at.Child("apiGroup"), role.APIGroup, []string{rbacv1.GroupName}))
	}
	kinds := map[string]bool{"ClusterRole": true}
	if namespaced {
		kinds["Role"] = true
	}
	if !kinds[role.Kind] {
		errs = append(errs, field.NotSupported(at.Child("kind"), role.Kind, supported(kinds)))
	}
	if role.Name == "" {
		errs = append(errs, field.Required(at.Child("name"), ""))
	} else {
		errs = append(errs, kind.Invalids(at.Child("name"), role.Name, kind.PathSegment(role.Name, false))...)
	}
	for i, s := range subjects {
		errs = append(errs, validateSubject(s, namespaced, field.NewPath("subjects").Index(i))...)
	}
	return errs
}

func validateSubject(s rbacv1.Subject, namespaced bool, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if s.Name == "" {
		errs = append(errs, field.Required(at.Child("name"), ""))
	}
	group := ""
	switch s.Kind {
	case rbacv1.ServiceAccountKind:
		if s.Name != "" {
			errs = append(errs, kind.Invalids(at.Child("name"), s.Name, validation.ValidateServiceAccountName(s.Name, false))...)
		}
		if s.Namespace == "" && !namespaced {
			errs = append(errs, field.Required(at.Child("namespace"), ""))
		}
	case rbacv1.UserKind, rbacv1.GroupKind:
		group = rbacv1.GroupName
	default:
		return append(errs, field.NotSupported(at.Child("kind"), s.Kind,
			[]string{rbacv1.ServiceAccountKind, rbacv1.UserKind, rbacv1.GroupKind}))
	}
	if s.APIGroup != group {
		errs = append(errs, field.NotSupported(at.Child("apiGroup"), s.APIGroup, []string{group}))
	}
	return errs
}

// sameRole: who may change a binding's subjects must not get another role that way.
func sameRole(is, was rbacv1.RoleRef) field.ErrorList {
	if is == was {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("roleRef"), is, "cannot change roleRef")}
}
