package flowcontrol

import (
	"fmt"
	"math"
	"slices"
	"strings"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
)

const (
	maxQueues  = 10_000_000
	maxEntropy = 60 // bits that dealing one hand may need
)

var verbs = []string{"create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch", flowcontrolv1.VerbAll}
var urlVerbs = []string{"delete", "get", "head", "options", "patch", "post", "put", "trace", flowcontrolv1.VerbAll}

func validateSchema(s *flowcontrolv1.FlowSchema) field.ErrorList {
	path := field.NewPath("spec")
	if fixed := mandatorySchema(s.Name); fixed != nil && !equality.Semantic.DeepEqual(fixed.Spec, s.Spec) {
		return field.ErrorList{field.Invalid(path, s.Spec, fmt.Sprintf("spec of '%s' must equal the fixed value", s.Name))}
	}
	var errs field.ErrorList
	at := path.Child("matchingPrecedence")
	switch n := s.Spec.MatchingPrecedence; {
	case n <= 0:
		errs = append(errs, field.Invalid(at, n, "must be a positive value"))
	case n > flowcontrolv1.FlowSchemaMaxMatchingPrecedence:
		errs = append(errs, field.Invalid(at, n, fmt.Sprintf("must not be greater than %d", flowcontrolv1.FlowSchemaMaxMatchingPrecedence)))
	case n == 1 && s.Name != flowcontrolv1.FlowSchemaNameExempt:
		errs = append(errs, field.Invalid(at, n, "only the schema named 'exempt' may have matchingPrecedence 1"))
	}
	if d := s.Spec.DistinguisherMethod; d != nil {
		errs = append(errs, kind.OneOf(d.Type, path.Child("distinguisherMethod", "type"),
			flowcontrolv1.FlowDistinguisherMethodByNamespaceType, flowcontrolv1.FlowDistinguisherMethodByUserType)...)
	}
	at = path.Child("priorityLevelConfiguration", "name")
	if name := s.Spec.PriorityLevelConfiguration.Name; name == "" {
		errs = append(errs, field.Required(at, "must reference a priority level"))
	} else {
		errs = append(errs, kind.Invalids(at, name, validation.NameIsDNSSubdomain(name, false))...)
	}
	for i, r := range s.Spec.Rules {
		errs = append(errs, validateRule(r, path.Child("rules").Index(i))...)
	}
	return errs
}

func validateRule(r flowcontrolv1.PolicyRulesWithSubjects, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(r.Subjects) == 0 {
		errs = append(errs, field.Required(path.Child("subjects"), "subjects must contain at least one value"))
	}
	for i, s := range r.Subjects {
		errs = append(errs, validateSubject(s, path.Child("subjects").Index(i))...)
	}
	if len(r.ResourceRules)+len(r.NonResourceRules) == 0 {
		errs = append(errs, field.Required(path, "at least one of resourceRules and nonResourceRules has to be non-empty"))
	}
	for i, one := range r.ResourceRules {
		at := path.Child("resourceRules").Index(i)
		errs = append(errs, validateWords(one.Verbs, verbs, at.Child("verbs"))...)
		errs = append(errs, validateSet(one.APIGroups, at.Child("apiGroups"))...)
		errs = append(errs, validateSet(one.Resources, at.Child("resources"))...)
		errs = append(errs, validateNamespaces(one, at)...)
	}
	for i, one := range r.NonResourceRules {
		at := path.Child("nonResourceRules").Index(i)
		errs = append(errs, validateWords(one.Verbs, urlVerbs, at.Child("verbs"))...)
		errs = append(errs, validateURLs(one.NonResourceURLs, at.Child("nonResourceURLs"))...)
	}
	return errs
}

func validateSubject(s flowcontrolv1.Subject, path *field.Path) field.ErrorList {
	errs := kind.OneOf(s.Kind, path.Child("kind"), flowcontrolv1.SubjectKindGroup, flowcontrolv1.SubjectKindServiceAccount, flowcontrolv1.SubjectKindUser)
	if len(errs) > 0 {
		return errs
	}
	for _, one := range []struct {
		kind flowcontrolv1.SubjectKind
		name string
		set  bool
	}{{flowcontrolv1.SubjectKindUser, "user", s.User != nil}, {flowcontrolv1.SubjectKindGroup, "group", s.Group != nil},
		{flowcontrolv1.SubjectKindServiceAccount, "serviceAccount", s.ServiceAccount != nil}} {
		switch {
		case one.kind == s.Kind && !one.set:
			errs = append(errs, field.Required(path.Child(one.name), fmt.Sprintf("%s is required when subject kind is '%s'", one.name, s.Kind)))
		case one.kind != s.Kind && one.set:
			errs = append(errs, field.Forbidden(path.Child(one.name), fmt.Sprintf("%s is forbidden when subject kind is not '%s'", one.name, one.kind)))
		}
	}
	if len(errs) > 0 {
		return errs
	}
	switch {
	case s.User != nil && s.User.Name == "":
		errs = append(errs, field.Required(path.Child("user", "name"), ""))
	case s.Group != nil && s.Group.Name == "":
		errs = append(errs, field.Required(path.Child("group", "name"), ""))
	case s.ServiceAccount != nil:
		errs = append(errs, validateAccount(s.ServiceAccount, path.Child("serviceAccount"))...)
	}
	return errs
}

