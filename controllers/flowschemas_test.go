package controllers

import (
	"testing"
	"time"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestFlowSchemasKnowTheirLevels: a schema's status follows its level's coming and going.
func TestFlowSchemasKnowTheirLevels(t *testing.T) {
	inWorld(t, 0, nil, func(w *world) {
		dangling := func(name string) string {
			for _, c := range get[*flowcontrolv1.FlowSchema](w, "", name).Status.Conditions {
				if c.Type == flowcontrolv1.FlowSchemaConditionDangling {
					return string(c.Status) + " " + c.Reason
				}
			}
			return "unsaid"
		}
		expect := func(name, want, when string) {
			t.Helper()
			w.Tick(time.Second)
			if got := dangling(name); got != want {
				t.Errorf("%s: %s is %q, want %q", when, name, got, want)
			}
		}
		create(w, &flowcontrolv1.FlowSchema{ObjectMeta: meta("", "mine"), Spec: flowcontrolv1.FlowSchemaSpec{
			MatchingPrecedence: 5000, PriorityLevelConfiguration: flowcontrolv1.PriorityLevelConfigurationReference{Name: "later"}}})
		expect("mine", "True NotFound", "without a level")
		none := int32(1)
		create(w, &flowcontrolv1.PriorityLevelConfiguration{ObjectMeta: meta("", "later"), Spec: flowcontrolv1.PriorityLevelConfigurationSpec{
			Type: flowcontrolv1.PriorityLevelEnablementLimited, Limited: &flowcontrolv1.LimitedPriorityLevelConfiguration{
				NominalConcurrencyShares: &none, LimitResponse: flowcontrolv1.LimitResponse{Type: flowcontrolv1.LimitResponseTypeReject}}}})
		expect("mine", "False Found", "with its level")
		expect("catch-all", "False Found", "of those that every cluster has")
		remove[*flowcontrolv1.PriorityLevelConfiguration](w, "", "later", metav1.DeletePropagationBackground)
		expect("mine", "True NotFound", "when its level is gone")
	})
}
