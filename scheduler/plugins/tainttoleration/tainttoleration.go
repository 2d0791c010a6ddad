// Package tainttoleration keeps pods away from nodes whose taints they do not tolerate, and
// prefers nodes with few taints of the mild kind.
package tainttoleration

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/scheduler/framework"
)

// Plugin is TaintToleration.
type Plugin struct{}

// Name returns the plugin's name.
func (Plugin) Name() string { return "TaintToleration" }

// Sign tells what the plugin reads.
func (Plugin) Sign(b []byte, pod *framework.PodInfo) ([]byte, bool) {
	for _, t := range pod.Pod.Spec.Tolerations {
		b = fmt.Appendf(b, "%q%q%q%q", t.Key, t.Operator, t.Value, t.Effect)
	}
	return b, true
}

// Filter refuses a node with a taint that keeps the pod away.
func (Plugin) Filter(_ *framework.CycleState, pod *framework.PodInfo, node *framework.NodeInfo) *framework.Status {
	taint, untolerated := api.Untolerated(node.Node.Spec.Taints, pod.Pod.Spec.Tolerations,
		corev1.TaintEffectNoSchedule, corev1.TaintEffectNoExecute)
	if untolerated {
		return framework.RefuseForGood(fmt.Sprintf("node(s) had untolerated taint {%s: %s}", taint.Key, taint.Value))
	}
	return nil
}

// Score counts the node's PreferNoSchedule taints that the pod does not tolerate.
func (Plugin) Score(_ *framework.CycleState, pod *framework.PodInfo, node *framework.NodeInfo) int64 {
	var n int64
	for i := range node.Node.Spec.Taints {
		_, untolerated := api.Untolerated(node.Node.Spec.Taints[i:i+1], pod.Pod.Spec.Tolerations, corev1.TaintEffectPreferNoSchedule)
		if untolerated {
			n++
		}
	}
	return n
}

// Normalize makes the node with the fewest taints the best.
func (Plugin) Normalize(score, _, highest int64) int64 {
	return framework.NormalizeReversed(score, highest)
}
