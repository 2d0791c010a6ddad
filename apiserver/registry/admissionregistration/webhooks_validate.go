package admissionregistration

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/expression"
	"github.com/miniorch/miniorch/apiserver/registry/kind"
)

const (
	maxTimeout    = 30
	maxConditions = 64
)

// reviewVersions are those of AdmissionReview that a server can send.
var reviewVersions = []string{"v1", "v1beta1"}

func (h hook) validate(names map[string]bool, path *field.Path) field.ErrorList {
	errs := utilvalidation.IsFullyQualifiedName(path.Child("name"), h.name)
	if names[h.name] {
		errs = append(errs, field.Duplicate(path.Child("name"), h.name))
	}
	names[h.name] = true
	errs = append(errs, validateReviewVersions(h.reviewVersion, path.Child("admissionReviewVersions"))...)
	for i, r := range h.rules {
		errs = append(errs, validateRule(r, path.Child("rules").Index(i))...)
	}
	errs = append(errs, validatePolicies(*h.failure, *h.match, path)...)
	if h.sideEffects == nil {
		errs = append(errs, field.Required(path.Child("sideEffects"), "must specify one of None, NoneOnDryRun"))
	} else {
		errs = append(errs, kind.OneOf(*h.sideEffects, path.Child("sideEffects"), admissionv1.SideEffectClassNone, admissionv1.SideEffectClassNoneOnDryRun)...)
	}
	if t := *h.timeout; t != nil && (*t < 1 || *t > maxTimeout) {
		errs = append(errs, field.Invalid(path.Child("timeoutSeconds"), *t, "the timeout value must be between 1 and 30 seconds"))
	}
	errs = append(errs, validateSelector(*h.namespaces, path.Child("namespaceSelector"))...)
	errs = append(errs, validateSelector(*h.objects, path.Child("objectSelector"))...)
	errs = append(errs, validateConditions(h.conditions, expression.Request(), path.Child("matchConditions"))...)
	return append(errs, validateClient(h.client, path.Child("clientConfig"))...)
}

func validateSelector(s *metav1.LabelSelector, path *field.Path) field.ErrorList {
	if s == nil {
		return nil
	}
	return metavalidation.ValidateLabelSelector(s, metavalidation.LabelSelectorValidationOptions{}, path)
}

func validatePolicies(failure *admissionv1.FailurePolicyType, match *admissionv1.MatchPolicyType, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if failure != nil {
		errs = append(errs, kind.OneOf(*failure, path.Child("failurePolicy"), admissionv1.Fail, admissionv1.Ignore)...)
	}
	if match != nil {
		errs = append(errs, kind.OneOf(*match, path.Child("matchPolicy"), admissionv1.Equivalent, admissionv1.Exact)...)
	}
	return errs
}

func validateReviewVersions(versions []string, path *field.Path) field.ErrorList {
	if len(versions) == 0 {
		return field.ErrorList{field.Required(path, "must specify one of v1, v1beta1")}
	}
	var errs field.ErrorList
	known := false
	for i, v := range versions {
		at := path.Index(i)
		errs = append(errs, kind.Invalids(at, v, utilvalidation.IsDNS1035Label(v))...)
		if slices.Contains(versions[:i], v) {
			errs = append(errs, field.Invalid(at, v, "duplicate version"))
		}
		known = known || slices.Contains(reviewVersions, v)
	}
	if !known {
		errs = append(errs, field.Invalid(path, versions, "must include at least one of v1, v1beta1"))
	}
	return errs
}

func validateRule(r admissionv1.RuleWithOperations, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	at := path.Child("operations")
	if len(r.Operations) == 0 {
		errs = append(errs, field.Required(at, ""))
	}
	if len(r.Operations) > 1 && slices.Contains(r.Operations, admissionv1.OperationAll) {
		errs = append(errs, field.Invalid(at, r.Operations, "if '*' is present, must not specify other operations"))
	}
	for i, op := range r.Operations {
		errs = append(errs, kind.OneOf(op, at.Index(i), admissionv1.OperationAll, admissionv1.Connect, admissionv1.Create, admissionv1.Delete, admissionv1.Update)...)
	}
	for _, set := range []struct {
		name, what string
		of         []string
		mayBeEmpty bool
	}{{"apiGroups", "API groups", r.APIGroups, true}, {"apiVersions", "API versions", r.APIVersions, false}, {"resources", "resources", r.Resources, false}} {
		at := path.Child(set.name)
		if len(set.of) == 0 {
			errs = append(errs, field.Required(at, ""))
		}
		if set.name != "resources" && len(set.of) > 1 && slices.Contains(set.of, "*") {
			errs = append(errs, field.Invalid(at, set.of, "if '*' is present, must not specify other "+set.what))
		}
		for i, one := range set.of {
			if one == "" && !set.mayBeEmpty {
				errs = append(errs, field.Required(at.Index(i), ""))
			}
		}
	}
	errs = append(errs, validateResources(r.Resources, path.Child("resources"))...)
	if r.Scope != nil {
		errs = append(errs, kind.OneOf(*r.Scope, path.Child("scope"), admissionv1.AllScopes, admissionv1.ClusterScope, admissionv1.NamespacedScope)...)
	}
	return errs
}

