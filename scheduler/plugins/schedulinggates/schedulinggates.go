// Package schedulinggates holds back pods with scheduling gates until the last is removed.
package schedulinggates

import (
	"github.com/miniorch/miniorch/scheduler/framework"
)

var refusal = framework.RefuseForGood("Scheduling is blocked due to non-empty scheduling gates")

// Plugin is SchedulingGates.
type Plugin struct{}

// Name returns the plugin's name.
func (Plugin) Name() string { return "SchedulingGates" }

// PreEnqueue holds back a pod with gates.
func (Plugin) PreEnqueue(pod *framework.PodInfo) *framework.Status {
	if len(pod.Pod.Spec.SchedulingGates) > 0 {
		return refusal
	}
	return nil
}
