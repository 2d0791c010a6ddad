// Package nodename keeps a pod that names its node away from all others.
package nodename

import (
	"github.com/miniorch/miniorch/scheduler/framework"
)

var refusal = framework.RefuseForGood("node(s) didn't match the requested node name").By("NodeName")

// Plugin is NodeName.
type Plugin struct{}

// Name returns the plugin's name.
func (Plugin) Name() string { return "NodeName" }

// Sign tells what the plugin reads.
func (Plugin) Sign(b []byte, pod *framework.PodInfo) ([]byte, bool) {
	return append(b, pod.Pod.Spec.NodeName...), true
}

// PreFilter skips pods that name no node.
func (Plugin) PreFilter(_ *framework.CycleState, pod *framework.PodInfo, _ framework.Snapshot) *framework.Status {
	if pod.Pod.Spec.NodeName == "" {
		return framework.Skipped
	}
	return nil
}

// Filter passes the node that the pod names.
func (Plugin) Filter(_ *framework.CycleState, pod *framework.PodInfo, node *framework.NodeInfo) *framework.Status {
	if name := pod.Pod.Spec.NodeName; name != "" && name != node.Name {
		return refusal
	}
	return nil
}
