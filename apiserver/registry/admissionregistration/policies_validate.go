package admissionregistration

import (
	"regexp"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/expression"
	"github.com/miniorch/miniorch/apiserver/registry/kind"
)

const (
	maxExpression  = 5 << 10 // of an audit annotation
	maxAnnotations = 20
	maxMessage     = 5 << 10
)

// identifier is what a variable of an expression can be called.
var identifier = regexp.MustCompile(`^[_a-zA-Z][_a-zA-Z0-9]*$`)

// reserved words are no identifiers.
var reserved = strings.Fields("true false null in as break const continue else for function if import let loop package namespace return var void while")

// refusals are the reasons that a policy may refuse a request for.
var refusals = []metav1.StatusReason{metav1.StatusReasonForbidden, metav1.StatusReasonInvalid, metav1.StatusReasonRequestEntityTooLarge, metav1.StatusReasonUnauthorized}

func validateValidatingPolicy(p *admissionv1.ValidatingAdmissionPolicy) field.ErrorList {
	path := field.NewPath("spec")
	errs := validatePolicies(p.Spec.FailurePolicy, nil, path)
	errs = append(errs, validateParamKind(p.Spec.ParamKind, path.Child("paramKind"))...)
	errs = append(errs, validateMatch(p.Spec.MatchConstraints, true, path.Child("matchConstraints"))...)
	scope := scopeOf(p.Spec.ParamKind)
	errs = append(errs, validateConditions(p.Spec.MatchConditions, scope, path.Child("matchConditions"))...)
	scope, bad := validateVariables(p.Spec.Variables, scope, path.Child("variables"))
	errs = append(errs, bad...)
	if len(p.Spec.Validations)+len(p.Spec.AuditAnnotations) == 0 {
		errs = append(errs, field.Required(path.Child("validations"), "validations or auditAnnotations must be non-empty"))
	}
	for i, v := range p.Spec.Validations {
		errs = append(errs, validateValidation(v, scope, path.Child("validations").Index(i))...)
	}
	return append(errs, validateAnnotations(p.Name, p.Spec.AuditAnnotations, scope, path.Child("auditAnnotations"))...)
}

func validateParamKind(k *admissionv1.ParamKind, path *field.Path) field.ErrorList {
	if k == nil {
		return nil
	}
	var errs field.ErrorList
	at := path.Child("apiVersion")
	if k.APIVersion == "" {
		errs = append(errs, field.Required(at, ""))
	} else if gv, err := schema.ParseGroupVersion(k.APIVersion); err != nil {
		errs = append(errs, field.Invalid(at, k.APIVersion, err.Error()))
	} else {
		if gv.Group != "" {
			errs = append(errs, kind.Invalids(at, gv.Group, utilvalidation.IsDNS1123Subdomain(gv.Group))...)
		}
		errs = append(errs, kind.Invalids(at, gv.Version, utilvalidation.IsDNS1035Label(gv.Version))...)
	}
	if k.Kind == "" {
		return append(errs, field.Required(path.Child("kind"), ""))
	}
	return append(errs, kind.Invalids(path.Child("kind"), k.Kind, utilvalidation.IsDNS1035Label(strings.ToLower(k.Kind)))...)
}

// validateMatch checks which requests something is about; a policy must say.
func validateMatch(m *admissionv1.MatchResources, mustMatch bool, path *field.Path) field.ErrorList {
	if m == nil {
		if mustMatch {
			return field.ErrorList{field.Required(path, "")}
		}
		return nil
	}
	errs := validatePolicies(nil, m.MatchPolicy, path)
	if m.MatchPolicy == nil {
		errs = append(errs, field.Required(path.Child("matchPolicy"), ""))
	}
	errs = append(errs, validateSelector(m.NamespaceSelector, path.Child("namespaceSelector"))...)
	errs = append(errs, validateSelector(m.ObjectSelector, path.Child("objectSelector"))...)
	if mustMatch && len(m.ResourceRules) == 0 {
		errs = append(errs, field.Required(path.Child("resourceRules"), ""))
	}
	for _, list := range []struct {
		name  string
		rules []admissionv1.NamedRuleWithOperations
	}{{"resourceRules", m.ResourceRules}, {"excludeResourceRules", m.ExcludeResourceRules}} {
		for i, r := range list.rules {
			at := path.Child(list.name).Index(i)
			errs = append(errs, validateRule(r.RuleWithOperations, at)...)
			for n, name := range r.ResourceNames {
				at := at.Child("resourceNames").Index(n)
				errs = append(errs, kind.Invalids(at, name, validation.NameIsDNSSubdomain(name, false))...)
				if slices.Contains(r.ResourceNames[:n], name) {
					errs = append(errs, field.Duplicate(at, name))
				}
			}
		}
	}
	return errs
}