// validateResources refuses to say the same twice: "*/*" is all, "*/scale" has every scale,
// "pods/*" every subresource of pods.
func validateResources(resources []string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	has := func(s string) bool { return slices.Contains(resources, s) }
	if len(resources) > 1 && has("*/*") {
		errs = append(errs, field.Invalid(path, resources, "if '*/*' is present, must not specify other resources"))
	}
	for i, r := range resources {
		at := path.Index(i)
		name, sub, isSub := strings.Cut(r, "/")
		switch {
		case r == "*/*":
		case isSub && name != "*" && has("*/"+sub):
			errs = append(errs, field.Invalid(at, r, fmt.Sprintf("if '*/%s' is present, must not specify %s", sub, r)))
		case isSub && sub != "*" && has(name+"/*"):
			errs = append(errs, field.Invalid(at, r, fmt.Sprintf("if '%s/*' is present, must not specify %s", name, r)))
		case !isSub && r != "*" && has("*"):
			errs = append(errs, field.Invalid(at, r, "if '*' is present, must not specify other resources without subresources"))
		}
	}
	return errs
}

func validateConditions(conditions []admissionv1.MatchCondition, scope expression.Scope, path *field.Path) field.ErrorList {
	if len(conditions) > maxConditions {
		return field.ErrorList{field.TooMany(path, len(conditions), maxConditions)}
	}
	var errs field.ErrorList
	names := map[string]bool{}
	for i, c := range conditions {
		at := path.Index(i)
		errs = append(errs, validateExpression(c.Expression, scope, expression.Bool, at.Child("expression"))...)
		switch {
		case c.Name == "":
			errs = append(errs, field.Required(at.Child("name"), ""))
		case names[c.Name]:
			errs = append(errs, field.Duplicate(at.Child("name"), c.Name))
		default:
			errs = append(errs, kind.Invalids(at.Child("name"), c.Name, utilvalidation.IsQualifiedName(c.Name))...)
		}
		names[c.Name] = true
	}
	return errs
}

func validateClient(c *admissionv1.WebhookClientConfig, path *field.Path) field.ErrorList {
	switch {
	case (c.URL == nil) == (c.Service == nil):
		return field.ErrorList{field.Required(path, "exactly one of url or service is required")}
	case c.URL != nil:
		return validateURL(*c.URL, path.Child("url"))
	}
	return validateService(c.Service, path.Child("service"))
}

func validateURL(text string, path *field.Path) field.ErrorList {
	const form = "; desired format: https://host[/path]"
	u, err := url.Parse(text)
	if err != nil {
		return field.ErrorList{field.Required(path, "url must be a valid URL: "+err.Error()+form)}
	}
	var errs field.ErrorList
	for _, bad := range []struct {
		is   bool
		text string
	}{
		{u.Scheme != "https", "'https' is the only allowed URL scheme" + form},
		{u.Host == "", "host must be specified" + form},
		{u.User != nil, "user information is not permitted in the URL"},
		{u.Fragment != "", "fragments are not permitted in the URL"},
		{u.RawQuery != "", "query parameters are not permitted in the URL"},
	} {
		if bad.is {
			errs = append(errs, field.Invalid(path, text, bad.text))
		}
	}
	return errs
}

func validateService(s *admissionv1.ServiceReference, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if s.Name == "" {
		errs = append(errs, field.Required(path.Child("name"), "service name is required"))
	}
	if s.Namespace == "" {
		errs = append(errs, field.Required(path.Child("namespace"), "service namespace is required"))
	}
	if s.Port != nil {
		errs = append(errs, kind.ValidPort(*s.Port, path.Child("port"))...)
	}
	if s.Path == nil {
		return errs
	}
	at := path.Child("path")
	if !strings.HasPrefix(*s.Path, "/") {
		return append(errs, field.Invalid(at, *s.Path, "must start with a '/'"))
	}
	for i, step := range strings.Split(strings.Trim(*s.Path, "/"), "/") {
		if step == "" && *s.Path != "/" {
			errs = append(errs, field.Invalid(at, *s.Path, fmt.Sprintf("segment[%d] may not be empty", i)))
		} else if step != "" {
			for _, msg := range utilvalidation.IsDNS1123Subdomain(step) {
				errs = append(errs, field.Invalid(at, *s.Path, fmt.Sprintf("segment[%d]: %s", i, msg)))
			}
		}
	}
	return errs
}
