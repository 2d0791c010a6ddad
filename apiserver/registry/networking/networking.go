// Package networking describes the kinds of networking.k8s.io/v1: how traffic comes in
// (Ingress, IngressClass), which traffic is let through (NetworkPolicy), and where the
// addresses of Services come from (ServiceCIDR, IPAddress).
package networking

import (
	"github.com/miniorch/miniorch/apiserver/resource"
)

// Kinds returns the descriptors of the group.
func Kinds() []resource.Descriptor {
	return []resource.Descriptor{ingresses(), ingressClasses(), networkPolicies(), serviceCIDRs(), ipAddresses()}
}
