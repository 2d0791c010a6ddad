// Package apps describes the kinds of apps/v1, the workloads that keep pods running.
package apps

import "github.com/miniorch/miniorch/apiserver/resource"

// Kinds returns the descriptors of the group.
func Kinds() []resource.Descriptor {
	return []resource.Descriptor{
		replicaSets(),
		deployments(),
		statefulSets(),
		daemonSets(),
		controllerRevisions(),
	}
}
