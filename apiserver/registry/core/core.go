// Package core describes the kinds of the core group, "v1": what a Pod, a Service, a Node, … is called,
// what it defaults to, what is valid and how kubectl prints it.
package core

import (
	"time"

	"github.com/miniorch/miniorch/apiserver/resource"
)

// Kinds returns the descriptors of the group. The components are those of the control plane; now is the server's time.
func Kinds(components []Component, now func() time.Time) []resource.Descriptor {
	return []resource.Descriptor{
		namespaces(),
		nodes(),
		pods(),
		services(),
		configMaps(),
		secrets(),
		serviceAccounts(),
		persistentVolumes(now),
		persistentVolumeClaims(),
		replicationControllers(),
		podTemplates(),
		resourceQuotas(),
		limitRanges(),
		componentStatuses(components),
	}
}
