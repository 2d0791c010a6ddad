package core

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/resource"
	"github.com/miniorch/miniorch/pkg/claims"
)

func persistentVolumes(now func() time.Time) resource.Descriptor {
	return kind.Describe(kind.Of[*corev1.PersistentVolume]{
		Singular:            "persistentvolume",
		ShortNames:          []string{"pv"},
		New:                 func() *corev1.PersistentVolume { return &corev1.PersistentVolume{} },
		NewList:             func() runtime.Object { return &corev1.PersistentVolumeList{} },
		Defaults:            defaultPersistentVolume,
		PrepareCreate:       func(v *corev1.PersistentVolume) { prepareVolumeCreate(v, now()) },
		PrepareUpdate:       func(v, old *corev1.PersistentVolume) { v.Status = old.Status },
		Validate:            validatePersistentVolume,
		ValidateUpdate:      validatePersistentVolumeUpdate,
		UnconditionalUpdate: true,
		Warnings:            warnPersistentVolume,
		Columns:             persistentVolumeColumns(),
		Subresources: []resource.Subresource{kind.StatusOf(func(v, old *corev1.PersistentVolume) {
			v.Spec = old.Spec
			transition(v, old, now)
		}, validateVolumeStatus)},
	})
}

func persistentVolumeColumns() []kind.Column[*corev1.PersistentVolume] {
	return []kind.Column[*corev1.PersistentVolume]{
		kind.NameColumn[*corev1.PersistentVolume](),
		kind.TextColumn("Capacity", "How much the volume holds.", func(v *corev1.PersistentVolume) string { return sizeText(v.Spec.Capacity) }),
		kind.TextColumn("Access Modes", "How the volume may be used.", func(v *corev1.PersistentVolume) string { return modesText(v.Spec.AccessModes) }),
		kind.TextColumn("Reclaim Policy", "What becomes of the volume after its claim.",
			func(v *corev1.PersistentVolume) string { return string(v.Spec.PersistentVolumeReclaimPolicy) }),
		kind.TextColumn("Status", "The phase of the volume: Available, Bound, Released or Failed.", func(v *corev1.PersistentVolume) string {
			if v.DeletionTimestamp != nil {
				return "Terminating"
			}
			return string(v.Status.Phase)
		}),
		kind.TextColumn("Claim", "The claim that has the volume.", func(v *corev1.PersistentVolume) string {
			if v.Spec.ClaimRef == nil {
				return ""
			}
			return v.Spec.ClaimRef.Namespace + "/" + v.Spec.ClaimRef.Name
		}),
		kind.TextColumn("StorageClass", "The class that the volume belongs to.", func(v *corev1.PersistentVolume) string { return claims.ClassOfVolume(v) }),
		kind.TextColumn("VolumeAttributesClass", "The attributes class of the volume.",
			func(v *corev1.PersistentVolume) string { return orUnset(v.Spec.VolumeAttributesClassName) }),
		kind.TextColumn("Reason", "Why the volume failed.", func(v *corev1.PersistentVolume) string { return v.Status.Reason }),
		kind.AgeColumn[*corev1.PersistentVolume](),
		kind.Wide(kind.TextColumn("VolumeMode", "Filesystem or Block.",
			func(v *corev1.PersistentVolume) string { return modeText(v.Spec.VolumeMode) })),
	}
}

func defaultPersistentVolume(v *corev1.PersistentVolume) {
	if v.Status.Phase == "" {
		v.Status.Phase = corev1.VolumePending
	}
	if v.Spec.PersistentVolumeReclaimPolicy == "" {
		v.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimRetain
	}
	kind.SetDefault(&v.Spec.VolumeMode, corev1.PersistentVolumeFilesystem)
	kind.TidyQuantities(v.Spec.Capacity)
	if h := v.Spec.HostPath; h != nil {
		kind.SetDefault(&h.Type, corev1.HostPathUnset)
	}
	if i := v.Spec.ISCSI; i != nil && i.ISCSIInterface == "" {
		i.ISCSIInterface = "default"
	}
}

// prepareVolumeCreate keeps the volume for as long as it is bound, from the very start.
func prepareVolumeCreate(v *corev1.PersistentVolume, now time.Time) {
	v.Status = corev1.PersistentVolumeStatus{Phase: corev1.VolumePending, LastPhaseTransitionTime: timePtr(now)}
	if !slices.Contains(v.Finalizers, claims.VolumeProtection) {
		v.Finalizers = append(v.Finalizers, claims.VolumeProtection)
	}
}

func validateVolumeStatus(v, _ *corev1.PersistentVolume) field.ErrorList {
	return kind.OneOf(v.Status.Phase, field.NewPath("status", "phase"), corev1.VolumePending, corev1.VolumeAvailable,
		corev1.VolumeBound, corev1.VolumeReleased, corev1.VolumeFailed)
}

func timePtr(t time.Time) *metav1.Time {
	at := metav1.NewTime(t)
	return &at
}
