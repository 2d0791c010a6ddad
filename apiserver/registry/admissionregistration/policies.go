package admissionregistration

import (
	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/resource"
)

const policyWarning = "admission policies"

func validatingPolicies() resource.Descriptor {
	type policy = *admissionv1.ValidatingAdmissionPolicy
	return kind.Describe(kind.Of[policy]{
		Singular:   "validatingadmissionpolicy",
		Categories: extensions,
		New:        func() policy { return &admissionv1.ValidatingAdmissionPolicy{} },
		NewList:    func() runtime.Object { return &admissionv1.ValidatingAdmissionPolicyList{} },
		Defaults: func(p policy) {
			kind.SetDefault(&p.Spec.FailurePolicy, admissionv1.Fail)
			defaultMatch(p.Spec.MatchConstraints)
		},
		PrepareCreate: func(p policy) {
			p.Status = admissionv1.ValidatingAdmissionPolicyStatus{}
			p.Generation = 1
		},
		PrepareUpdate: func(p, old policy) {
			p.Status = old.Status
			if !equality.Semantic.DeepEqual(p.Spec, old.Spec) {
				p.Generation = old.Generation + 1
			}
		},
		Validate:            validateValidatingPolicy,
		Warnings:            warnNew[policy](policyWarning),
		UnconditionalUpdate: true,
		Columns: []kind.Column[policy]{
			kind.NameColumn[policy](),
			kind.CountColumn("Validations", "How many checks it makes.", func(p policy) int64 { return int64(len(p.Spec.Validations)) }),
			kind.TextColumn("ParamKind", "The kind of its parameters.", func(p policy) string { return printParamKind(p.Spec.ParamKind) }),
			kind.AgeColumn[policy](),
		},
		Subresources: []resource.Subresource{
			kind.StatusOf(func(p, old policy) { p.Spec = old.Spec }, func(p, _ policy) field.ErrorList {
				return metavalidation.ValidateConditions(p.Status.Conditions, field.NewPath("status", "conditions"))
			}),
		},
	})
}

func validatingBindings() resource.Descriptor {
	type binding = *admissionv1.ValidatingAdmissionPolicyBinding
	return kind.Describe(kind.Of[binding]{
		Singular:      "validatingadmissionpolicybinding",
		Categories:    extensions,
		New:           func() binding { return &admissionv1.ValidatingAdmissionPolicyBinding{} },
		NewList:       func() runtime.Object { return &admissionv1.ValidatingAdmissionPolicyBindingList{} },
		Defaults:      func(b binding) { defaultMatch(b.Spec.MatchResources) },
		PrepareCreate: func(b binding) { b.Generation = 1 },
		PrepareUpdate: func(b, old binding) {
			if !equality.Semantic.DeepEqual(b.Spec, old.Spec) {
				b.Generation = old.Generation + 1
			}
		},
		Validate: func(b binding) field.ErrorList {
			path := field.NewPath("spec")
			errs := validateBinding(b.Spec.PolicyName, b.Spec.ParamRef, b.Spec.MatchResources, path)
			return append(errs, validateActions(b.Spec.ValidationActions, path.Child("validationActions"))...)
		},
		Warnings:            warnNew[binding](policyWarning),
		UnconditionalUpdate: true,
		Columns: []kind.Column[binding]{
			kind.NameColumn[binding](),
			kind.TextColumn("PolicyName", "The policy that it puts to work.", func(b binding) string { return b.Spec.PolicyName }),
			kind.TextColumn("ParamRef", "The policy's parameters.", func(b binding) string { return printParamRef(b.Spec.ParamRef) }),
			kind.AgeColumn[binding](),
		},
	})
}

func mutatingPolicies() resource.Descriptor {
	type policy = *admissionv1.MutatingAdmissionPolicy
	return kind.Describe(kind.Of[policy]{
		Singular:   "mutatingadmissionpolicy",
		Categories: extensions,
		New:        func() policy { return &admissionv1.MutatingAdmissionPolicy{} },
		NewList:    func() runtime.Object { return &admissionv1.MutatingAdmissionPolicyList{} },
		Defaults: func(p policy) {
			kind.SetDefault(&p.Spec.FailurePolicy, admissionv1.Fail)
			defaultMatch(p.Spec.MatchConstraints)
		},
		PrepareCreate: func(p policy) { p.Generation = 1 },
		PrepareUpdate: func(p, old policy) {
			if !equality.Semantic.DeepEqual(p.Spec, old.Spec) {
				p.Generation = old.Generation + 1
			}
		},
		Validate:            validateMutatingPolicy,
		Warnings:            warnNew[policy](policyWarning),
		UnconditionalUpdate: true,
		Columns: []kind.Column[policy]{
			kind.NameColumn[policy](),
			kind.CountColumn("Mutations", "How many changes it makes.", func(p policy) int64 { return int64(len(p.Spec.Mutations)) }),
			kind.TextColumn("ParamKind", "The kind of its parameters.", func(p policy) string { return printParamKind(p.Spec.ParamKind) }),
			kind.AgeColumn[policy](),
		},
	})
}

func mutatingBindings() resource.Descriptor {
	type binding = *admissionv1.MutatingAdmissionPolicyBinding
	return kind.Describe(kind.Of[binding]{
		Singular:      "mutatingadmissionpolicybinding",
		Categories:    extensions,
		New:           func() binding { return &admissionv1.MutatingAdmissionPolicyBinding{} },
		NewList:       func() runtime.Object { return &admissionv1.MutatingAdmissionPolicyBindingList{} },
		Defaults:      func(b binding) { defaultMatch(b.Spec.MatchResources) },
		PrepareCreate: func(b binding) { b.Generation = 1 },
		PrepareUpdate: func(b, old binding) {
			if !equality.Semantic.DeepEqual(b.Spec, old.Spec) {
				b.Generation = old.Generation + 1
			}
		},
		Validate: func(b binding) field.ErrorList {
			return validateBinding(b.Spec.PolicyName, b.Spec.ParamRef, b.Spec.MatchResources, field.NewPath("spec"))
		},
		Warnings:            warnNew[binding](policyWarning),
		UnconditionalUpdate: true,
		Columns: []kind.Column[binding]{
			kind.NameColumn[binding](),
			kind.TextColumn("PolicyName", "The policy that it puts to work.", func(b binding) string { return b.Spec.PolicyName }),
			kind.TextColumn("ParamRef", "The policy's parameters.", func(b binding) string { return printParamRef(b.Spec.ParamRef) }),
			kind.AgeColumn[binding](),
		},
	})
}
