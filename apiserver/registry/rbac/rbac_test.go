package rbac

import (
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/miniorch/miniorch/apiserver/registry/kindtest"
)

func TestRules(t *testing.T) {
	for _, c := range []struct {
		name, rules, reason string
		cluster             bool
		want                []string
	}{
		{name: "good", rules: "[{verbs: [get], apiGroups: [''], resources: [pods/log], resourceNames: [a]}]", reason: "a subresource of one pod"},
		{name: "all", rules: "[{verbs: ['*'], apiGroups: ['*'], resources: ['*']}]", reason: "wildcards are plain values"},
		{name: "none", rules: "[]", reason: "a role may allow nothing"},
		{name: "empty", rules: "[{}]", reason: "a rule must say something",
			want: []string{"rules[0].verbs: Required value: verbs must contain at least one value", "rules[0].apiGroups: Required value", "rules[0].resources: Required value"}},
		{name: "URL in a namespace", rules: "[{verbs: [get], nonResourceURLs: [/healthz], apiGroups: [''], resources: [pods]}]", reason: "URLs are in no namespace",
			want: []string{"rules[0].nonResourceURLs: Invalid value: [\"/healthz\"]: namespaced rules cannot apply to non-resource URLs"}},
		{name: "URL", cluster: true, rules: "[{verbs: [get], nonResourceURLs: [/healthz]}]", reason: "URLs are the cluster's"},
		{name: "both", cluster: true, rules: "[{verbs: [get], nonResourceURLs: [/healthz], resources: [pods]}]", reason: "one rule, one subject",
			want: []string{"rules cannot apply to both regular resources and non-resource URLs"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			rules := kindtest.From[rbacv1.Role](t, "rules: "+c.rules).Rules
			kindtest.WantErrors(t, validateRules(rules, !c.cluster), c.want...)
		})
	}
	kindtest.WantErrors(t, validateClusterRole(kindtest.From[rbacv1.ClusterRole](t, "aggregationRule: {clusterRoleSelectors: []}")),
		"aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required if aggregationRule is non-nil")
	kindtest.WantErrors(t, validateClusterRole(kindtest.From[rbacv1.ClusterRole](t, "aggregationRule: {clusterRoleSelectors: [{matchLabels: {'a b': c}}]}")),
		"aggregationRule.clusterRoleSelectors[0].matchLabels: Invalid value: \"a b\"")
}

func TestBindings(t *testing.T) {
	for _, c := range []struct {
		name, text, reason string
		cluster            bool
		want               []string
	}{
		{name: "good", text: "{roleRef: {kind: Role, name: 'system:a'}, subjects: [{kind: User, name: u}, {kind: Group, name: g}, {kind: ServiceAccount, name: s}]}",
			reason: "groups are defaulted; a service account without a namespace is accepted in a namespace"},
		{name: "nobody", text: "{roleRef: {kind: ClusterRole, name: a}}", reason: "a binding may wait for its subjects", cluster: true},
		{name: "empty", text: "{}", reason: "what is given must be said",
			want: []string{"roleRef.kind: Unsupported value: \"\": supported values: \"ClusterRole\", \"Role\"", "roleRef.name: Required value"}},
		{name: "a namespace's role for the cluster", cluster: true, text: "{roleRef: {kind: Role, name: a}}", reason: "it would be any namespace's",
			want: []string{"roleRef.kind: Unsupported value: \"Role\": supported values: \"ClusterRole\""}},
		{name: "path", text: "{roleRef: {kind: Role, name: a/b}}", reason: "names are part of a URL", want: []string{"roleRef.name: Invalid value: \"a/b\": may not contain '/'"}},
		{name: "account without namespace", cluster: true, text: "{roleRef: {kind: ClusterRole, name: a}, subjects: [{kind: ServiceAccount, name: A}]}",
			reason: "accounts have namespaces, and names of DNS",
			want:   []string{"subjects[0].namespace: Required value", "subjects[0].name: Invalid value: \"A\""}},
		{name: "strange subjects", text: "{roleRef: {kind: Role, name: a, apiGroup: x}, subjects: [{kind: Pod, name: p}, {kind: User, apiGroup: x}, {kind: ServiceAccount, name: s, apiGroup: x}]}",
			reason: "each kind has its group",
			want: []string{"roleRef.apiGroup: Unsupported value", "subjects[0].kind: Unsupported value: \"Pod\"", "subjects[1].name: Required value",
				"subjects[1].apiGroup: Unsupported value", "subjects[2].apiGroup: Unsupported value"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := kindtest.From[rbacv1.RoleBinding](t, c.text)
			defaultBinding(&b.RoleRef, b.Subjects)
			kindtest.WantErrors(t, validateBinding(b.RoleRef, b.Subjects, !c.cluster), c.want...)
		})
	}
	kindtest.WantErrors(t, sameRole(rbacv1.RoleRef{Name: "a"}, rbacv1.RoleRef{Name: "b"}), "roleRef: Invalid value: {\"apiGroup\":\"\",\"kind\":\"\",\"name\":\"a\"}: cannot change roleRef")
	kindtest.WantErrors(t, sameRole(rbacv1.RoleRef{Name: "a"}, rbacv1.RoleRef{Name: "a"}))
}

func TestColumns(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	role := kindtest.From[rbacv1.Role](t, "metadata: {name: r, creationTimestamp: '2029-12-31T00:00:00Z'}")
	if got, want := kindtest.Row(roleColumns[*rbacv1.Role](), role, now, true), "r | 2029-12-31T00:00:00Z"; got != want {
		t.Errorf("role: %q, want %q", got, want)
	}
	b := kindtest.From[rbacv1.RoleBinding](t, `{metadata: {name: b, creationTimestamp: '2029-12-31T00:00:00Z'}, roleRef: {kind: Role, name: r},
  subjects: [{kind: User, name: u}, {kind: User, name: v}, {kind: Group, name: g}, {kind: ServiceAccount, namespace: ns, name: s}, {kind: User, name: u}]}`)
	d := bindingColumns(func(b *rbacv1.RoleBinding) rbacv1.RoleRef { return b.RoleRef }, func(b *rbacv1.RoleBinding) []rbacv1.Subject { return b.Subjects })
	if got, want := kindtest.Row(d, b, now, true), "b | Role/r | 24h | u, v | g | ns/s"; got != want {
		t.Errorf("binding: %q, want %q", got, want)
	}
	if got, want := kindtest.Row(d, b, now, false), "b | Role/r | 24h"; got != want {
		t.Errorf("binding: %q, want %q", got, want)
	}
}
