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

// tainting is what becomes of a node's taints.
type tainting struct {
	taints  []corev1.Taint
	changes []string
	evicts  bool // it is newly marked for eviction
	held    bool // it would be, if it were its turn
}

// retaint brings the node's taints to what they should be. In an outage nothing is evicted: see
// outage. busy: it is not the node's turn to be marked for eviction.
func retaint(n *corev1.Node, o outage, busy bool, now time.Time) tainting {
	t := tainting{taints: slices.Clone(n.Spec.Taints)}
	marked := slices.ContainsFunc(t.taints, evicting) // it had its turn, whatever the reason is now
	for _, r := range rules {
		at := slices.IndexFunc(t.taints, func(t corev1.Taint) bool { return t.Key == r.key && t.Effect == r.effect })
		wanted := r.calls(n)
		if r.effect == corev1.TaintEffectNoExecute {
			wanted = o.allows(wanted, at >= 0 || marked && o != full)
			if wanted && !marked {
				t.held, t.evicts = busy, !busy
				wanted = !busy
			}
		}
		switch name := fmt.Sprintf("%s:%s", r.key, r.effect); {
		case wanted && at < 0:
			added := metav1.NewTime(now)
			t.taints = append(t.taints, corev1.Taint{Key: r.key, Effect: r.effect, TimeAdded: &added})
			t.changes = append(t.changes, "+"+name)
		case !wanted && at >= 0:
			t.taints = slices.Delete(t.taints, at, at+1)
			t.changes = append(t.changes, "-"+name)
		}
	}
	return t
}

// evicting tells whether a taint is one of those by which this controller evicts.
func evicting(t corev1.Taint) bool {
	return t.Effect == corev1.TaintEffectNoExecute && (t.Key == corev1.TaintNodeNotReady || t.Key == corev1.TaintNodeUnreachable)
}
