// Package admissionregistration describes the kinds of admissionregistration.k8s.io/v1: who
// else is asked before an object is stored. Such objects are stored and checked here; nobody
// asks them yet, and every one that is made says so.
package admissionregistration

import (
	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/resource"
	"github.com/miniorch/miniorch/pkg/api"
)

// Kinds returns the descriptors of the group.
func Kinds() []resource.Descriptor {
	return []resource.Descriptor{
		mutatingWebhooks(), validatingWebhooks(),
		validatingPolicies(), validatingBindings(), mutatingPolicies(), mutatingBindings(),
	}
}

// extensions is by what kubectl finds all that extends the API.
var extensions = []string{"api-extensions"}

// unasked is said to who makes something that is not consulted.
func unasked(what string) []string {
	return []string{what + " are stored and not enforced by this cluster yet: requests are admitted without them"}
}

// warnNew warns on create; changes of what has been warned about say nothing new.
func warnNew[T api.Object](what string) func(obj, old T, isUpdate bool) []string {
	return func(_, _ T, isUpdate bool) []string {
		if isUpdate {
			return nil
		}
		return unasked(what)
	}
}

const unset = "<unset>"

func printParamKind(p *admissionv1.ParamKind) string {
	if p == nil {
		return unset
	}
	return p.APIVersion + "/" + p.Kind
}

func printParamRef(p *admissionv1.ParamRef) string {
	switch {
	case p == nil:
		return unset
	case p.Name == "":
		return metav1.FormatLabelSelector(p.Selector)
	case p.Namespace != "":
		return p.Namespace + "/" + p.Name
	}
	return p.Name
}

// defaultMatch completes which requests something is about.
func defaultMatch(m *admissionv1.MatchResources) {
	if m == nil {
		return
	}
	kind.SetDefault(&m.MatchPolicy, admissionv1.Equivalent)
	kind.SetDefault(&m.NamespaceSelector, metav1.LabelSelector{})
	kind.SetDefault(&m.ObjectSelector, metav1.LabelSelector{})
	for _, rules := range [][]admissionv1.NamedRuleWithOperations{m.ResourceRules, m.ExcludeResourceRules} {
		for i := range rules {
			kind.SetDefault(&rules[i].Scope, admissionv1.AllScopes)
		}
	}
}
