// Package stats tells what a node, its pods and their containers use, in the two forms that
// others know how to read: the samples of /metrics/resource and the document of
// /stats/summary. It renders what was measured and measures nothing.
package stats

import (
	"time"

	"github.com/miniorch/miniorch/kubelet/cgroups"
)

// Sample is what something has used by a certain time.
type Sample struct {
	cgroups.Stats
	Time time.Time
	// Cores is how many CPUs were busy on average since the sample before; negative if there
	// was none.
	Cores float64
}

// Disk is a file system, and what of it was used by whoever this is about.
type Disk struct {
	Capacity, Available, Used uint64 // bytes
	Inodes, InodesFree        uint64
	InodesUsed                uint64
}

// Container is a running container.
type Container struct {
	Name    string
	Started time.Time
	Sample
}

// Pod is a pod with at least one running container.
type Pod struct {
	Name, Namespace, UID string
	Started              time.Time
	Containers           []Container
	Sample
}

// Node is a node with all that runs on it.
type Node struct {
	Name    string
	Started time.Time // the machine
	Sample
	Disk Disk
	Pods []Pod
}
