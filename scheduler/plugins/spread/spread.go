// Package spread prefers nodes with few pods of the same controller, so that the replicas of a
// ReplicaSet do not sit on one node.
package spread

import (
	"github.com/miniorch/miniorch/scheduler/framework"
)

// Plugin is ReplicaSpread.
type Plugin struct{}

// Name returns the plugin's name.
func (Plugin) Name() string { return "ReplicaSpread" }

// Sign tells what the plugin reads.
func (Plugin) Sign(b []byte, pod *framework.PodInfo) ([]byte, bool) {
	return append(b, pod.Owner...), true
}

// PreScore skips pods that no controller made.
func (Plugin) PreScore(_ *framework.CycleState, pod *framework.PodInfo, _ framework.Snapshot) *framework.Status {
	if pod.Owner == "" {
		return framework.Skipped
	}
	return nil
}

// Score counts the controller's pods on the node.
func (Plugin) Score(_ *framework.CycleState, pod *framework.PodInfo, node *framework.NodeInfo) int64 {
	return int64(node.CountOf(pod.Owner))
}

// Normalize makes the node with the fewest the best.
func (Plugin) Normalize(scores []int64) { framework.NormalizeReversed(scores) }
