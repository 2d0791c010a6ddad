package claims

import (
	"crypto/sha256"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
)

// What the attach/detach controller, the drivers' attachers and the node agents agree on.
const (
	// ControllerAttaches is on a Node whose agent leaves attaching to the controller.
	ControllerAttaches = "volumes.kubernetes.io/controller-managed-attach-detach"
	// AttachedAs is on a VolumeAttachment that the controller made: the volume, as the status of nodes names it.
	AttachedAs = "miniorch.dev/attached-volume"
	// DetachRequested is on a VolumeAttachment that no pod on its node wants any more: since when.
	DetachRequested = "miniorch.dev/detach-requested"

	// DrivenPrefix begins the names by which the status of nodes knows volumes of CSI drivers.
	DrivenPrefix = "kubernetes.io/csi/"
)

// NeedsAttaching reports whether somebody has to attach the volume to a node before it can be
// mounted there: those of CSI drivers, unless the driver says otherwise. A driver that says nothing is nil.
func NeedsAttaching(v *corev1.PersistentVolume, driver *storagev1.CSIDriver) bool {
	return v.Spec.CSI != nil && (driver == nil || driver.Spec.AttachRequired == nil || *driver.Spec.AttachRequired)
}

// UniqueName is how the status of nodes names a driver's volume: two PersistentVolumes may stand for one.
func UniqueName(v *corev1.CSIPersistentVolumeSource) corev1.UniqueVolumeName {
	return corev1.UniqueVolumeName(DrivenPrefix + v.Driver + "^" + v.VolumeHandle)
}

// AttachmentName is the name of the VolumeAttachment of a driver's volume to a node. Node agents and
// tests compute it, too.
func AttachmentName(v *corev1.CSIPersistentVolumeSource, node string) string {
	return fmt.Sprintf("csi-%x", sha256.Sum256([]byte(v.VolumeHandle+v.Driver+node)))
}

// IsExclusive reports whether a volume can be attached to one node only.
func IsExclusive(v *corev1.PersistentVolume) bool {
	return !slices.ContainsFunc(v.Spec.AccessModes, func(m corev1.PersistentVolumeAccessMode) bool {
		return m == corev1.ReadWriteMany || m == corev1.ReadOnlyMany
	})
}
