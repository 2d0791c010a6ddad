package admissionregistration

import (
	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/resource"
)

const (
	defaultTimeout = 10 // seconds
	defaultPort    = 443
)

func mutatingWebhooks() resource.Descriptor {
	type config = *admissionv1.MutatingWebhookConfiguration
	return kind.Describe(kind.Of[config]{
		Singular:   "mutatingwebhookconfiguration",
		Categories: extensions,
		New:        func() config { return &admissionv1.MutatingWebhookConfiguration{} },
		NewList:    func() runtime.Object { return &admissionv1.MutatingWebhookConfigurationList{} },
		Defaults: func(c config) {
			for i := range c.Webhooks {
				w := &c.Webhooks[i]
				hookOf(w).setDefaults()
				kind.SetDefault(&w.ReinvocationPolicy, admissionv1.NeverReinvocationPolicy)
			}
		},
		PrepareCreate: func(c config) { c.Generation = 1 },
		PrepareUpdate: func(c, old config) {
			if !equality.Semantic.DeepEqual(c.Webhooks, old.Webhooks) {
				c.Generation = old.Generation + 1
			}
		},
		Validate: func(c config) field.ErrorList {
			var errs field.ErrorList
			names := map[string]bool{}
			for i := range c.Webhooks {
				w, at := &c.Webhooks[i], field.NewPath("webhooks").Index(i)
				errs = append(errs, hookOf(w).validate(names, at)...)
				if p := w.ReinvocationPolicy; p != nil {
					errs = append(errs, kind.OneOf(*p, at.Child("reinvocationPolicy"), admissionv1.NeverReinvocationPolicy, admissionv1.IfNeededReinvocationPolicy)...)
				}
			}
			return errs
		},
		Warnings:            warnNew[config]("webhooks"),
		UnconditionalUpdate: true,
		Columns: []kind.Column[config]{
			kind.NameColumn[config](),
			kind.CountColumn("Webhooks", "How many webhooks it has.", func(c config) int64 { return int64(len(c.Webhooks)) }),
			kind.AgeColumn[config](),
		},
	})
}

func validatingWebhooks() resource.Descriptor {
	type config = *admissionv1.ValidatingWebhookConfiguration
	return kind.Describe(kind.Of[config]{
		Singular:   "validatingwebhookconfiguration",
		Categories: extensions,
		New:        func() config { return &admissionv1.ValidatingWebhookConfiguration{} },
		NewList:    func() runtime.Object { return &admissionv1.ValidatingWebhookConfigurationList{} },
		Defaults: func(c config) {
			for i := range c.Webhooks {
				hookOfValidating(&c.Webhooks[i]).setDefaults()
			}
		},
		PrepareCreate: func(c config) { c.Generation = 1 },
		PrepareUpdate: func(c, old config) {
			if !equality.Semantic.DeepEqual(c.Webhooks, old.Webhooks) {
				c.Generation = old.Generation + 1
			}
		},
		Validate: func(c config) field.ErrorList {
			var errs field.ErrorList
			names := map[string]bool{}
			for i := range c.Webhooks {
				errs = append(errs, hookOfValidating(&c.Webhooks[i]).validate(names, field.NewPath("webhooks").Index(i))...)
			}
			return errs
		},
		Warnings:            warnNew[config]("webhooks"),
		UnconditionalUpdate: true,
		Columns: []kind.Column[config]{
			kind.NameColumn[config](),
			kind.CountColumn("Webhooks", "How many webhooks it has.", func(c config) int64 { return int64(len(c.Webhooks)) }),
			kind.AgeColumn[config](),
		},
	})
}

// hook is what webhooks of both kinds have, by pointers into them.
type hook struct {
	name          string
	client        *admissionv1.WebhookClientConfig
	rules         []admissionv1.RuleWithOperations
	failure       **admissionv1.FailurePolicyType
	match         **admissionv1.MatchPolicyType
	namespaces    **metav1.LabelSelector
	objects       **metav1.LabelSelector
	sideEffects   *admissionv1.SideEffectClass
	timeout       **int32
	reviewVersion []string
	conditions    []admissionv1.MatchCondition
}

func hookOf(w *admissionv1.MutatingWebhook) hook {
	return hook{w.Name, &w.ClientConfig, w.Rules, &w.FailurePolicy, &w.MatchPolicy, &w.NamespaceSelector, &w.ObjectSelector,
		w.SideEffects, &w.TimeoutSeconds, w.AdmissionReviewVersions, w.MatchConditions}
}

func hookOfValidating(w *admissionv1.ValidatingWebhook) hook {
	return hook{w.Name, &w.ClientConfig, w.Rules, &w.FailurePolicy, &w.MatchPolicy, &w.NamespaceSelector, &w.ObjectSelector,
		w.SideEffects, &w.TimeoutSeconds, w.AdmissionReviewVersions, w.MatchConditions}
}

func (h hook) setDefaults() {
	kind.SetDefault(h.failure, admissionv1.Fail)
	kind.SetDefault(h.match, admissionv1.Equivalent)
	kind.SetDefault(h.namespaces, metav1.LabelSelector{})
	kind.SetDefault(h.objects, metav1.LabelSelector{})
	kind.SetDefault(h.timeout, defaultTimeout)
	for i := range h.rules {
		kind.SetDefault(&h.rules[i].Scope, admissionv1.AllScopes)
	}
	if s := h.client.Service; s != nil {
		kind.SetDefault(&s.Port, defaultPort)
	}
}
