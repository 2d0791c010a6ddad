// Package discovery describes EndpointSlice of discovery.k8s.io/v1 and its predecessor, Endpoints
// of the core group: which addresses answer for a Service.
package discovery

import "github.com/miniorch/miniorch/apiserver/resource"

// Kinds returns the descriptors of the group.
func Kinds() []resource.Descriptor {
	return []resource.Descriptor{
		endpoints(),
		endpointSlices(),
	}
}
