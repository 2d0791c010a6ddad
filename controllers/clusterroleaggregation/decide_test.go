package clusterroleaggregation

import (
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// role makes a role that grants verbs, with labels "key" = "yes".
func role(name, verbs string, labels ...string) *rbacv1.ClusterRole {
	r := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{}}}
	for _, v := range strings.Fields(verbs) {
		r.Rules = append(r.Rules, rbacv1.PolicyRule{Verbs: []string{v}})
	}
	for _, l := range labels {
		r.Labels[l] = "yes"
	}
	return r
}

// of makes a role aggregate those that have one of the labels.
func of(r *rbacv1.ClusterRole, labels ...string) *rbacv1.ClusterRole {
	r.AggregationRule = &rbacv1.AggregationRule{}
	for _, l := range labels {
		r.AggregationRule.ClusterRoleSelectors = append(r.AggregationRule.ClusterRoleSelectors, metav1.LabelSelector{MatchLabels: map[string]string{l: "yes"}})
	}
	return r
}

// https://kubernetes.io/docs/reference/access-authn-authz/rbac/, "Aggregated ClusterRoles".
func TestDecide(t *testing.T) {
	parts := []*rbacv1.ClusterRole{role("b", "get watch", "view"), role("a", "list get", "view"), role("c", "create", "edit"), role("d", "delete")}
	for _, tc := range []struct {
		reason string
		role   *rbacv1.ClusterRole
		want   string
	}{
		{"a role of its own is left alone", role("x", "get"), ""},
		{"the rules of those selected, by name, each once", of(role("x", ""), "view"), "list get watch"},
		{"by any of the selectors", of(role("x", ""), "edit", "view"), "list get watch create"},
		{"what somebody wrote by hand goes", of(role("x", "patch"), "edit"), "create"},
		{"as it should be", of(role("x", "list get watch"), "view"), ""},
		{"nobody is selected any more", of(role("x", "get"), "none"), "no rules"},
		{"not itself", of(role("x", "get", "view"), "view"), "list get watch"},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			plan := decide(tc.role, append(parts, tc.role))
			var got []string
			for _, r := range plan.Rules {
				got = append(got, r.Verbs...)
			}
			text := strings.Join(got, " ")
			if plan.Rules != nil && text == "" {
				text = "no rules"
			}
			if text != tc.want {
				t.Errorf("%q, want %q", text, tc.want)
			}
		})
	}
}
