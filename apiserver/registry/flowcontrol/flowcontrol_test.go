package flowcontrol

import (
	"testing"
	"time"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/miniorch/miniorch/apiserver/registry/kindtest"
)

func TestSchemas(t *testing.T) {
	const rule = "subjects: [{kind: User, user: {name: u}}], resourceRules: [{verbs: [get], apiGroups: [''], resources: [pods], namespaces: [default]}]"
	for _, c := range []struct {
		name, spec, reason string
		want               []string
	}{
		{"good", "{priorityLevelConfiguration: {name: a}, distinguisherMethod: {type: ByUser}, rules: [{" + rule + "}]}", "one rule", nil},
		{"no rules", "{priorityLevelConfiguration: {name: a}}", "it matches nothing", nil},
		{"no level", "{}", "requests go somewhere", []string{"spec.priorityLevelConfiguration.name: Required value: must reference a priority level"}},
		{"precedence", "{priorityLevelConfiguration: {name: a}, matchingPrecedence: 10001}", "up to ten thousand", []string{"must not be greater than 10000"}},
		{"first", "{priorityLevelConfiguration: {name: a}, matchingPrecedence: 1}", "administrators come first", []string{"only the schema named 'exempt' may have matchingPrecedence 1"}},
		{"method", "{priorityLevelConfiguration: {name: a}, distinguisherMethod: {type: ByShoe}}", "user or namespace", []string{"spec.distinguisherMethod.type: Unsupported value: \"ByShoe\""}},
		{"empty rule", "{priorityLevelConfiguration: {name: a}, rules: [{}]}", "somebody does something", []string{"rules[0].subjects: Required value", "rules[0]: Required value: at least one of resourceRules and nonResourceRules"}},
		{"subjects", "{priorityLevelConfiguration: {name: a}, rules: [{subjects: [{kind: Cat}, {kind: User}, {kind: Group, group: {name: g}, user: {name: u}}, {kind: ServiceAccount, serviceAccount: {name: '*'}}], nonResourceRules: [{verbs: [get], nonResourceURLs: ['/*']}]}]}",
			"each kind has its part", []string{"subjects[0].kind: Unsupported value", "subjects[1].user: Required value", "subjects[2].user: Forbidden", "subjects[3].serviceAccount.namespace: Required value"}},
		{"resources", "{priorityLevelConfiguration: {name: a}, rules: [{subjects: [{kind: User, user: {name: u}}], resourceRules: [{verbs: ['*', get], apiGroups: [], resources: ['*', pods]}, {verbs: [sing], apiGroups: ['*'], resources: ['*'], namespaces: ['*', a]}]}]}",
			"all, or some", []string{"resourceRules[0].verbs: Invalid value", "resourceRules[0].apiGroups: Required value", "resourceRules[0].resources: Invalid value", "resourceRules[0].namespaces: Required value",
				"resourceRules[1].verbs[0]: Unsupported value: \"sing\"", "resourceRules[1].namespaces: Invalid value"}},
		{"URLs", "{priorityLevelConfiguration: {name: a}, rules: [{subjects: [{kind: User, user: {name: u}}], nonResourceRules: [{verbs: [watch], nonResourceURLs: [a, '/a b', //, '/a*', '/*/b', '/b/*']}]}]}",
			"paths with a star at their end", []string{"verbs[0]: Unsupported value: \"watch\"", "must start with slash", "must not contain white-space", "must not contain double slash", "wildcard can only do suffix matching", "wildcard can only do suffix matching"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := kindtest.From[flowcontrolv1.FlowSchema](t, "{metadata: {name: s}, spec: "+c.spec+"}")
			defaultSchema(s)
			kindtest.WantErrors(t, validateSchema(s), c.want...)
		})
	}
}