func validateAccount(a *flowcontrolv1.ServiceAccountSubject, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if a.Name == "" {
		errs = append(errs, field.Required(path.Child("name"), ""))
	} else if a.Name != flowcontrolv1.NameAll {
		errs = append(errs, kind.Invalids(path.Child("name"), a.Name, validation.ValidateServiceAccountName(a.Name, false))...)
	}
	if a.Namespace == "" {
		return append(errs, field.Required(path.Child("namespace"), "must specify namespace for service account"))
	}
	return append(errs, kind.Invalids(path.Child("namespace"), a.Namespace, validation.ValidateNamespaceName(a.Namespace, false))...)
}

// validateSet wants something, or everything alone.
func validateSet(all []string, path *field.Path) field.ErrorList {
	what := path.String()[strings.LastIndex(path.String(), ".")+1:]
	switch {
	case len(all) == 0:
		return field.ErrorList{field.Required(path, what+" must contain at least one value")}
	case len(all) > 1 && slices.Contains(all, "*"):
		return field.ErrorList{field.Invalid(path, all, "if '*' is present, must not specify other "+what)}
	}
	return nil
}

func validateWords(words, allowed []string, path *field.Path) field.ErrorList {
	errs := validateSet(words, path)
	for i, w := range words {
		errs = append(errs, kind.OneOf(w, path.Index(i), allowed...)...)
	}
	return errs
}

func validateNamespaces(r flowcontrolv1.ResourcePolicyRule, path *field.Path) field.ErrorList {
	at := path.Child("namespaces")
	if len(r.Namespaces) == 0 && !r.ClusterScope {
		return field.ErrorList{field.Required(at, "resource rules that are not cluster scoped must supply at least one namespace")}
	}
	if slices.Contains(r.Namespaces, flowcontrolv1.NamespaceEvery) {
		if len(r.Namespaces) > 1 {
			return field.ErrorList{field.Invalid(at, r.Namespaces, "may not contain both '*' and other values")}
		}
		return nil
	}
	var errs field.ErrorList
	for i, ns := range r.Namespaces {
		errs = append(errs, kind.Invalids(at.Index(i), ns, validation.ValidateNamespaceName(ns, false))...)
	}
	return errs
}

func validateURLs(urls []string, path *field.Path) field.ErrorList {
	errs := validateSet(urls, path)
	for i, url := range urls {
		at := path.Index(i)
		switch {
		case url == flowcontrolv1.NonResourceAll:
		case !strings.HasPrefix(url, "/"):
			errs = append(errs, field.Invalid(at, url, "must start with slash"))
		case strings.ContainsRune(url, ' '):
			errs = append(errs, field.Invalid(at, url, "must not contain white-space"))
		case strings.Contains(url, "//"):
			errs = append(errs, field.Invalid(at, url, "must not contain double slash"))
		case strings.Contains(strings.TrimSuffix(url, "*"), "*") || strings.HasSuffix(url, "*") && !strings.HasSuffix(url, "/*"):
			errs = append(errs, field.Invalid(at, url, "wildcard can only do suffix matching"))
		}
	}
	return errs
}

func validateLevel(l *flowcontrolv1.PriorityLevelConfiguration) field.ErrorList {
	path := field.NewPath("spec")
	if fixed := mandatoryLevel(l.Name); fixed != nil && !equality.Semantic.DeepEqual(loose(fixed.Spec), loose(l.Spec)) {
		return field.ErrorList{field.Invalid(path, l.Spec, fmt.Sprintf("spec of '%s' except the fields that may be tuned must equal the fixed value", l.Name))}
	}
	switch l.Spec.Type {
	case flowcontrolv1.PriorityLevelEnablementExempt:
		if l.Spec.Limited != nil {
			return field.ErrorList{field.Forbidden(path.Child("limited"), "must be nil if the type is not Limited")}
		}
		if e := l.Spec.Exempt; e != nil {
			return validateShares(e.NominalConcurrencyShares, e.LendablePercent, path.Child("exempt"))
		}
		return nil
	case flowcontrolv1.PriorityLevelEnablementLimited:
		if l.Spec.Exempt != nil {
			return field.ErrorList{field.Forbidden(path.Child("exempt"), "must be nil if the type is Limited")}
		}
		if l.Spec.Limited == nil {
			return field.ErrorList{field.Required(path.Child("limited"), "must not be empty when type is Limited")}
		}
		return validateLimited(l.Spec.Limited, path.Child("limited"))
	}
	return kind.OneOf(l.Spec.Type, path.Child("type"), flowcontrolv1.PriorityLevelEnablementExempt, flowcontrolv1.PriorityLevelEnablementLimited)
}

