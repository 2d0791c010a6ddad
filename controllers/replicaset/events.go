package replicaset

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/miniorch/miniorch/pkg/reconcile"
)

// forget drops what is remembered of a set that is gone or replaced by a namesake.
func (c *Controller) forget(old, rs *appsv1.ReplicaSet) {
	if old != nil && (rs == nil || rs.UID != old.UID) {
		c.expect.Forget(reconcile.Key{Namespace: old.Namespace, Name: old.Name})
		c.seen.Forget(old.UID)
	}
}

// adopters returns the sets that would adopt an orphaned pod.
func (c *Controller) adopters(p *corev1.Pod) []reconcile.Key {
	var keys []reconcile.Key
	for _, rs := range c.sets.List(p.Namespace, nil) {
		selector, err := metav1.LabelSelectorAsSelector(rs.Spec.Selector)
		if err == nil && !selector.Empty() && selector.Matches(labels.Set(p.Labels)) {
			keys = append(keys, reconcile.Key{Namespace: rs.Namespace, Name: rs.Name})
		}
	}
	return keys
}

// keysOfPod maps a pod's change to the sets that it concerns, and settles expectations.
func (c *Controller) keysOfPod(old, p *corev1.Pod) []reconcile.Key {
	var keys []reconcile.Key
	if old != nil {
		if key, ok := controllerKey(old); ok {
			keys = append(keys, key)
			if p == nil || (p.DeletionTimestamp != nil && old.DeletionTimestamp == nil) || p.UID != old.UID {
				c.expect.Deleted(key, old.UID)
			}
		}
	}
	if p == nil {
		return keys
	}
	if key, ok := controllerKey(p); ok {
		ref := metav1.GetControllerOfNoCopy(p)
		c.seen.See(sequence(&appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: ref.Name, UID: ref.UID}}), ref.UID, p.Name, !c.pods.Synced())
		if old == nil || old.UID != p.UID {
			c.expect.Created(key)
			if p.DeletionTimestamp != nil {
				c.expect.Deleted(key, p.UID)
			}
		}
		return append(keys, key)
	}
	if metav1.GetControllerOfNoCopy(p) == nil && p.DeletionTimestamp == nil {
		keys = append(keys, c.adopters(p)...)
	}
	return keys
}

func controllerKey(p *corev1.Pod) (reconcile.Key, bool) {
	ref := metav1.GetControllerOfNoCopy(p)
	if ref == nil || ref.Kind != kind.Kind || ref.APIVersion != kind.GroupVersion().String() {
		return reconcile.Key{}, false
	}
	return reconcile.Key{Namespace: p.Namespace, Name: ref.Name}, true
}
