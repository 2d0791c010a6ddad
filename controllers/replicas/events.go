package replicas

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/miniorch/miniorch/pkg/reconcile"
)

// forget drops what is remembered of a set that is gone or replaced by a namesake.
func (c *Controller[O]) forget(old, set O) {
	var none O
	if any(old) != any(none) && (any(set) == any(none) || set.GetUID() != old.GetUID()) {
		c.expect.Forget(reconcile.Key{Namespace: old.GetNamespace(), Name: old.GetName()})
		c.seen.Forget(old.GetUID())
	}
}

// adopters returns the sets that would adopt an orphaned pod.
func (c *Controller[O]) adopters(p *corev1.Pod) []reconcile.Key {
	var keys []reconcile.Key
	for _, obj := range c.sets.List(p.Namespace, nil) {
		rs := c.shape.View(obj)
		selector, err := metav1.LabelSelectorAsSelector(rs.Spec.Selector)
		if err == nil && !selector.Empty() && selector.Matches(labels.Set(p.Labels)) {
			keys = append(keys, reconcile.Key{Namespace: rs.Namespace, Name: rs.Name})
		}
	}
	return keys
}

// keysOfPod maps a pod's change to the sets that it concerns, and settles expectations.
func (c *Controller[O]) keysOfPod(old, p *corev1.Pod) []reconcile.Key {
	var keys []reconcile.Key
	if old != nil {
		if key, ok := c.controllerKey(old); ok {
			keys = append(keys, key)
			if p == nil || (p.DeletionTimestamp != nil && old.DeletionTimestamp == nil) || p.UID != old.UID {
				c.expect.Deleted(key, old.UID)
			}
		}
	}
	if p == nil {
		return keys
	}
	if key, ok := c.controllerKey(p); ok {
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

func (c *Controller[O]) controllerKey(p *corev1.Pod) (reconcile.Key, bool) {
	ref := metav1.GetControllerOfNoCopy(p)
	if ref == nil || ref.Kind != c.shape.Kind.Kind || ref.APIVersion != c.shape.Kind.GroupVersion().String() {
		return reconcile.Key{}, false
	}
	return reconcile.Key{Namespace: p.Namespace, Name: ref.Name}, true
}
