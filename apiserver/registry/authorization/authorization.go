// Package authorization describes the kinds of authorization.k8s.io/v1, which are asked and
// answered and not stored: may somebody do something, and what may one do oneself. The answers
// are those of the authorizer that decides on requests.
package authorization

import (
	"context"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/resource"
	"github.com/miniorch/miniorch/pkg/api"
)

// Kinds returns the descriptors of the group. Without an authorizer nobody may do anything.
func Kinds(authorizer auth.Authorizer) []resource.Descriptor {
	g := gate{authorizer}
	return []resource.Descriptor{g.subjectReviews(), g.selfReviews(), g.localReviews(), g.rulesReviews()}
}

// gate asks the authorizer.
type gate struct{ authorizer auth.Authorizer }

func (g gate) subjectReviews() resource.Descriptor {
	type review = *authorizationv1.SubjectAccessReview
	d := kind.Describe(kind.Of[review]{
		Singular: "subjectaccessreview",
		New:      func() review { return &authorizationv1.SubjectAccessReview{} },
		Validate: func(r review) field.ErrorList {
			return append(validateSubject(&r.Spec), validateMeta(&r.ObjectMeta)...)
		},
	})
	d.Virtual = &resource.Virtual{Create: func(ctx context.Context, obj api.Object) (api.Object, error) {
		r := obj.(review)
		r.Status = g.ask(ctx, userOf(&r.Spec), r.Spec.ResourceAttributes, r.Spec.NonResourceAttributes)
		return r, nil
	}}
	return d
}

func (g gate) selfReviews() resource.Descriptor {
	type review = *authorizationv1.SelfSubjectAccessReview
	d := kind.Describe(kind.Of[review]{
		Singular: "selfsubjectaccessreview",
		New:      func() review { return &authorizationv1.SelfSubjectAccessReview{} },
		Validate: func(r review) field.ErrorList {
			return append(validateWhat(r.Spec.ResourceAttributes, r.Spec.NonResourceAttributes, field.NewPath("spec")), validateMeta(&r.ObjectMeta)...)
		},
	})
	d.Virtual = &resource.Virtual{Create: func(ctx context.Context, obj api.Object) (api.Object, error) {
		r := obj.(review)
		user, _ := auth.UserFrom(ctx)
		r.Status = g.ask(ctx, user, r.Spec.ResourceAttributes, r.Spec.NonResourceAttributes)
		return r, nil
	}}
	return d
}

func (g gate) localReviews() resource.Descriptor {
	type review = *authorizationv1.LocalSubjectAccessReview
	d := kind.Describe(kind.Of[review]{
		Singular: "localsubjectaccessreview",
		New:      func() review { return &authorizationv1.LocalSubjectAccessReview{} },
		Validate: validateLocal,
	})
	d.Virtual = &resource.Virtual{Create: func(ctx context.Context, obj api.Object) (api.Object, error) {
		r := obj.(review)
		r.Status = g.ask(ctx, userOf(&r.Spec), r.Spec.ResourceAttributes, nil)
		return r, nil
	}}
	return d
}

func (g gate) rulesReviews() resource.Descriptor {
	type review = *authorizationv1.SelfSubjectRulesReview
	d := kind.Describe(kind.Of[review]{
		Singular: "selfsubjectrulesreview",
		New:      func() review { return &authorizationv1.SelfSubjectRulesReview{} },
		Validate: func(r review) field.ErrorList {
			if r.Spec.Namespace == "" {
				return field.ErrorList{field.Required(field.NewPath("spec", "namespace"), "no namespace on request")}
			}
			return nil
		},
	})
	d.Virtual = &resource.Virtual{Create: func(ctx context.Context, obj api.Object) (api.Object, error) {
		r := obj.(review)
		user, _ := auth.UserFrom(ctx)
		r.Status = g.list(ctx, user, r.Spec.Namespace)
		return r, nil
	}}
	return d
}

func userOf(spec *authorizationv1.SubjectAccessReviewSpec) auth.User {
	u := auth.User{Name: spec.User, UID: spec.UID, Groups: spec.Groups}
	for key, values := range spec.Extra {
		if u.Extra == nil {
			u.Extra = map[string][]string{}
		}
		u.Extra[key] = values
	}
	return u
}

// ask asks on behalf of a user.
func (g gate) ask(ctx context.Context, user auth.User, on *authorizationv1.ResourceAttributes, path *authorizationv1.NonResourceAttributes) authorizationv1.SubjectAccessReviewStatus {
	a := auth.Attributes{User: user}
	switch {
	case on != nil:
		a.Verb, a.Group, a.Version, a.Resource = on.Verb, on.Group, on.Version, on.Resource
		a.Subresource, a.Namespace, a.Name = on.Subresource, on.Namespace, on.Name
	case path != nil:
		a.Verb, a.Path = path.Verb, path.Path
	}
	var status authorizationv1.SubjectAccessReviewStatus
	if g.authorizer == nil {
		return status
	}
	allowed, reason, err := g.authorizer.Authorize(ctx, a)
	status.Allowed, status.Reason = allowed, reason
	if err != nil {
		status.Allowed, status.EvaluationError = false, err.Error()
	}
	return status
}

