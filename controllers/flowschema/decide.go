package flowschema

import (
	"fmt"
	"slices"
	"time"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Plan is the condition that one schema should have; nil: it has it.
type Plan struct {
	Condition *flowcontrolv1.FlowSchemaCondition
}

// String prints the plan.
func (p Plan) String() string {
	if p.Condition == nil {
		return "nothing"
	}
	return fmt.Sprintf("%s=%s %s", p.Condition.Type, p.Condition.Status, p.Condition.Reason)
}

// decide compares what a schema says of its level with whether there is one.
func decide(have *flowcontrolv1.FlowSchema, exists bool, now time.Time) Plan {
	want := flowcontrolv1.FlowSchemaCondition{Type: flowcontrolv1.FlowSchemaConditionDangling, LastTransitionTime: metav1.NewTime(now)}
	level := have.Spec.PriorityLevelConfiguration.Name
	if exists {
		want.Status, want.Reason = flowcontrolv1.ConditionFalse, "Found"
		want.Message = fmt.Sprintf("This FlowSchema references the PriorityLevelConfiguration object named %q and it exists", level)
	} else {
		want.Status, want.Reason = flowcontrolv1.ConditionTrue, "NotFound"
		want.Message = fmt.Sprintf("This FlowSchema references the PriorityLevelConfiguration object named %q but there is no such object", level)
	}
	i := indexOf(have.Status.Conditions)
	if i < 0 {
		return Plan{Condition: &want}
	}
	is := have.Status.Conditions[i]
	if is.Status == want.Status {
		want.LastTransitionTime = is.LastTransitionTime
	}
	if is == want {
		return Plan{}
	}
	return Plan{Condition: &want}
}

func indexOf(conditions []flowcontrolv1.FlowSchemaCondition) int {
	return slices.IndexFunc(conditions, func(c flowcontrolv1.FlowSchemaCondition) bool {
		return c.Type == flowcontrolv1.FlowSchemaConditionDangling
	})
}

// conditions are a schema's, with the planned one among them.
func (p Plan) conditions(have *flowcontrolv1.FlowSchema) []flowcontrolv1.FlowSchemaCondition {
	all := slices.Clone(have.Status.Conditions)
	if i := indexOf(all); i >= 0 {
		all[i] = *p.Condition
		return all
	}
	return append(all, *p.Condition)
}
