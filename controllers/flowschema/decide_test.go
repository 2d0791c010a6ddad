package flowschema

import (
	"testing"
	"time"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
)

func TestDecide(t *testing.T) {
	begin := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	later := begin.Add(time.Hour)
	naming := func(level string) *flowcontrolv1.FlowSchema {
		return &flowcontrolv1.FlowSchema{Spec: flowcontrolv1.FlowSchemaSpec{
			PriorityLevelConfiguration: flowcontrolv1.PriorityLevelConfigurationReference{Name: level}}}
	}
	// told is a schema of which it was said at the beginning whether its level exists.
	told := func(level string, exists bool) *flowcontrolv1.FlowSchema {
		s := naming(level)
		s.Status.Conditions = []flowcontrolv1.FlowSchemaCondition{{Type: "Other"}}
		s.Status.Conditions = decide(s, exists, begin).conditions(s)
		return s
	}
	renamed := told("a", true)
	renamed.Spec.PriorityLevelConfiguration.Name = "b"
	for _, c := range []struct {
		name, reason string
		have         *flowcontrolv1.FlowSchema
		exists       bool
		want         string
		since        time.Time
	}{
		{"new", "nobody has said anything yet", naming("a"), true, "Dangling=False Found", later},
		{"new, missing", "it points nowhere", naming("a"), false, "Dangling=True NotFound", later},
		{"known", "nothing changes", told("a", true), true, "nothing", begin},
		{"level gone", "the condition turns", told("a", true), false, "Dangling=True NotFound", later},
		{"level made", "the condition turns", told("a", false), true, "Dangling=False Found", later},
		{"another level", "the message names it, and since when is as it was", renamed, true, "Dangling=False Found", begin},
	} {
		t.Run(c.name, func(t *testing.T) {
			plan := decide(c.have, c.exists, later)
			if got := plan.String(); got != c.want {
				t.Fatalf("%s: %q, want %q", c.reason, got, c.want)
			}
			if plan.Condition == nil {
				return
			}
			all := plan.conditions(c.have)
			if len(all) != max(1, len(c.have.Status.Conditions)) || !all[len(all)-1].LastTransitionTime.Time.Equal(c.since) {
				t.Errorf("%s: %+v", c.reason, all)
			}
		})
	}
}
