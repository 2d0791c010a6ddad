package persistentvolume

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/pkg/claims"
)

// done reports whether a plan asks for nothing that is not so already.
func done(c *corev1.PersistentVolumeClaim, p ClaimPlan) bool {
	if p.Bind != nil {
		_, v := boundVolume(p.Bind, c)
		_, s := boundClaim(c, p.Bind)
		return !v && !s && p.Bind.Status.Phase == corev1.VolumeBound && !statusDiffers(c, p.Bind)
	}
	return (p.Phase == "" || p.Phase == c.Status.Phase) && p.Class == "" && asked(c, p.Provisioner)
}

// asked reports whether a claim says already who is to make its volume.
func asked(c *corev1.PersistentVolumeClaim, provisioner string) bool {
	return provisioner == "" || c.Annotations[claims.Provisioner] == provisioner && c.Annotations[claims.BetaProvisioner] == provisioner
}

func (c *Controller) applyClaim(ctx context.Context, claim *corev1.PersistentVolumeClaim, p ClaimPlan) error {
	if p.Bind != nil {
		return c.bind(ctx, p.Bind, claim)
	}
	if p.Class != "" || !asked(claim, p.Provisioner) {
		claim = claim.DeepCopy()
		if p.Class != "" {
			claim.Spec.StorageClassName = &p.Class
		}
		if p.Provisioner != "" {
			metav1.SetMetaDataAnnotation(&claim.ObjectMeta, claims.Provisioner, p.Provisioner)
			metav1.SetMetaDataAnnotation(&claim.ObjectMeta, claims.BetaProvisioner, p.Provisioner)
		}
		stored, err := c.claim.Update(ctx, claim)
		if err != nil {
			return control.IgnoreGone(fmt.Errorf("updating the claim: %w", err))
		}
		claim = stored
	}
	if p.Phase == "" || p.Phase == claim.Status.Phase {
		return nil
	}
	claim = claim.DeepCopy()
	claim.Status.Phase = p.Phase
	if p.Phase == corev1.ClaimPending {
		claim.Status.AccessModes, claim.Status.Capacity = nil, nil
	}
	if _, err := c.claim.UpdateStatus(ctx, claim); err != nil {
		return control.IgnoreGone(fmt.Errorf("writing the claim's phase: %w", err))
	}
	return nil
}

// bind makes the four writes of a binding, or those that are missing. The order matters: once
// the volume names the claim nobody else can have it.
func (c *Controller) bind(ctx context.Context, v *corev1.PersistentVolume, claim *corev1.PersistentVolumeClaim) error {
	var err error
	if given, changed := boundVolume(v, claim); changed {
		if v, err = c.volume.Update(ctx, given); err != nil {
			return fmt.Errorf("binding volume %q to the claim: %w", given.Name, err)
		}
		c.take(v.Name, claim)
	}
	if v.Status.Phase != corev1.VolumeBound {
		if v, err = c.volume.UpdateStatus(ctx, c.withPhase(v, VolumePlan{Phase: corev1.VolumeBound})); err != nil {
			return fmt.Errorf("writing the phase of volume: %w", err)
		}
	}
	if bound, changed := boundClaim(claim, v); changed {
		if claim, err = c.claim.Update(ctx, bound); err != nil {
			return fmt.Errorf("binding the claim to volume %q: %w", v.Name, err)
		}
	}
	if !statusDiffers(claim, v) {
		return nil
	}
	if _, err = c.claim.UpdateStatus(ctx, boundStatus(claim, v)); err != nil {
		return fmt.Errorf("writing the claim's status: %w", err)
	}
	return nil
}

// take remembers who has a volume until the view shows it.
func (c *Controller) take(name string, claim *corev1.PersistentVolumeClaim) {
	seen, ok := c.volumes.Get("", name)
	c.mu.Lock()
	defer c.mu.Unlock()
	if ok && seen.Spec.ClaimRef == nil {
		c.taken[name] = claim.UID
	}
}