// list tells what a user may do, as far as the authorizer can tell.
func (g gate) list(ctx context.Context, user auth.User, namespace string) authorizationv1.SubjectRulesReviewStatus {
	status := authorizationv1.SubjectRulesReviewStatus{
		ResourceRules: []authorizationv1.ResourceRule{}, NonResourceRules: []authorizationv1.NonResourceRule{},
	}
	lister, ok := g.authorizer.(auth.RuleLister)
	if !ok {
		status.Incomplete, status.EvaluationError = true, "the authorizer cannot list rules"
		return status
	}
	rules, err := lister.Rules(ctx, user, namespace)
	if err != nil {
		status.Incomplete, status.EvaluationError = true, err.Error()
	}
	for _, r := range rules {
		if len(r.NonResourceURLs) > 0 {
			status.NonResourceRules = append(status.NonResourceRules, authorizationv1.NonResourceRule{Verbs: r.Verbs, NonResourceURLs: r.NonResourceURLs})
			continue
		}
		status.ResourceRules = append(status.ResourceRules, authorizationv1.ResourceRule{
			Verbs: r.Verbs, APIGroups: r.APIGroups, Resources: r.Resources, ResourceNames: r.ResourceNames,
		})
	}
	return status
}

func validateSubject(spec *authorizationv1.SubjectAccessReviewSpec) field.ErrorList {
	path := field.NewPath("spec")
	errs := validateWhat(spec.ResourceAttributes, spec.NonResourceAttributes, path)
	if spec.User == "" && len(spec.Groups) == 0 {
		errs = append(errs, field.Invalid(path.Child("user"), spec.User, "at least one of user or group must be specified"))
	}
	return errs
}

func validateWhat(on *authorizationv1.ResourceAttributes, urlPath *authorizationv1.NonResourceAttributes, path *field.Path) field.ErrorList {
	switch {
	case on != nil && urlPath != nil:
		return field.ErrorList{field.Invalid(path.Child("nonResourceAttributes"), urlPath, "cannot be specified in combination with resourceAttributes")}
	case on == nil && urlPath == nil:
		return field.ErrorList{field.Invalid(path.Child("resourceAttributes"), on, "exactly one of nonResourceAttributes or resourceAttributes must be specified")}
	case on != nil:
		return validateSelectors(on, path.Child("resourceAttributes"))
	}
	return nil
}

// validateSelectors lets a selector be given as text or as requirements.
func validateSelectors(on *authorizationv1.ResourceAttributes, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	check := func(name, raw string, requirements int) {
		at := path.Child(name)
		switch {
		case raw != "" && requirements > 0:
			errs = append(errs, field.Invalid(at.Child("rawSelector"), raw, "may not specified at the same time as requirements"))
		case raw == "" && requirements == 0:
			errs = append(errs, field.Required(at.Child("requirements"), "when "+at.String()+" is specified, requirements or rawSelector is required"))
		}
	}
	if s := on.FieldSelector; s != nil {
		check("fieldSelector", s.RawSelector, len(s.Requirements))
	}
	if s := on.LabelSelector; s != nil {
		check("labelSelector", s.RawSelector, len(s.Requirements))
	}
	return errs
}

// validateMeta: a question has no name.
func validateMeta(meta *metav1.ObjectMeta) field.ErrorList {
	bare := metav1.ObjectMeta{Namespace: meta.Namespace, ManagedFields: meta.ManagedFields}
	if meta.Name != bare.Name || meta.GenerateName != "" || len(meta.Labels)+len(meta.Annotations)+len(meta.OwnerReferences)+len(meta.Finalizers) > 0 {
		return field.ErrorList{field.Invalid(field.NewPath("metadata"), meta.Name, "must be empty")}
	}
	return nil
}

func validateLocal(r *authorizationv1.LocalSubjectAccessReview) field.ErrorList {
	path := field.NewPath("spec")
	errs := validateSubject(&r.Spec)
	errs = append(errs, validateMeta(&r.ObjectMeta)...)
	if on := r.Spec.ResourceAttributes; on != nil && on.Namespace != r.Namespace {
		errs = append(errs, field.Invalid(path.Child("resourceAttributes", "namespace"), on.Namespace, "must match metadata.namespace"))
	}
	if r.Spec.NonResourceAttributes != nil {
		errs = append(errs, field.Invalid(path.Child("nonResourceAttributes"), r.Spec.NonResourceAttributes, "disallowed on this kind of request"))
	}
	return errs
}
