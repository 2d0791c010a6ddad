package daemonset

import (
	"maps"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/pkg/reconcile"
)

// forget drops what is remembered of a set that is gone or replaced by a namesake.
func (c *Controller) forget(old, set *appsv1.DaemonSet) {
	if old == nil || set != nil && set.UID == old.UID {
		return
	}
	c.expect.Forget(reconcile.Key{Namespace: old.Namespace, Name: old.Name})
	c.failures.Forget(old.UID)
	c.seen.ForgetAll(func(owner types.UID) bool { return strings.HasPrefix(string(owner), string(old.UID)+"/") })
}

// keysOfPod maps a pod's change to the sets that it concerns, and settles expectations.
func (c *Controller) keysOfPod(old, p *corev1.Pod) []reconcile.Key {
	var keys []reconcile.Key
	if old != nil {
		if key, ok := controllerKey(old); ok {
			keys = append(keys, key)
			if p == nil || p.DeletionTimestamp != nil && old.DeletionTimestamp == nil || p.UID != old.UID {
				c.expect.Deleted(key, old.UID)
			}
		}
	}
	if p == nil {
		return keys
	}
	key, ok := controllerKey(p)
	switch {
	case ok:
		ref, node := metav1.GetControllerOfNoCopy(p), targetOf(p)
		c.seen.See(sequenceOf(ref.Name, ref.UID, node), ownerOf(ref.UID, node), p.Name, !c.pods.Synced())
		if old == nil || old.UID != p.UID {
			c.expect.Created(key)
			if p.DeletionTimestamp != nil {
				c.expect.Deleted(key, p.UID)
			}
		}
		keys = append(keys, key)
	case metav1.GetControllerOfNoCopy(p) == nil && p.DeletionTimestamp == nil:
		keys = append(keys, c.adopters(p)...)
	}
	return keys
}

// adopters returns the sets that would adopt an orphaned pod.
func (c *Controller) adopters(p *corev1.Pod) []reconcile.Key {
	var keys []reconcile.Key
	for _, set := range c.sets.List(p.Namespace, nil) {
		selector, err := metav1.LabelSelectorAsSelector(set.Spec.Selector)
		if err == nil && !selector.Empty() && selector.Matches(labels.Set(p.Labels)) {
			keys = append(keys, reconcile.Key{Namespace: set.Namespace, Name: set.Name})
		}
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

// keysOfNode maps a node's change to the sets for which it matters. Heartbeats never do.
func (c *Controller) keysOfNode(old, n *corev1.Node) []reconcile.Key {
	if old != nil && n != nil && old.UID == n.UID && maps.Equal(old.Labels, n.Labels) && equality.Semantic.DeepEqual(old.Spec.Taints, n.Spec.Taints) {
		return nil
	}
	if n == nil {
		c.failures.Leave(old.Name)
		c.seen.ForgetAll(func(owner types.UID) bool { return strings.HasSuffix(string(owner), "/"+old.Name) })
	}
	var keys []reconcile.Key
	for _, set := range c.sets.List("", nil) {
		if c := choiceOf(set); old == nil || n == nil || c.of(old) != c.of(n) {
			keys = append(keys, reconcile.Key{Namespace: set.Namespace, Name: set.Name})
		}
	}
	return keys
}
