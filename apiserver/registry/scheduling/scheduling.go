// Package scheduling describes PriorityClass of scheduling.k8s.io/v1: which pods go first, and
// whether others must make room for them.
package scheduling

import "github.com/miniorch/miniorch/apiserver/resource"

// Kinds returns the descriptors of the group.
func Kinds() []resource.Descriptor {
	return []resource.Descriptor{
		priorityClasses(),
	}
}
