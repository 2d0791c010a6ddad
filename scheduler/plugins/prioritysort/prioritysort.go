// Package prioritysort orders waiting pods: the higher priority first, then whose namespace's
// turn it is, then who came first.
package prioritysort

import (
	"github.com/miniorch/miniorch/scheduler/framework"
)

// Plugin is PrioritySort.
type Plugin struct{}

// Name returns the plugin's name.
func (Plugin) Name() string { return "PrioritySort" }

// Less reports whether a goes before b.
func (Plugin) Less(a, b *framework.QueuedPod) bool {
	if a.Priority != b.Priority {
		return a.Priority > b.Priority
	}
	if a.Turn != b.Turn {
		return a.Turn < b.Turn
	}
	return a.Since.Before(b.Since)
}
