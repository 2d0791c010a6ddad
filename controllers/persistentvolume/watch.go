package persistentvolume

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	"github.com/miniorch/miniorch/pkg/claims"
	"github.com/miniorch/miniorch/pkg/reconcile"
)

// Indexes: which free volumes a class has, which volumes are a claim's, which claims want
// something of a class or name a volume, which pods use a claim.
const (
	freeByClass    = "free-by-class"
	heldByClaim    = "held-by-claim"
	unboundByClass = "unbound-by-class"
	claimsByVolume = "by-volume"
	podsByClaim    = "by-claim"
)

// noClass is the index value of claims that name no class: a default class may come.
const noClass = "\x00none"

func (c *Controller) index() {
	c.volumes.Index(freeByClass, func(v *corev1.PersistentVolume) []string {
		if claims.Free(v) {
			return []string{claims.ClassOfVolume(v)}
		}
		return nil
	})
	c.volumes.Index(heldByClaim, func(v *corev1.PersistentVolume) []string {
		if ref := v.Spec.ClaimRef; ref != nil {
			return []string{ref.Namespace + "/" + ref.Name}
		}
		return nil
	})
	c.claims.Index(unboundByClass, func(claim *corev1.PersistentVolumeClaim) []string {
		if claims.IsBound(claim) {
			return nil
		}
		if !claims.NamesClass(claim) {
			return []string{"", noClass}
		}
		return []string{claims.ClassOf(claim)}
	})
	c.claims.Index(claimsByVolume, func(claim *corev1.PersistentVolumeClaim) []string {
		if claim.Spec.VolumeName != "" {
			return []string{claim.Spec.VolumeName}
		}
		return nil
	})
	c.pods.Index(podsByClaim, claims.Keys)
}

// viewOf reads what is known of a claim.
func (c *Controller) viewOf(claim *corev1.PersistentVolumeClaim) claimView {
	o := claimView{Claim: claim}
	class, key := claims.ClassOf(claim), claim.Namespace+"/"+claim.Name
	if sc, ok := c.classes.Get("", class); ok {
		o.Class = sc
	}
	if name := claim.Spec.VolumeName; name != "" {
		if v, ok := c.volumes.Get("", name); ok {
			o.Named = v
		}
		return o
	}
	if !claims.NamesClass(claim) {
		o.Default = claims.Default(c.classes.List("", nil))
	}
	o.Volumes = append(c.volumes.ByIndex(heldByClaim, key), c.free(class, claim)...)
	o.Pods = c.pods.ByIndex(podsByClaim, key)
	return o
}

// free returns the free volumes of a class, without those that another claim was just given.
func (c *Controller) free(class string, claim *corev1.PersistentVolumeClaim) []*corev1.PersistentVolume {
	found := c.volumes.ByIndex(freeByClass, class)
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(found, func(v *corev1.PersistentVolume) bool {
		to, taken := c.taken[v.Name]
		return taken && to != claim.UID
	})
}

// keysOfClaim looks at a claim and at the volumes that it names, or that are its.
func (c *Controller) keysOfClaim(old, claim *corev1.PersistentVolumeClaim) []reconcile.Key {
	var keys []reconcile.Key
	if claim != nil {
		keys = reconcile.KeyOf(old, claim)
	}
	for _, one := range []*corev1.PersistentVolumeClaim{old, claim} {
		if one == nil {
			continue
		}
		if one.Spec.VolumeName != "" {
			keys = append(keys, reconcile.Key{Name: one.Spec.VolumeName})
		}
		for _, v := range c.volumes.ByIndex(heldByClaim, one.Namespace+"/"+one.Name) {
			keys = append(keys, reconcile.Key{Name: v.Name})
		}
	}
	return keys
}

// keysOfVolume looks at a volume, at the claim that has or names it, and, if it has become
// free, at the claims that could have it now.
func (c *Controller) keysOfVolume(old, v *corev1.PersistentVolume) []reconcile.Key {
	c.settle(old, v)
	var keys []reconcile.Key
	if v != nil {
		keys = reconcile.KeyOf(old, v)
	}
	for _, one := range []*corev1.PersistentVolume{old, v} {
		if one != nil && one.Spec.ClaimRef != nil {
			keys = append(keys, reconcile.Key{Namespace: one.Spec.ClaimRef.Namespace, Name: one.Spec.ClaimRef.Name})
		}
	}
	name := reconcile.KeyOf(old, v)[0].Name
	for _, claim := range c.claims.ByIndex(claimsByVolume, name) {
		keys = append(keys, reconcile.Key{Namespace: claim.Namespace, Name: claim.Name})
	}
	if v == nil || !claims.Free(v) {
		return keys
	}
	for _, claim := range c.claims.ByIndex(unboundByClass, claims.ClassOfVolume(v)) {
		if claims.Mismatch(v, claim) == "" {
			keys = append(keys, reconcile.Key{Namespace: claim.Namespace, Name: claim.Name})
		}
	}
	return keys
}

// settle forgets that a volume was given away once the view shows it, or the volume is gone.
func (c *Controller) settle(old, v *corev1.PersistentVolume) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case v == nil:
		delete(c.taken, old.Name)
	case v.Spec.ClaimRef != nil:
		delete(c.taken, v.Name)
	}
}

// keysOfClass looks at the claims that wait for a class, or for a default.
func (c *Controller) keysOfClass(old, sc *storagev1.StorageClass) []reconcile.Key {
	var waiting []*corev1.PersistentVolumeClaim
	if sc != nil {
		waiting = c.claims.ByIndex(unboundByClass, sc.Name)
		if claims.IsDefault(sc) {
			waiting = append(waiting, c.claims.ByIndex(unboundByClass, noClass)...)
		}
	}
	var keys []reconcile.Key
	for _, claim := range waiting {
		keys = append(keys, reconcile.Key{Namespace: claim.Namespace, Name: claim.Name})
	}
	return keys
}

// keysOfPod looks at the claims of a pod that is new or has been placed: they may wait for it.
func keysOfPod(old, p *corev1.Pod) []reconcile.Key {
	if p == nil || old != nil && old.Spec.NodeName == p.Spec.NodeName {
		return nil
	}
	var keys []reconcile.Key
	for _, name := range claims.Names(p) {
		keys = append(keys, reconcile.Key{Namespace: p.Namespace, Name: name})
	}
	return keys
}
