package claims

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"
)

// Mismatch says why a claim cannot have a volume, leaving nodes and selectors aside; empty if it can. It
// is what a claim must meet that names its volume.
func Mismatch(v *corev1.PersistentVolume, c *corev1.PersistentVolumeClaim) string {
	switch {
	case ptr.Deref(c.Spec.VolumeAttributesClassName, "") != ptr.Deref(v.Spec.VolumeAttributesClassName, ""):
		return "VolumeAttributesClassName does not match"
	case Size(v).Cmp(Request(c)) < 0:
		return "requested PV is too small"
	case ClassOfVolume(v) != ClassOf(c):
		return "storageClassName does not match"
	case ModeOf(v.Spec.VolumeMode) != ModeOf(c.Spec.VolumeMode):
		return "incompatible volumeMode"
	case !Offers(v, c.Spec.AccessModes):
		return "incompatible accessMode"
	}
	return ""
}

// Size returns a volume's capacity.
func Size(v *corev1.PersistentVolume) *resource.Quantity { return v.Spec.Capacity.Storage() }

// Request returns how much a claim asks for.
func Request(c *corev1.PersistentVolumeClaim) resource.Quantity {
	return c.Spec.Resources.Requests[corev1.ResourceStorage]
}

// Offers reports whether a volume has all of the access modes.
func Offers(v *corev1.PersistentVolume, modes []corev1.PersistentVolumeAccessMode) bool {
	return !slices.ContainsFunc(modes, func(m corev1.PersistentVolumeAccessMode) bool { return !slices.Contains(v.Spec.AccessModes, m) })
}

// Search is what a claim looks for among volumes.
type Search struct {
	Claim *corev1.PersistentVolumeClaim
	// Node limits the search to volumes that it reaches. Nil: any.
	Node *corev1.Node
	// Waiting means that the claim's class waits for a pod: without a node, only a volume that
	// was set aside for the claim will do.
	Waiting bool
	// Taken are volumes that others have been promised, by name.
	Taken map[string]bool
}

// Best returns the volume that a claim should be bound to: one that was set aside for it,
// else the smallest that is free and has all that it asks for, and of those the first by
// name. Nil: there is none.
func (s Search) Best(volumes []*corev1.PersistentVolume) *corev1.PersistentVolume {
	selector, err := metav1.LabelSelectorAsSelector(s.Claim.Spec.Selector)
	if err != nil {
		selector = labels.Nothing()
	}
	if s.Claim.Spec.Selector == nil {
		selector = labels.Everything()
	}
	var best *corev1.PersistentVolume
	for _, v := range volumes {
		if Holds(v, s.Claim) {
			if v.DeletionTimestamp != nil || !s.suits(v) {
				continue
			}
			if s.Node != nil && !Reaches(v, s.Node) {
				return nil // the claim will have this one, and not here
			}
			return v
		}
		if s.Waiting && s.Node == nil || s.Taken[v.Name] || !Free(v) || !selector.Matches(labels.Set(v.Labels)) {
			continue
		}
		if Mismatch(v, s.Claim) == "" && (s.Node == nil || Reaches(v, s.Node)) && (best == nil || smaller(v, best)) {
			best = v
		}
	}
	return best
}

// suits is what even a volume must meet that was set aside for the claim.
func (s Search) suits(v *corev1.PersistentVolume) bool {
	return Size(v).Cmp(Request(s.Claim)) >= 0 && ModeOf(v.Spec.VolumeMode) == ModeOf(s.Claim.Spec.VolumeMode)
}

// Free reports whether a volume may be given to whoever wants it.
func Free(v *corev1.PersistentVolume) bool {
	return v.Spec.ClaimRef == nil && v.DeletionTimestamp == nil && v.Status.Phase == corev1.VolumeAvailable
}

func smaller(a, b *corev1.PersistentVolume) bool {
	if n := Size(a).Cmp(*Size(b)); n != 0 {
		return n < 0
	}
	return a.Name < b.Name
}
