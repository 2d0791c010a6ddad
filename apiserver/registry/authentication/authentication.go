// Package authentication describes the kinds of authentication.k8s.io/v1 that are asked and
// answered and not stored: whose a token is, and who one is oneself.
package authentication

import (
	"context"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/resource"
	"github.com/miniorch/miniorch/pkg/api"
)

// Reviewer says whose a token is.
type Reviewer interface {
	Review(ctx context.Context, token string, audiences []string) auth.Review
}

// Kinds returns the descriptors of the group. Without a reviewer no token is anybody's.
func Kinds(reviewer Reviewer) []resource.Descriptor {
	return []resource.Descriptor{tokenReviews(reviewer), selfReviews()}
}

func tokenReviews(reviewer Reviewer) resource.Descriptor {
	d := kind.Describe(kind.Of[*authenticationv1.TokenReview]{
		Singular: "tokenreview",
		New:      func() *authenticationv1.TokenReview { return &authenticationv1.TokenReview{} },
		Validate: func(r *authenticationv1.TokenReview) field.ErrorList {
			if r.Spec.Token == "" {
				return field.ErrorList{field.Required(field.NewPath("spec", "token"), "token is required for TokenReview in authentication")}
			}
			return nil
		},
	})
	d.Virtual = &resource.Virtual{Create: func(ctx context.Context, obj api.Object) (api.Object, error) {
		r := obj.(*authenticationv1.TokenReview)
		r.Status = authenticationv1.TokenReviewStatus{}
		if reviewer != nil {
			r.Status = statusOf(reviewer.Review(ctx, r.Spec.Token, r.Spec.Audiences))
		}
		return r, nil
	}}
	return d
}

// statusOf words an answer.
func statusOf(r auth.Review) authenticationv1.TokenReviewStatus {
	if !r.OK {
		status := authenticationv1.TokenReviewStatus{}
		if r.Why != nil {
			status.Error = r.Why.Error()
		}
		return status
	}
	return authenticationv1.TokenReviewStatus{Authenticated: true, User: infoOf(r.User), Audiences: r.Matched}
}

func infoOf(u auth.User) authenticationv1.UserInfo {
	info := authenticationv1.UserInfo{Username: u.Name, UID: u.UID, Groups: u.Groups}
	for key, values := range u.Extra {
		if info.Extra == nil {
			info.Extra = map[string]authenticationv1.ExtraValue{}
		}
		info.Extra[key] = values
	}
	return info
}

func selfReviews() resource.Descriptor {
	d := kind.Describe(kind.Of[*authenticationv1.SelfSubjectReview]{
		Singular: "selfsubjectreview",
		New:      func() *authenticationv1.SelfSubjectReview { return &authenticationv1.SelfSubjectReview{} },
	})
	d.Virtual = &resource.Virtual{Create: func(ctx context.Context, _ api.Object) (api.Object, error) {
		user, _ := auth.UserFrom(ctx)
		return &authenticationv1.SelfSubjectReview{
			ObjectMeta: metav1.ObjectMeta{}, Status: authenticationv1.SelfSubjectReviewStatus{UserInfo: infoOf(user)},
		}, nil
	}}
	return d
}
