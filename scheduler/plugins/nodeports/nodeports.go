// Package nodeports keeps pods apart that take the same port of a node.
package nodeports

import (
	"fmt"

	"github.com/miniorch/miniorch/scheduler/framework"
)

var refusal = framework.Refuse("node(s) didn't have free ports for the requested pod ports").By("NodePorts")

// Plugin is NodePorts.
type Plugin struct{}

// Name returns the plugin's name.
func (Plugin) Name() string { return "NodePorts" }

// Sign tells what the plugin reads.
func (Plugin) Sign(b []byte, pod *framework.PodInfo) ([]byte, bool) {
	for _, p := range pod.Ports {
		b = fmt.Appendf(b, "%s/%s:%d,", p.Protocol, p.IP, p.Port)
	}
	return b, true
}

// PreFilter skips pods that take no port.
func (Plugin) PreFilter(_ *framework.CycleState, pod *framework.PodInfo, _ framework.Snapshot) *framework.Status {
	if len(pod.Ports) == 0 {
		return framework.Skipped
	}
	return nil
}

// Filter refuses a node where one of the pod's ports is taken.
func (Plugin) Filter(_ *framework.CycleState, pod *framework.PodInfo, node *framework.NodeInfo) *framework.Status {
	for _, want := range pod.Ports {
		for _, taken := range node.Ports {
			if want.Conflicts(taken) {
				return refusal
			}
		}
	}
	return nil
}
