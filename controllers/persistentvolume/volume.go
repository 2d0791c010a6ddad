package persistentvolume

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/pkg/claims"
)

// Reasons of events about volumes.
const (
	volumeFailedDelete  = "VolumeFailedDelete"
	volumeFailedRecycle = "VolumeFailedRecycle"
)

// volumeView is what is decided from about one volume.
type volumeView struct {
	Volume *corev1.PersistentVolume
	// Claim is what spec.claimRef points at, by UID if it has one. Nil: there is no such claim.
	Claim *corev1.PersistentVolumeClaim
}

// VolumePlan is what is to be done about one volume.
type VolumePlan struct {
	Phase   corev1.PersistentVolumePhase // as it should be
	Reason  string                       // why it failed, in one word
	Message string
	Unbind  bool // its claim has another volume
	Wake    bool // look at its claim: it is for that one to go on
	Event   *Happening
}

// String prints the plan.
func (p VolumePlan) String() string {
	parts := []string{"phase " + string(p.Phase)}
	if p.Unbind {
		parts = append(parts, "unbind")
	}
	return strings.Join(parts, ", ")
}

// decideVolume says what a volume's phase is, and takes it back from claims that are gone.
func decideVolume(o volumeView) VolumePlan {
	v := o.Volume
	switch {
	case v.Spec.ClaimRef == nil:
		return VolumePlan{Phase: corev1.VolumeAvailable}
	case v.Spec.ClaimRef.UID == "": // set aside for a claim that has not taken it yet
		return VolumePlan{Phase: corev1.VolumeAvailable, Wake: o.Claim != nil}
	case o.Claim == nil && metav1.HasAnnotation(v.ObjectMeta, claims.BoundByController) && neverBound(v):
		return VolumePlan{Phase: corev1.VolumeAvailable, Unbind: true} // the claim went before it knew
	case o.Claim == nil:
		return reclaim(v)
	case o.Claim.Spec.VolumeName == v.Name:
		return VolumePlan{Phase: corev1.VolumeBound, Wake: !claims.IsBound(o.Claim) || o.Claim.Status.Phase != corev1.ClaimBound}
	case o.Claim.Spec.VolumeName == "":
		return halfway(v, o.Claim)
	}
	// The claim went elsewhere.
	if byHand(v) || v.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimDelete {
		return VolumePlan{Phase: corev1.VolumeAvailable, Unbind: true}
	}
	return VolumePlan{Phase: corev1.VolumeReleased} // it was made for this claim: who made it deletes it
}

// halfway is a volume that has been given to a claim which does not know yet.
func halfway(v *corev1.PersistentVolume, c *corev1.PersistentVolumeClaim) VolumePlan {
	plan := VolumePlan{Phase: v.Status.Phase, Wake: true} // the claim writes what is next
	if claims.ModeOf(v.Spec.VolumeMode) != claims.ModeOf(c.Spec.VolumeMode) {
		plan.Event = warn(volumeMismatch, "Cannot bind PersistentVolume to requested PersistentVolumeClaim %q due to incompatible volumeMode.", c.Name)
	}
	return plan
}

// reclaim says what becomes of a volume whose claim is gone.
func reclaim(v *corev1.PersistentVolume) VolumePlan {
	if v.Status.Phase == corev1.VolumeFailed { // for an administrator to look at
		return VolumePlan{Phase: corev1.VolumeFailed}
	}
	switch v.Spec.PersistentVolumeReclaimPolicy {
	case corev1.PersistentVolumeReclaimDelete:
		if !byHand(v) {
			break // who made it deletes it
		}
		return failed(volumeFailedDelete, "no deletable volume plugin matched: a volume that was made by hand is deleted by hand")
	case corev1.PersistentVolumeReclaimRecycle:
		return failed(volumeFailedRecycle, "no recyclable volume plugin matched: recycling is not supported, delete the volume and make it anew")
	}
	return VolumePlan{Phase: corev1.VolumeReleased}
}

func failed(reason, message string) VolumePlan {
	return VolumePlan{Phase: corev1.VolumeFailed, Reason: reason, Message: message, Event: warn(reason, "%s", message)}
}

// neverBound reports whether no claim was ever told that it has the volume: the phase is written first.
func neverBound(v *corev1.PersistentVolume) bool {
	return v.Status.Phase == "" || v.Status.Phase == corev1.VolumePending || v.Status.Phase == corev1.VolumeAvailable
}

// byHand reports whether nobody made the volume for a claim.
func byHand(v *corev1.PersistentVolume) bool { return v.Annotations[claims.ProvisionedBy] == "" }
