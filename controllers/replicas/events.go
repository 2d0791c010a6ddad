package replicas

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/controllers/ownership"
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

// concern maps a pod's change to the sets that it concerns, and settles expectations.
func (c *Controller[O]) concern() ownership.Concern[*corev1.Pod] {
	return ownership.Concern[*corev1.Pod]{
		Kind: c.shape.Kind, Expect: c.expect,
		Adopters: func(p *corev1.Pod) []reconcile.Key {
			return ownership.Adopters(c.sets.List(p.Namespace, nil), func(obj O) *metav1.LabelSelector { return c.shape.View(obj).Spec.Selector }, p)
		},
		See: func(p *corev1.Pod, ref metav1.OwnerReference) {
			c.seen.See(sequence(&appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: ref.Name, UID: ref.UID}}), ref.UID, p.Name, !c.pods.Synced())
		},
	}
}
