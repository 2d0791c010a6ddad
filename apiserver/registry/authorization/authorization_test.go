package authorization

import (
	"context"
	"errors"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"

	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/apiserver/registry/kindtest"
)

// only lets one verb through, and knows nothing of the verb "break".
type only string

func (o only) Authorize(_ context.Context, a auth.Attributes) (bool, string, error) {
	if a.Verb == "break" {
		return true, "", errors.New("broken")
	}
	return a.Verb == string(o) && a.User.Name == "u", "because", nil
}

func TestAsk(t *testing.T) {
	for _, c := range []struct {
		name, spec string
		allowed    bool
		failed     bool
	}{
		{"allowed", "{user: u, resourceAttributes: {verb: get, resource: pods}}", true, false},
		{"another verb", "{user: u, resourceAttributes: {verb: list, resource: pods}}", false, false},
		{"another user", "{user: v, resourceAttributes: {verb: get, resource: pods}}", false, false},
		{"a path", "{user: u, nonResourceAttributes: {verb: get, path: /a}}", true, false},
		{"an error is no yes", "{user: u, resourceAttributes: {verb: break}}", false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := gate{only("get")}.subjectReviews()
			obj, err := d.Virtual.Create(t.Context(), kindtest.From[authorizationv1.SubjectAccessReview](t, "spec: "+c.spec))
			if err != nil {
				t.Fatal(err)
			}
			if s := obj.(*authorizationv1.SubjectAccessReview).Status; s.Allowed != c.allowed || (s.EvaluationError != "") != c.failed {
				t.Errorf("%+v", s)
			}
		})
	}
	d := gate{only("get")}.selfReviews()
	ctx := auth.WithUser(t.Context(), auth.User{Name: "u"})
	obj, _ := d.Virtual.Create(ctx, kindtest.From[authorizationv1.SelfSubjectAccessReview](t, "spec: {resourceAttributes: {verb: get}}"))
	if !obj.(*authorizationv1.SelfSubjectAccessReview).Status.Allowed {
		t.Error("one may not do oneself what one may do")
	}
}

func TestRules(t *testing.T) {
	d := gate{auth.Components{}}.rulesReviews()
	ask := func(u auth.User) authorizationv1.SubjectRulesReviewStatus {
		obj, err := d.Virtual.Create(auth.WithUser(t.Context(), u), kindtest.From[authorizationv1.SelfSubjectRulesReview](t, "spec: {namespace: a}"))
		if err != nil {
			t.Fatal(err)
		}
		return obj.(*authorizationv1.SelfSubjectRulesReview).Status
	}
	if s := ask(auth.Admin()); len(s.ResourceRules) != 1 || s.ResourceRules[0].Verbs[0] != "*" || s.Incomplete {
		t.Errorf("an administrator: %+v", s)
	}
	if s := ask(auth.User{Name: "u", Groups: []string{auth.GroupAuthenticated}}); len(s.ResourceRules) != 3 || len(s.NonResourceRules) != 2 {
		t.Errorf("somebody: %+v", s)
	}
	d = gate{only("get")}.rulesReviews()
	if s := ask(auth.Admin()); !s.Incomplete {
		t.Errorf("an authorizer that knows no list: %+v", s)
	}
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"good", "{metadata: {namespace: ns}, spec: {groups: [g], resourceAttributes: {namespace: ns, verb: get, fieldSelector: {rawSelector: a=b}}}}", nil},
		{"nothing", "{spec: {}}", []string{"exactly one of nonResourceAttributes or resourceAttributes must be specified", "at least one of user or group must be specified"}},
		{"both", "{spec: {user: u, resourceAttributes: {}, nonResourceAttributes: {}}}", []string{"cannot be specified in combination with resourceAttributes", "disallowed on this kind of request"}},
		{"elsewhere", "{metadata: {namespace: ns}, spec: {user: u, resourceAttributes: {namespace: other}}}", []string{"must match metadata.namespace"}},
		{"named", "{metadata: {name: a}, spec: {user: u, resourceAttributes: {}}}", []string{"metadata: Invalid value: \"a\": must be empty"}},
		{"selectors", "{spec: {user: u, resourceAttributes: {fieldSelector: {}, labelSelector: {rawSelector: a, requirements: [{key: a, operator: Exists}]}}}}", []string{"fieldSelector.requirements: Required", "labelSelector.rawSelector: Invalid"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			kindtest.WantErrors(t, validateLocal(kindtest.From[authorizationv1.LocalSubjectAccessReview](t, c.text)), c.want...)
		})
	}
}
