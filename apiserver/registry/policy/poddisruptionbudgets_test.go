package policy

import (
	"testing"
	"time"

	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/apiserver/registry/kindtest"
)

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		name, spec string
		want       []string
	}{
		{"a number", "{minAvailable: 2, selector: {matchLabels: {app: web}}}", nil},
		{"a part", "{maxUnavailable: 30%, selector: {}, unhealthyPodEvictionPolicy: AlwaysAllow}", nil},
		{"neither", "{}", nil},
		{"both", "{minAvailable: 1, maxUnavailable: 1}", []string{"minAvailable and maxUnavailable cannot be both set"}},
		{"too much", "{minAvailable: 101%}", []string{"spec.minAvailable: Invalid value: \"101%\": must not be greater than 100%"}},
		{"less than nothing", "{maxUnavailable: -1}", []string{"spec.maxUnavailable: Invalid value: -1"}},
		{"no number", "{maxUnavailable: some}", []string{"spec.maxUnavailable: Invalid value: \"some\": must be an integer or percentage"}},
		{"selector", "{selector: {matchLabels: {a: '-'}}}", []string{"spec.selector.matchLabels: Invalid value: \"-\""}},
		{"policy", "{unhealthyPodEvictionPolicy: Sometimes}", []string{"spec.unhealthyPodEvictionPolicy: Unsupported value: \"Sometimes\""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			kindtest.WantErrors(t, validateBudget(kindtest.From[policyv1.PodDisruptionBudget](t, "spec: "+c.spec)), c.want...)
		})
	}
}

func TestValidateStatus(t *testing.T) {
	b := kindtest.From[policyv1.PodDisruptionBudget](t, "status: {disruptionsAllowed: -1, currentHealthy: 2, desiredHealthy: 3, expectedPods: 5, conditions: [{type: DisruptionAllowed, status: Maybe, reason: R, lastTransitionTime: '2026-01-01T00:00:00Z'}]}")
	kindtest.WantErrors(t, validateBudgetStatus(b, b), "status.disruptionsAllowed: Invalid value: -1", "status.conditions[0].status: Unsupported value: \"Maybe\"")
}

func TestGenerationCountsTheSpec(t *testing.T) {
	old := kindtest.From[policyv1.PodDisruptionBudget](t, "{metadata: {generation: 3}, spec: {minAvailable: 1}, status: {currentHealthy: 2}}")
	b := kindtest.From[policyv1.PodDisruptionBudget](t, "{metadata: {generation: 9, labels: {a: b}}, spec: {minAvailable: 1}}")
	prepareUpdate(b, old)
	if b.Generation != 3 || b.Status.CurrentHealthy != 2 {
		t.Errorf("a label: generation %d and status %v, want them kept", b.Generation, b.Status)
	}
	b.Spec.MinAvailable.IntVal = 2
	prepareUpdate(b, old)
	if b.Generation != 4 {
		t.Errorf("a spec: generation %d, want 4", b.Generation)
	}
}

func TestColumns(t *testing.T) {
	b := kindtest.From[policyv1.PodDisruptionBudget](t, "{metadata: {name: web}, spec: {minAvailable: 50%}, status: {disruptionsAllowed: 2}}")
	now := time.Now()
	b.CreationTimestamp = metav1.NewTime(now.Add(-time.Minute))
	if got, want := kindtest.Row(budgetColumns(), b, now, false), "web | 50% | N/A | 2 | 60s"; got != want {
		t.Errorf("row %q, want %q", got, want)
	}
}

func TestWarnsOfSelectingEverything(t *testing.T) {
	b := kindtest.From[policyv1.PodDisruptionBudget](t, "spec: {selector: {}}")
	if len(warnBudget(b, nil, false)) != 1 || len(warnBudget(b, b, true)) != 0 {
		t.Error("want one warning when the selector is written, and none when it stays")
	}
}