func TestLevels(t *testing.T) {
	for _, c := range []struct {
		name, spec, reason string
		want               []string
	}{
		{"good", "{type: Limited, limited: {limitResponse: {type: Queue, queuing: {}}}}", "defaults do", nil},
		{"reject", "{type: Limited, limited: {nominalConcurrencyShares: 0, limitResponse: {type: Reject}}}", "nothing waits", nil},
		{"exempt", "{type: Exempt}", "nothing is limited", nil},
		{"type", "{type: Some}", "one of two", []string{"spec.type: Unsupported value: \"Some\""}},
		{"limited by nothing", "{type: Limited}", "how?", []string{"spec.limited: Required value: must not be empty when type is Limited"}},
		{"both", "{type: Exempt, limited: {}}", "one of two", []string{"spec.limited: Forbidden: must be nil if the type is not Limited"}},
		{"the other", "{type: Limited, exempt: {}}", "one of two", []string{"spec.exempt: Forbidden"}},
		{"numbers", "{type: Limited, limited: {nominalConcurrencyShares: -1, lendablePercent: 101, borrowingLimitPercent: -1, limitResponse: {type: Queue, queuing: {queues: -1, handSize: 1}}}}", "shares and percents",
			[]string{"nominalConcurrencyShares: Invalid value: -1", "lendablePercent: Invalid value: 101", "borrowingLimitPercent: Invalid value: -1", "queuing.queues: Invalid value: -1"}},
		{"hand", "{type: Limited, limited: {limitResponse: {type: Queue, queuing: {queues: 4, handSize: 5}}}}", "no more than there are", []string{"should not be greater than queues (4)"}},
		{"entropy", "{type: Limited, limited: {limitResponse: {type: Queue, queuing: {queues: 128, handSize: 10}}}}", "a hash has 60 bits", []string{"required entropy bits of deckSize 128 and handSize 10 should not be greater than 60"}},
		{"response", "{type: Limited, limited: {limitResponse: {type: Reject, queuing: {}}}}", "nothing waits", []string{"queuing: Forbidden"}},
		{"no queues", "{type: Limited, limited: {limitResponse: {type: Queue}}}", "where?", []string{"queuing: Required value"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := kindtest.From[flowcontrolv1.PriorityLevelConfiguration](t, "{metadata: {name: l}, spec: "+c.spec+"}")
			defaultLevel(l)
			kindtest.WantErrors(t, validateLevel(l), c.want...)
		})
	}
}

// TestBuiltin: what a cluster starts with is valid, complete as it is, and refers to levels
// that there are.
func TestBuiltin(t *testing.T) {
	levels := map[string]bool{}
	for _, l := range Levels() {
		whole := l.DeepCopy()
		defaultLevel(whole)
		kindtest.WantErrors(t, validateLevel(l))
		if levels[l.Name] || !equality.Semantic.DeepEqual(l, whole) {
			t.Errorf("level %s is there twice, or lacks defaults", l.Name)
		}
		levels[l.Name] = true
	}
	seen := map[string]bool{}
	for _, s := range Schemas() {
		kindtest.WantErrors(t, validateSchema(s))
		if seen[s.Name] || !levels[s.Spec.PriorityLevelConfiguration.Name] {
			t.Errorf("schema %s is there twice, or its level %s is not", s.Name, s.Spec.PriorityLevelConfiguration.Name)
		}
		seen[s.Name] = true
	}
	changed := Schemas()[0]
	changed.Spec.Rules = nil
	kindtest.WantErrors(t, validateSchema(changed), "spec of 'exempt' must equal the fixed value")
	tuned := Levels()[0]
	*tuned.Spec.Exempt.LendablePercent = 5
	kindtest.WantErrors(t, validateLevel(tuned))
	tuned.Spec.Type = flowcontrolv1.PriorityLevelEnablementLimited
	kindtest.WantErrors(t, validateLevel(tuned), "must equal the fixed value")
}

func TestColumns(t *testing.T) {
	now := time.Now()
	if got, want := kindtest.Row(schemaColumns(), Schemas()[0], now, true), "exempt | exempt | 1 | <none> | <unknown> | ?"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for i, want := range []string{"exempt | Exempt | 0 | <none> | <none> | <none> | <unknown>", "catch-all | Limited | 5 | <none> | <none> | <none> | <unknown>", "system | Limited | 30 | 64 | 6 | 50 | <unknown>"} {
		if got := kindtest.Row(levelColumns(), Levels()[i], now, true); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
