package scheduling

import (
	"testing"

	schedulingv1 "k8s.io/api/scheduling/v1"

	"github.com/miniorch/miniorch/apiserver/registry/kindtest"
)

func TestPriorityClasses(t *testing.T) {
	for _, c := range []struct {
		name, class string
		want        []string
	}{
		{"good", "{metadata: {name: a}, value: 1000000000, preemptionPolicy: Never}", nil},
		{"negative", "{metadata: {name: a}, value: -5}", nil},
		{"too high", "{metadata: {name: a}, value: 1000000001}", []string{"value: Forbidden: maximum allowed value"}},
		{"policy", "{metadata: {name: a}, preemptionPolicy: Always}", []string{"preemptionPolicy: Unsupported value"}},
		{"reserved", "{metadata: {name: system-mine}, value: 1}", []string{"metadata.name: Forbidden: priority class names with 'system-' prefix"}},
		{"built in", "{metadata: {name: system-node-critical}, value: 2000001000}", nil},
		{"built in, otherwise", "{metadata: {name: system-node-critical}, value: 7}", []string{"metadata.name: Forbidden"}},
		{"built in as the default", "{metadata: {name: system-node-critical}, value: 2000001000, globalDefault: true}", []string{"metadata.name: Forbidden"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			kindtest.WantErrors(t, validatePriorityClass(kindtest.From[schedulingv1.PriorityClass](t, c.class)), c.want...)
		})
	}
}

func TestPriorityClassUpdates(t *testing.T) {
	old := kindtest.From[schedulingv1.PriorityClass](t, "{metadata: {name: a}, value: 5, preemptionPolicy: Never}")
	for _, c := range []struct {
		name, class string
		want        []string
	}{
		{"description", "{metadata: {name: a}, value: 5, preemptionPolicy: Never, description: x, globalDefault: true}", nil},
		{"value", "{metadata: {name: a}, value: 6, preemptionPolicy: Never}", []string{"value: Forbidden: may not be changed in an update."}},
		{"policy", "{metadata: {name: a}, value: 5, preemptionPolicy: PreemptLowerPriority}", []string{"preemptionPolicy: Invalid value"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			kindtest.WantErrors(t, validatePriorityClassUpdate(kindtest.From[schedulingv1.PriorityClass](t, c.class), old), c.want...)
		})
	}
}

func TestBuiltinClassesAreValid(t *testing.T) {
	for _, c := range Builtin() {
		kindtest.WantErrors(t, validatePriorityClass(c))
	}
}