// loose leaves out what may be tuned of the levels that every cluster has.
func loose(spec flowcontrolv1.PriorityLevelConfigurationSpec) flowcontrolv1.PriorityLevelConfigurationSpec {
	if spec.Exempt != nil {
		spec.Exempt = nil
	}
	return spec
}

func validateShares(shares, lendable *int32, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if shares != nil && *shares < 0 {
		errs = append(errs, field.Invalid(path.Child("nominalConcurrencyShares"), *shares, "must be a non-negative integer"))
	}
	if lendable != nil && (*lendable < 0 || *lendable > 100) {
		errs = append(errs, field.Invalid(path.Child("lendablePercent"), *lendable, "must be between 0 and 100, inclusive"))
	}
	return errs
}

func validateLimited(l *flowcontrolv1.LimitedPriorityLevelConfiguration, path *field.Path) field.ErrorList {
	errs := validateShares(l.NominalConcurrencyShares, l.LendablePercent, path)
	if b := l.BorrowingLimitPercent; b != nil && *b < 0 {
		errs = append(errs, field.Invalid(path.Child("borrowingLimitPercent"), *b, "if specified, must be a non-negative integer"))
	}
	at := path.Child("limitResponse")
	queuing := l.LimitResponse.Queuing
	switch l.LimitResponse.Type {
	case flowcontrolv1.LimitResponseTypeReject:
		if queuing != nil {
			errs = append(errs, field.Forbidden(at.Child("queuing"), "must be nil if limited.limitResponse.type is not Limited"))
		}
	case flowcontrolv1.LimitResponseTypeQueue:
		if queuing == nil {
			return append(errs, field.Required(at.Child("queuing"), "must not be empty if limited.limitResponse.type is Limited"))
		}
		errs = append(errs, validateQueuing(queuing, at.Child("queuing"))...)
	default:
		errs = append(errs, kind.OneOf(l.LimitResponse.Type, at.Child("type"), flowcontrolv1.LimitResponseTypeQueue, flowcontrolv1.LimitResponseTypeReject)...)
	}
	return errs
}

func validateQueuing(q *flowcontrolv1.QueuingConfiguration, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, number := range []struct {
		name  string
		value int32
	}{{"queueLengthLimit", q.QueueLengthLimit}, {"queues", q.Queues}, {"handSize", q.HandSize}} {
		if number.value <= 0 {
			errs = append(errs, field.Invalid(path.Child(number.name), number.value, "must be positive"))
		}
	}
	switch {
	case len(errs) > 0:
	case q.Queues > maxQueues:
		errs = append(errs, field.Invalid(path.Child("queues"), q.Queues, fmt.Sprintf("must not be greater than %d", maxQueues)))
	case q.HandSize > q.Queues:
		errs = append(errs, field.Invalid(path.Child("handSize"), q.HandSize, fmt.Sprintf("should not be greater than queues (%d)", q.Queues)))
	case entropy(q.Queues, q.HandSize) > maxEntropy:
		errs = append(errs, field.Invalid(path.Child("handSize"), q.HandSize,
			fmt.Sprintf("required entropy bits of deckSize %d and handSize %d should not be greater than %d", q.Queues, q.HandSize, maxEntropy)))
	}
	return errs
}

// entropy is how many bits it takes to deal one hand of so many queues.
func entropy(queues, hand int32) int {
	return int(math.Ceil(math.Log2(float64(queues)) * float64(hand)))
}

func validateSchemaStatus(s, _ *flowcontrolv1.FlowSchema) field.ErrorList {
	var errs field.ErrorList
	seen := map[flowcontrolv1.FlowSchemaConditionType]bool{}
	for i, c := range s.Status.Conditions {
		errs = append(errs, validateCondition(c.Type, seen, field.NewPath("status", "conditions").Index(i))...)
	}
	return errs
}

func validateLevelStatus(l, _ *flowcontrolv1.PriorityLevelConfiguration) field.ErrorList {
	var errs field.ErrorList
	seen := map[flowcontrolv1.PriorityLevelConfigurationConditionType]bool{}
	for i, c := range l.Status.Conditions {
		errs = append(errs, validateCondition(c.Type, seen, field.NewPath("status", "conditions").Index(i))...)
	}
	return errs
}

func validateCondition[T ~string](t T, seen map[T]bool, path *field.Path) field.ErrorList {
	switch {
	case t == "":
		return field.ErrorList{field.Required(path.Child("type"), "must not be empty")}
	case seen[t]:
		return field.ErrorList{field.Duplicate(path.Child("type"), t)}
	}
	seen[t] = true
	return nil
}
