package statefulset

import (
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/miniorch/miniorch/pkg/reconcile"
)

// forget drops what is remembered of a set that is gone or replaced by a namesake.
func (c *Controller) forget(old, set *appsv1.StatefulSet) {
	if old != nil && (set == nil || set.UID != old.UID) {
		c.failures.Forget(old.UID)
	}
}

// adopter returns the set that would adopt an orphaned pod: the one that it is named for.
func (c *Controller) adopter(p *corev1.Pod) []reconcile.Key {
	at := strings.LastIndexByte(p.Name, '-')
	if at < 0 {
		return nil
	}
	if set, ok := c.sets.Get(p.Namespace, p.Name[:at]); ok && adopts(set, p) {
		return []reconcile.Key{{Namespace: set.Namespace, Name: set.Name}}
	}
	return nil
}

func adopts(set *appsv1.StatefulSet, p *corev1.Pod) bool {
	selector, err := metav1.LabelSelectorAsSelector(set.Spec.Selector)
	if err != nil || selector.Empty() || !selector.Matches(labels.Set(p.Labels)) {
		return false
	}
	_, ok := ordinalOf(set, p.Name)
	return ok
}

// keysOfClaim wakes the set that waits for a claim to go.
func (c *Controller) keysOfClaim(old, claim *corev1.PersistentVolumeClaim) []reconcile.Key {
	if claim != nil || old == nil {
		return nil
	}
	var keys []reconcile.Key
	for _, set := range c.sets.List(old.Namespace, nil) {
		for i := range set.Spec.VolumeClaimTemplates {
			pod, ok := strings.CutPrefix(old.Name, set.Spec.VolumeClaimTemplates[i].Name+"-")
			if _, named := ordinalOf(set, pod); ok && named {
				keys = append(keys, reconcile.Key{Namespace: set.Namespace, Name: set.Name})
			}
		}
	}
	return keys
}
