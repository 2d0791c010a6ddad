package attachdetach

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/claims"
	"github.com/miniorch/miniorch/pkg/reconcile"
)

// Indexes: pods that use claims and attachments of ours by their node, pods by claim, attachments by what
// is attached, volumes by driver.
const (
	byNode   = "attach-by-node"
	byClaim  = "attach-by-claim"
	byVolume = "by-attached-volume"
	byDriver = "by-driver"
)

func (c *Controller) index() {
	c.pods.Index(byNode, func(p *corev1.Pod) []string {
		if !holds(p) {
			return nil
		}
		return []string{p.Spec.NodeName}
	})
	c.pods.Index(byClaim, func(p *corev1.Pod) []string {
		if !holds(p) {
			return nil
		}
		return claims.Keys(p)
	})
	c.attachments.Index(byNode, func(a *storagev1.VolumeAttachment) []string {
		if a.Annotations[claims.AttachedAs] == "" {
			return nil // somebody else's
		}
		return []string{a.Spec.NodeName}
	})
	c.attachments.Index(byVolume, func(a *storagev1.VolumeAttachment) []string {
		return []string{a.Annotations[claims.AttachedAs]}
	})
	c.volumes.Index(byDriver, func(v *corev1.PersistentVolume) []string {
		if v.Spec.CSI == nil {
			return nil
		}
		return []string{v.Spec.CSI.Driver}
	})
}

// holds reports whether a pod may use claims on its node.
func holds(p *corev1.Pod) bool {
	return p.Spec.NodeName != "" && !api.IsPodTerminal(p) && slices.ContainsFunc(p.Spec.Volumes, func(v corev1.Volume) bool {
		return v.PersistentVolumeClaim != nil || v.Ephemeral != nil
	})
}

// volumeBehind returns the volume that a claim is bound to, if it is one that must be attached.
func (c *Controller) volumeBehind(claim *corev1.PersistentVolumeClaim) *corev1.PersistentVolume {
	if claim.Status.Phase != corev1.ClaimBound || claim.Spec.VolumeName == "" {
		return nil
	}
	v, ok := c.volumes.Get("", claim.Spec.VolumeName)
	if !ok || v.Spec.CSI == nil || v.Spec.ClaimRef == nil || v.Spec.ClaimRef.UID != claim.UID {
		return nil
	}
	driver, _ := c.drivers.Get("", v.Spec.CSI.Driver)
	if !claims.NeedsAttaching(v, driver) {
		return nil
	}
	return v
}

// addWishes adds what a pod wants attached to its node.
func (c *Controller) addWishes(o *view, p *corev1.Pod) {
	for i := range p.Spec.Volumes {
		name, ephemeral := claims.NameFor(p, &p.Spec.Volumes[i])
		claim, ok := c.claims.Get(p.Namespace, name)
		if name == "" || !ok || ephemeral && !claims.MadeFor(claim, p) {
			continue
		}
		if v := c.volumeBehind(claim); v != nil {
			o.want(v, p)
		}
	}
}

// lookElsewhere notes on which other node a volume is that can be on one only, and who uses it there.
func (c *Controller) lookElsewhere(w *wish, node string) {
	if !claims.IsExclusive(w.Volume) {
		return
	}
	for _, a := range c.attachments.ByIndex(byVolume, string(w.Name)) {
		if a.Spec.NodeName != node {
			w.Elsewhere = a.Spec.NodeName
		}
	}
	ref := w.Volume.Spec.ClaimRef
	for _, p := range c.pods.ByIndex(byClaim, ref.Namespace+"/"+ref.Name) {
		if p.Spec.NodeName == w.Elsewhere {
			w.Users = append(w.Users, p.Name)
		}
	}
}

func nodeKey(name string) reconcile.Key { return reconcile.Key{Name: name} }

// keysOfPod looks at the node of a pod that has begun or ceased to use claims there.
func keysOfPod(old, p *corev1.Pod) []reconcile.Key {
	before, now := old != nil && holds(old), p != nil && holds(p)
	switch {
	case before == now:
		return nil
	case now:
		return []reconcile.Key{nodeKey(p.Spec.NodeName)}
	}
	return []reconcile.Key{nodeKey(old.Spec.NodeName)}
}

// keysOfClaim looks at the nodes of a claim's pods when it is bound, or gone.
func (c *Controller) keysOfClaim(old, claim *corev1.PersistentVolumeClaim) []reconcile.Key {
	if old != nil && claim != nil && old.Status.Phase == claim.Status.Phase && old.Spec.VolumeName == claim.Spec.VolumeName {
		return nil
	}
	if claim == nil {
		claim = old
	}
	return c.nodesOf(claim.Namespace, claim.Name)
}

func (c *Controller) nodesOf(ns, claim string) []reconcile.Key {
	var keys []reconcile.Key
	for _, p := range c.pods.ByIndex(byClaim, ns+"/"+claim) {
		if k := nodeKey(p.Spec.NodeName); !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	return keys
}

func (c *Controller) keysOfVolume(old, v *corev1.PersistentVolume) []reconcile.Key {
	if v == nil {
		v = old
	}
	if v.Spec.CSI == nil || v.Spec.ClaimRef == nil {
		return nil
	}
	return c.nodesOf(v.Spec.ClaimRef.Namespace, v.Spec.ClaimRef.Name)
}

// keysOfDriver looks at everything of a driver that has come or gone: it may say whether to attach.
func (c *Controller) keysOfDriver(old, d *storagev1.CSIDriver) []reconcile.Key {
	if old != nil && d != nil && equality.Semantic.DeepEqual(old.Spec.AttachRequired, d.Spec.AttachRequired) {
		return nil
	}
	if d == nil {
		d = old
	}
	var keys []reconcile.Key
	for _, v := range c.volumes.ByIndex(byDriver, d.Name) {
		keys = append(keys, c.keysOfVolume(v, v)...)
	}
	return keys
}

// keysOfNode looks at a node whose agent uses something else, or that became fit or unfit.
func keysOfNode(old, n *corev1.Node) []reconcile.Key {
	if old != nil && n != nil && api.IsNodeReady(old) == api.IsNodeReady(n) && api.IsOutOfService(old) == api.IsOutOfService(n) &&
		managed(old) == managed(n) && slices.Equal(old.Status.VolumesInUse, n.Status.VolumesInUse) &&
		slices.Equal(old.Status.VolumesAttached, n.Status.VolumesAttached) {
		return nil
	}
	return reconcile.KeyOf(old, n)
}

// keysOfAttachment looks at the node of an attachment, and when it is gone at those that may have
// waited for the volume.
func (c *Controller) keysOfAttachment(old, a *storagev1.VolumeAttachment) []reconcile.Key {
	if a != nil {
		return []reconcile.Key{nodeKey(a.Spec.NodeName)}
	}
	keys := []reconcile.Key{nodeKey(old.Spec.NodeName)}
	if name := old.Spec.Source.PersistentVolumeName; name != nil {
		if v, ok := c.volumes.Get("", *name); ok {
			keys = append(keys, c.keysOfVolume(v, v)...)
		}
	}
	return keys
}
