// Package coordination describes Lease of coordination.k8s.io/v1: who holds what, and since when.
package coordination

import "github.com/miniorch/miniorch/apiserver/resource"

// Kinds returns the descriptors of the group.
func Kinds() []resource.Descriptor {
	return []resource.Descriptor{
		leases(),
	}
}
