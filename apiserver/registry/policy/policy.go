// Package policy describes PodDisruptionBudget of policy/v1: how many pods of an application
// may be taken away at a time by those who could as well wait.
package policy

import "github.com/miniorch/miniorch/apiserver/resource"

// Kinds returns the descriptors of the group.
func Kinds() []resource.Descriptor {
	return []resource.Descriptor{
		podDisruptionBudgets(),
	}
}
