// Package nodeunschedulable keeps pods away from cordoned nodes, unless they tolerate the
// taint that stands for it.
package nodeunschedulable

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/scheduler/framework"
)

var (
	refusal = framework.RefuseForGood("node(s) were unschedulable").By("NodeUnschedulable")
	cordon  = []corev1.Taint{{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule}}
)

// Plugin is NodeUnschedulable.
type Plugin struct{}

// Name returns the plugin's name.
func (Plugin) Name() string { return "NodeUnschedulable" }

// Sign tells what the plugin reads.
func (Plugin) Sign(b []byte, pod *framework.PodInfo) ([]byte, bool) {
	if tolerates(pod) {
		return append(b, 't'), true
	}
	return b, true
}

// PreFilter skips pods that may run on cordoned nodes.
func (Plugin) PreFilter(_ *framework.CycleState, pod *framework.PodInfo, _ framework.Snapshot) *framework.Status {
	if tolerates(pod) {
		return framework.Skipped
	}
	return nil
}

// Filter refuses cordoned nodes.
func (Plugin) Filter(_ *framework.CycleState, _ *framework.PodInfo, node *framework.NodeInfo) *framework.Status {
	if node.Node.Spec.Unschedulable {
		return refusal
	}
	return nil
}

func tolerates(pod *framework.PodInfo) bool {
	_, untolerated := api.Untolerated(cordon, pod.Pod.Spec.Tolerations, corev1.TaintEffectNoSchedule)
	return !untolerated
}
