package daemonset

import (
	"maps"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/controllers/ownership"
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

// concern maps a pod's change to the sets that it concerns, and settles expectations.
func (c *Controller) concern() ownership.Concern[*corev1.Pod] {
	return ownership.Concern[*corev1.Pod]{
		Kind: kind, Expect: c.expect,
		Adopters: func(p *corev1.Pod) []reconcile.Key {
			return ownership.Adopters(c.sets.List(p.Namespace, nil), func(set *appsv1.DaemonSet) *metav1.LabelSelector { return set.Spec.Selector }, p)
		},
		See: func(p *corev1.Pod, ref metav1.OwnerReference) {
			node := targetOf(p)
			c.seen.See(sequenceOf(ref.Name, ref.UID, node), ownerOf(ref.UID, node), p.Name, !c.pods.Synced())
		},
	}
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
