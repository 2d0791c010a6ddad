package core

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/registry/podspec"
	"github.com/miniorch/miniorch/apiserver/resource"
	"github.com/miniorch/miniorch/pkg/claims"
)

func persistentVolumeClaims() resource.Descriptor {
	return kind.Describe(kind.Of[*corev1.PersistentVolumeClaim]{
		Singular:            "persistentvolumeclaim",
		ShortNames:          []string{"pvc"},
		New:                 func() *corev1.PersistentVolumeClaim { return &corev1.PersistentVolumeClaim{} },
		NewList:             func() runtime.Object { return &corev1.PersistentVolumeClaimList{} },
		Defaults:            defaultClaim,
		PrepareCreate:       prepareClaimCreate,
		PrepareUpdate:       func(c, old *corev1.PersistentVolumeClaim) { c.Status = old.Status },
		Validate:            validateClaim,
		ValidateUpdate:      validateClaimUpdate,
		UnconditionalUpdate: true,
		Warnings:            warnClaim,
		Columns:             claimColumns(),
		Subresources: []resource.Subresource{
			kind.StatusOf(func(c, old *corev1.PersistentVolumeClaim) { c.Spec = old.Spec }, validateClaimStatus),
		},
	})
}

func claimColumns() []kind.Column[*corev1.PersistentVolumeClaim] {
	return []kind.Column[*corev1.PersistentVolumeClaim]{
		kind.NameColumn[*corev1.PersistentVolumeClaim](),
		kind.TextColumn("Status", "The phase of the claim: Pending, Bound or Lost.", func(c *corev1.PersistentVolumeClaim) string {
			if c.DeletionTimestamp != nil {
				return "Terminating"
			}
			return string(c.Status.Phase)
		}),
		kind.TextColumn("Volume", "The volume that the claim has.", func(c *corev1.PersistentVolumeClaim) string { return c.Spec.VolumeName }),
		kind.TextColumn("Capacity", "How much the volume holds.", func(c *corev1.PersistentVolumeClaim) string {
			if c.Spec.VolumeName == "" {
				return ""
			}
			return sizeText(c.Status.Capacity)
		}),
		kind.TextColumn("Access Modes", "How the volume may be used.", func(c *corev1.PersistentVolumeClaim) string {
			if c.Spec.VolumeName == "" {
				return ""
			}
			return modesText(c.Status.AccessModes)
		}),
		kind.TextColumn("StorageClass", "The class that the claim asks for.", func(c *corev1.PersistentVolumeClaim) string { return claims.ClassOf(c) }),
		kind.TextColumn("VolumeAttributesClass", "The attributes class that the claim asks for.",
			func(c *corev1.PersistentVolumeClaim) string { return orUnset(c.Spec.VolumeAttributesClassName) }),
		kind.AgeColumn[*corev1.PersistentVolumeClaim](),
		kind.Wide(kind.TextColumn("VolumeMode", "Filesystem or Block.",
			func(c *corev1.PersistentVolumeClaim) string { return modeText(c.Spec.VolumeMode) })),
	}
}

func sizeText(l corev1.ResourceList) string {
	q, ok := l[corev1.ResourceStorage]
	if !ok {
		return ""
	}
	return q.String()
}

func orUnset(s *string) string {
	if s == nil || *s == "" {
		return "<unset>"
	}
	return *s
}

func modeText(m *corev1.PersistentVolumeMode) string {
	if m == nil {
		return "<unset>"
	}
	return string(*m)
}

// modeLetters are the access modes as kubectl prints them, in its order.
var modeLetters = []struct {
	mode corev1.PersistentVolumeAccessMode
	text string
}{
	{corev1.ReadWriteOnce, "RWO"}, {corev1.ReadOnlyMany, "ROX"}, {corev1.ReadWriteMany, "RWX"}, {corev1.ReadWriteOncePod, "RWOP"},
}

func modesText(modes []corev1.PersistentVolumeAccessMode) string {
	var parts []string
	for _, l := range modeLetters {
		if slices.Contains(modes, l.mode) {
			parts = append(parts, l.text)
		}
	}
	return strings.Join(parts, ",")
}

func defaultClaim(c *corev1.PersistentVolumeClaim) {
	if c.Status.Phase == "" {
		c.Status.Phase = corev1.ClaimPending
	}
	podspec.DefaultClaimSpec(&c.Spec)
	kind.TidyQuantities(c.Status.Capacity, c.Status.AllocatedResources)
}

// prepareClaimCreate keeps the claim for as long as pods use it, from the very start.
func prepareClaimCreate(c *corev1.PersistentVolumeClaim) {
	c.Status = corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimPending}
	if !slices.Contains(c.Finalizers, claims.ClaimProtection) {
		c.Finalizers = append(c.Finalizers, claims.ClaimProtection)
	}
}

func warnClaim(c, _ *corev1.PersistentVolumeClaim, _ bool) []string {
	var all []string
	if _, ok := c.Annotations[claims.BetaClass]; ok {
		all = append(all, `metadata.annotations[volume.beta.kubernetes.io/storage-class]: deprecated since v1.8; use "storageClassName" attribute instead`)
	}
	if q := c.Spec.Resources.Requests[corev1.ResourceStorage]; q.MilliValue()%1000 != 0 && q.Sign() > 0 {
		all = append(all, "spec.resources.requests[storage]: fractional byte value \""+q.String()+"\" is invalid, must be an integer")
	}
	return all
}

// transition is when a volume's phase changed: the API server says so, whoever changed it.
func transition(v, old *corev1.PersistentVolume, now func() time.Time) {
	if v.Status.Phase == old.Status.Phase {
		if v.Status.LastPhaseTransitionTime == nil {
			v.Status.LastPhaseTransitionTime = old.Status.LastPhaseTransitionTime
		}
		return
	}
	if at := v.Status.LastPhaseTransitionTime; at == nil || at.Equal(old.Status.LastPhaseTransitionTime) {
		v.Status.LastPhaseTransitionTime = timePtr(now())
	}
}
