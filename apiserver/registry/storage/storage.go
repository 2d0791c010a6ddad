// Package storage describes the kinds of storage.k8s.io/v1: the classes of volumes that can be asked for,
// the drivers that provide them, and what is attached where.
package storage

import "github.com/miniorch/miniorch/apiserver/resource"

// Kinds returns the descriptors of the group.
func Kinds() []resource.Descriptor {
	return []resource.Descriptor{
		storageClasses(),
		volumeAttributesClasses(),
		csiDrivers(),
		csiNodes(),
		csiStorageCapacities(),
		volumeAttachments(),
	}
}
