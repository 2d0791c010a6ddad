package authentication

import (
	"context"
	"errors"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"

	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/apiserver/registry/kindtest"
)

type known string

func (k known) Review(_ context.Context, token string, audiences []string) auth.Review {
	if token != string(k) {
		return auth.Review{Why: errors.New("not good")}
	}
	return auth.Review{OK: true, User: auth.User{Name: "u", UID: "1", Groups: []string{"g"}, Extra: map[string][]string{"k": {"v"}}}, Matched: audiences}
}

func TestTokenReviews(t *testing.T) {
	d := tokenReviews(known("good"))
	ask := func(text string) authenticationv1.TokenReviewStatus {
		obj, err := d.Virtual.Create(t.Context(), kindtest.From[authenticationv1.TokenReview](t, text))
		if err != nil {
			t.Fatal(err)
		}
		return obj.(*authenticationv1.TokenReview).Status
	}
	if s := ask("spec: {token: good, audiences: [a]}"); !s.Authenticated || s.User.Username != "u" || s.User.Extra["k"][0] != "v" || s.Audiences[0] != "a" || s.Error != "" {
		t.Errorf("%+v", s)
	}
	if s := ask("{spec: {token: bad}, status: {authenticated: true}}"); s.Authenticated || s.User.Username != "" || s.Error == "" {
		t.Errorf("%+v", s)
	}
	kindtest.WantErrors(t, d.Validate(t.Context(), &authenticationv1.TokenReview{}), "spec.token: Required value")
}

func TestSelfReviews(t *testing.T) {
	obj, err := selfReviews().Virtual.Create(auth.WithUser(t.Context(), auth.User{Name: "u", Groups: []string{"g"}}), &authenticationv1.SelfSubjectReview{})
	if err != nil {
		t.Fatal(err)
	}
	if info := obj.(*authenticationv1.SelfSubjectReview).Status.UserInfo; info.Username != "u" || info.Groups[0] != "g" {
		t.Errorf("%+v", info)
	}
}