// scopeOf is what the expressions of a policy may mention before it declares variables.
func scopeOf(params *admissionv1.ParamKind) expression.Scope {
	if params == nil {
		return expression.Policy()
	}
	return expression.PolicyOfKind()
}

// validateExpression checks an expression that must be there.
func validateExpression(text string, scope expression.Scope, want expression.Kind, path *field.Path) field.ErrorList {
	if expression.Blank(text) {
		return field.ErrorList{field.Required(path, "")}
	}
	if _, err := scope.Check(text, want); err != nil {
		return field.ErrorList{field.Invalid(path, text, err.Error())}
	}
	return nil
}

// validateVariables returns the scope of the expressions that come after the variables. One that is
// wrong is there all the same: who mentions it makes no mistake.
func validateVariables(variables []admissionv1.Variable, scope expression.Scope, path *field.Path) (expression.Scope, field.ErrorList) {
	var errs field.ErrorList
	names := map[string]bool{}
	for i, v := range variables {
		at := path.Index(i)
		switch {
		case v.Name == "":
			errs = append(errs, field.Required(at.Child("name"), "name is not specified"))
		case !identifier.MatchString(v.Name) || slices.Contains(reserved, v.Name):
			errs = append(errs, field.Invalid(at.Child("name"), v.Name, "name is not a valid CEL identifier"))
		case names[v.Name]:
			errs = append(errs, field.Duplicate(at.Child("name"), v.Name))
		}
		names[v.Name] = true
		is := cel.DynType
		if expression.Blank(v.Expression) {
			errs = append(errs, field.Required(at.Child("expression"), "expression is not specified"))
		} else if found, err := scope.Check(v.Expression, expression.Anything); err != nil {
			errs = append(errs, field.Invalid(at.Child("expression"), v.Expression, err.Error()))
		} else {
			is = found
		}
		if with, err := scope.With(v.Name, is); err == nil {
			scope = with
		}
	}
	return scope, errs
}

func validateValidation(v admissionv1.Validation, scope expression.Scope, path *field.Path) field.ErrorList {
	errs := validateExpression(v.Expression, scope, expression.Bool, path.Child("expression"))
	if at := path.Child("messageExpression"); v.MessageExpression != "" && expression.Blank(v.MessageExpression) {
		errs = append(errs, field.Invalid(at, v.MessageExpression, "must be non-empty if specified"))
	} else if v.MessageExpression != "" {
		errs = append(errs, validateExpression(v.MessageExpression, scope, expression.String, at)...)
	}
	at := path.Child("message")
	switch {
	case v.Message != "" && strings.TrimSpace(v.Message) == "":
		errs = append(errs, field.Invalid(at, v.Message, "message must be non-empty if specified"))
	case strings.ContainsAny(v.Message, "\n\r"):
		errs = append(errs, field.Invalid(at, v.Message, "message must not contain line breaks"))
	case strings.ContainsAny(v.Expression, "\n\r") && v.Message == "":
		errs = append(errs, field.Required(at, "message must be specified if expression contains line breaks"))
	case len(v.Message) > maxMessage:
		errs = append(errs, field.TooLong(at, v.Message, maxMessage))
	}
	if v.Reason != nil {
		errs = append(errs, kind.OneOf(*v.Reason, path.Child("reason"), refusals...)...)
	}
	return errs
}

func validateAnnotations(policy string, annotations []admissionv1.AuditAnnotation, scope expression.Scope, path *field.Path) field.ErrorList {
	if len(annotations) > maxAnnotations {
		return field.ErrorList{field.TooMany(path, len(annotations), maxAnnotations)}
	}
	var errs field.ErrorList
	keys := map[string]bool{}
	for i, a := range annotations {
		at := path.Index(i)
		switch {
		case a.Key == "":
			errs = append(errs, field.Required(at.Child("key"), ""))
		case keys[a.Key]:
			errs = append(errs, field.Duplicate(at.Child("key"), a.Key))
		default:
			errs = append(errs, kind.Invalids(at.Child("key"), a.Key, utilvalidation.IsQualifiedName(policy+"/"+a.Key))...)
		}
		keys[a.Key] = true
		at = at.Child("valueExpression")
		if len(a.ValueExpression) > maxExpression {
			errs = append(errs, field.TooLong(at, a.ValueExpression, maxExpression))
		} else {
			errs = append(errs, validateExpression(a.ValueExpression, scope, expression.StringOrNull, at)...)
		}
	}
	return errs
}

