// Package batch describes the kinds of batch/v1, the workloads whose pods end.
package batch

import "github.com/miniorch/miniorch/apiserver/resource"

// Kinds returns the descriptors of the group.
func Kinds() []resource.Descriptor {
	return []resource.Descriptor{
		jobs(),
		cronJobs(),
	}
}