// boundVolume returns a volume that belongs to the claim, and whether that is a change.
func boundVolume(v *corev1.PersistentVolume, c *corev1.PersistentVolumeClaim) (*corev1.PersistentVolume, bool) {
	if v.Spec.ClaimRef != nil && v.Spec.ClaimRef.UID == c.UID {
		return v, false
	}
	byController := v.Spec.ClaimRef == nil
	v = v.DeepCopy()
	v.Spec.ClaimRef = &corev1.ObjectReference{
		Kind: "PersistentVolumeClaim", APIVersion: "v1", Namespace: c.Namespace, Name: c.Name, UID: c.UID, ResourceVersion: c.ResourceVersion,
	}
	if byController {
		metav1.SetMetaDataAnnotation(&v.ObjectMeta, claims.BoundByController, "yes")
	}
	return v, true
}

// boundClaim returns a claim that has the volume, and whether that is a change.
func boundClaim(c *corev1.PersistentVolumeClaim, v *corev1.PersistentVolume) (*corev1.PersistentVolumeClaim, bool) {
	if claims.IsBound(c) {
		return c, false
	}
	c = c.DeepCopy()
	if c.Spec.VolumeName == "" {
		c.Spec.VolumeName = v.Name
		metav1.SetMetaDataAnnotation(&c.ObjectMeta, claims.BoundByController, "yes")
	}
	metav1.SetMetaDataAnnotation(&c.ObjectMeta, claims.BindCompleted, "yes")
	return c, true
}

// statusDiffers reports whether a bound claim does not say yet what it has. A capacity that is
// there stays: growing is for whoever makes the volume grow.
func statusDiffers(c *corev1.PersistentVolumeClaim, v *corev1.PersistentVolume) bool {
	return c.Status.Phase != corev1.ClaimBound || c.Status.Capacity == nil ||
		!equality.Semantic.DeepEqual(c.Status.AccessModes, v.Spec.AccessModes)
}

func boundStatus(c *corev1.PersistentVolumeClaim, v *corev1.PersistentVolume) *corev1.PersistentVolumeClaim {
	c = c.DeepCopy()
	if c.Status.Phase != corev1.ClaimBound || c.Status.Capacity == nil {
		c.Status.Capacity = corev1.ResourceList{corev1.ResourceStorage: claims.Size(v).DeepCopy()}
		c.Status.CurrentVolumeAttributesClassName = v.Spec.VolumeAttributesClassName
	}
	c.Status.Phase, c.Status.AccessModes = corev1.ClaimBound, v.Spec.AccessModes
	return c
}

// applyVolume takes a volume back from its claim, and writes the phase.
func (c *Controller) applyVolume(ctx context.Context, v *corev1.PersistentVolume, p VolumePlan) error {
	if p.Unbind {
		stored, err := c.volume.Update(ctx, unbound(v))
		if err != nil {
			return control.IgnoreGone(fmt.Errorf("unbinding the volume: %w", err))
		}
		v = stored
	}
	if p.Phase == v.Status.Phase {
		return nil
	}
	if _, err := c.volume.UpdateStatus(ctx, c.withPhase(v, p)); err != nil {
		return control.IgnoreGone(fmt.Errorf("writing the volume's phase: %w", err))
	}
	return nil
}

// unbound is a volume without its claim. A user's wish for whom it is stays.
func unbound(v *corev1.PersistentVolume) *corev1.PersistentVolume {
	v = v.DeepCopy()
	if metav1.HasAnnotation(v.ObjectMeta, claims.BoundByController) {
		v.Spec.ClaimRef = nil
		delete(v.Annotations, claims.BoundByController)
	} else {
		v.Spec.ClaimRef.UID, v.Spec.ClaimRef.ResourceVersion = "", ""
	}
	return v
}

func (c *Controller) withPhase(v *corev1.PersistentVolume, p VolumePlan) *corev1.PersistentVolume {
	v = v.DeepCopy()
	if v.Status.Phase != p.Phase {
		now := metav1.NewTime(c.cfg.Clock.Now())
		v.Status.LastPhaseTransitionTime = &now
	}
	v.Status.Phase, v.Status.Reason, v.Status.Message = p.Phase, p.Reason, p.Message
	return v
}