func validateMutatingPolicy(p *admissionv1.MutatingAdmissionPolicy) field.ErrorList {
	path := field.NewPath("spec")
	errs := validatePolicies(p.Spec.FailurePolicy, nil, path)
	errs = append(errs, validateParamKind(p.Spec.ParamKind, path.Child("paramKind"))...)
	errs = append(errs, validateMatch(p.Spec.MatchConstraints, true, path.Child("matchConstraints"))...)
	scope := scopeOf(p.Spec.ParamKind)
	errs = append(errs, validateConditions(p.Spec.MatchConditions, scope, path.Child("matchConditions"))...)
	scope, bad := validateVariables(p.Spec.Variables, scope, path.Child("variables"))
	errs = append(errs, bad...)
	errs = append(errs, kind.RequiredOneOf(p.Spec.ReinvocationPolicy, path.Child("reinvocationPolicy"), admissionv1.NeverReinvocationPolicy, admissionv1.IfNeededReinvocationPolicy)...)
	if len(p.Spec.Mutations) == 0 {
		errs = append(errs, field.Required(path.Child("mutations"), "mutations must contain at least one item"))
	}
	for i, m := range p.Spec.Mutations {
		errs = append(errs, validateMutation(m, scope, path.Child("mutations").Index(i))...)
	}
	return errs
}

func validateMutation(m admissionv1.Mutation, scope expression.Scope, path *field.Path) field.ErrorList {
	errs := kind.RequiredOneOf(m.PatchType, path.Child("patchType"), admissionv1.PatchTypeApplyConfiguration, admissionv1.PatchTypeJSONPatch)
	for _, way := range []struct {
		name   string
		of     admissionv1.PatchType
		set    bool
		text   string
		result expression.Kind
	}{
		{"applyConfiguration", admissionv1.PatchTypeApplyConfiguration, m.ApplyConfiguration != nil, expressionOf(m.ApplyConfiguration), expression.Object},
		{"jsonPatch", admissionv1.PatchTypeJSONPatch, m.JSONPatch != nil, expressionOf((*admissionv1.ApplyConfiguration)(m.JSONPatch)), expression.Patches},
	} {
		at := path.Child(way.name)
		switch wanted := way.of == m.PatchType; {
		case wanted && !way.set:
			errs = append(errs, field.Required(at, "must be specified when patchType is "+string(way.of)))
		case !wanted && way.set:
			errs = append(errs, field.Invalid(at, "{"+way.name+"}", "must not be specified when patchType is "+string(m.PatchType)))
		case wanted:
			errs = append(errs, validateExpression(way.text, scope, way.result, at.Child("expression"))...)
		}
	}
	return errs
}

func expressionOf(a *admissionv1.ApplyConfiguration) string {
	if a == nil {
		return ""
	}
	return a.Expression
}

func validateBinding(policy string, param *admissionv1.ParamRef, match *admissionv1.MatchResources, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if policy == "" {
		errs = append(errs, field.Required(path.Child("policyName"), ""))
	} else {
		errs = append(errs, kind.Invalids(path.Child("policyName"), policy, validation.NameIsDNSSubdomain(policy, false))...)
	}
	errs = append(errs, validateParamRef(param, path.Child("paramRef"))...)
	return append(errs, validateMatch(match, false, path.Child("matchResources"))...)
}

func validateParamRef(p *admissionv1.ParamRef, path *field.Path) field.ErrorList {
	if p == nil {
		return nil
	}
	var errs field.ErrorList
	switch {
	case p.Name != "" && p.Selector != nil:
		errs = append(errs, field.Forbidden(path.Child("name"), "name and selector are mutually exclusive"))
	case p.Name != "":
		errs = append(errs, kind.Invalids(path.Child("name"), p.Name, validation.NameIsDNSSubdomain(p.Name, false))...)
	case p.Selector != nil:
		errs = append(errs, validateSelector(p.Selector, path.Child("selector"))...)
	default:
		errs = append(errs, field.Required(path, "one of name or selector must be specified"))
	}
	if p.ParameterNotFoundAction == nil {
		return append(errs, field.Required(path.Child("parameterNotFoundAction"), ""))
	}
	return append(errs, kind.OneOf(*p.ParameterNotFoundAction, path.Child("parameterNotFoundAction"), admissionv1.AllowAction, admissionv1.DenyAction)...)
}

func validateActions(actions []admissionv1.ValidationAction, path *field.Path) field.ErrorList {
	if len(actions) == 0 {
		return field.ErrorList{field.Required(path, "at least one validation action is required")}
	}
	var errs field.ErrorList
	for i, a := range actions {
		errs = append(errs, kind.OneOf(a, path.Index(i), admissionv1.Audit, admissionv1.Deny, admissionv1.Warn)...)
		if slices.Contains(actions[:i], a) {
			errs = append(errs, field.Duplicate(path.Index(i), a))
		}
	}
	if slices.Contains(actions, admissionv1.Deny) && slices.Contains(actions, admissionv1.Warn) {
		errs = append(errs, field.Invalid(path, actions, "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)"))
	}
	return errs
}
