package nodelifecycle

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/pkg/api"
)

// rule ties one taint to the state of a node that calls for it.
type rule struct {
	key    string
	effect corev1.TaintEffect
	calls  func(n *corev1.Node) bool
}

// rules are all taints that this controller sets and removes; it touches no other.
var rules = []rule{
	{corev1.TaintNodeNotReady, corev1.TaintEffectNoSchedule, func(n *corev1.Node) bool { return is(n, corev1.NodeReady, corev1.ConditionFalse, "") }},
	{corev1.TaintNodeNotReady, corev1.TaintEffectNoExecute, func(n *corev1.Node) bool { return is(n, corev1.NodeReady, corev1.ConditionFalse) }},
	{corev1.TaintNodeUnreachable, corev1.TaintEffectNoSchedule, func(n *corev1.Node) bool { return is(n, corev1.NodeReady, corev1.ConditionUnknown) }},
	{corev1.TaintNodeUnreachable, corev1.TaintEffectNoExecute, func(n *corev1.Node) bool { return is(n, corev1.NodeReady, corev1.ConditionUnknown) }},
	{corev1.TaintNodeUnschedulable, corev1.TaintEffectNoSchedule, func(n *corev1.Node) bool { return n.Spec.Unschedulable }},
	{corev1.TaintNodeMemoryPressure, corev1.TaintEffectNoSchedule, func(n *corev1.Node) bool { return is(n, corev1.NodeMemoryPressure, corev1.ConditionTrue) }},
	{corev1.TaintNodeDiskPressure, corev1.TaintEffectNoSchedule, func(n *corev1.Node) bool { return is(n, corev1.NodeDiskPressure, corev1.ConditionTrue) }},
	{corev1.TaintNodePIDPressure, corev1.TaintEffectNoSchedule, func(n *corev1.Node) bool { return is(n, corev1.NodePIDPressure, corev1.ConditionTrue) }},
	{corev1.TaintNodeNetworkUnavailable, corev1.TaintEffectNoSchedule, func(n *corev1.Node) bool { return is(n, corev1.NodeNetworkUnavailable, corev1.ConditionTrue) }},
}

// is tells whether a condition has one of the statuses; "" stands for a condition that is not there.
func is(n *corev1.Node, t corev1.NodeConditionType, statuses ...corev1.ConditionStatus) bool {
	status := corev1.ConditionStatus("")
	if c := api.NodeCondition(n, t); c != nil {
		status = c.Status
	}
	return slices.Contains(statuses, status)
}

// retaint returns the node's taints as they should be, and what changes. In an outage
// nothing is evicted: see outage.
func retaint(n *corev1.Node, o outage, now time.Time) (taints []corev1.Taint, changes []string) {
	taints = slices.Clone(n.Spec.Taints)
	for _, r := range rules {
		at := slices.IndexFunc(taints, func(t corev1.Taint) bool { return t.Key == r.key && t.Effect == r.effect })
		wanted := r.calls(n)
		if r.effect == corev1.TaintEffectNoExecute {
			wanted = o.allows(wanted, at >= 0)
		}
		switch name := fmt.Sprintf("%s:%s", r.key, r.effect); {
		case wanted && at < 0:
			added := metav1.NewTime(now)
			taints = append(taints, corev1.Taint{Key: r.key, Effect: r.effect, TimeAdded: &added})
			changes = append(changes, "+"+name)
		case !wanted && at >= 0:
			taints = slices.Delete(taints, at, at+1)
			changes = append(changes, "-"+name)
		}
	}
	return taints, changes
}
