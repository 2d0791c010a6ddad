// Package rbac describes the kinds of rbac.authorization.k8s.io/v1: roles and who has them.
// It says what is a well-formed rule; who may do what is the authorizer's to say.
package rbac

import (
	"maps"
	"slices"
	"strings"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/resource"
	"github.com/miniorch/miniorch/pkg/api"
)

// Kinds returns the descriptors of the group.
func Kinds() []resource.Descriptor {
	return []resource.Descriptor{roles(), roleBindings(), clusterRoles(), clusterRoleBindings()}
}

// roleColumns say no more than when a role was made: its rules are too long for a row.
func roleColumns[T api.Object]() []kind.Column[T] {
	return []kind.Column[T]{
		kind.NameColumn[T](),
		{Name: "Created At", Type: "date", Description: "When the role was made.", Value: func(obj T, _ time.Time) any {
			return obj.GetCreationTimestamp().UTC().Format(time.RFC3339)
		}},
	}
}

// bindingColumns say which role a binding gives, and with -o wide to whom.
func bindingColumns[T api.Object](role func(T) rbacv1.RoleRef, subjects func(T) []rbacv1.Subject) []kind.Column[T] {
	named := func(name, description, of string) kind.Column[T] {
		return kind.Wide(kind.TextColumn(name, description, func(obj T) string { return subjectNames(subjects(obj), of) }))
	}
	return []kind.Column[T]{
		kind.NameColumn[T](),
		kind.TextColumn("Role", "The role that is given.", func(obj T) string { return role(obj).Kind + "/" + role(obj).Name }),
		kind.AgeColumn[T](),
		named("Users", "The users who have it.", rbacv1.UserKind),
		named("Groups", "The groups whose members have it.", rbacv1.GroupKind),
		named("ServiceAccounts", "The service accounts that have it.", rbacv1.ServiceAccountKind),
	}
}

// subjectNames lists the subjects of one kind, each once.
func subjectNames(subjects []rbacv1.Subject, of string) string {
	seen := map[string]bool{}
	var names []string
	for _, s := range subjects {
		name := s.Name
		if s.Kind == rbacv1.ServiceAccountKind {
			name = s.Namespace + "/" + s.Name
		}
		if s.Kind == of && !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// supported is the list of a refusal, in a stable order.
func supported(kinds map[string]bool) []string { return slices.Sorted(maps.Keys(kinds)) }
