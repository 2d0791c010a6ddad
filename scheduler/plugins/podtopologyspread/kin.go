package podtopologyspread

import (
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/miniorch/miniorch/pkg/client"
)

// bySelector indexes Services by one pair of labels that their selector asks for.
const bySelector = "scheduler/one-of-selector"

// informedKin finds a pod's Services and controller through informers.
type informedKin struct {
	services *client.Informer[*corev1.Service]
	rcs      *client.Informer[*corev1.ReplicationController]
	rss      *client.Informer[*appsv1.ReplicaSet]
	sets     *client.Informer[*appsv1.StatefulSet]
}

// NewKin returns who knows which Services and which controller a pod belongs to.
func NewKin(informers *client.Informers) Kin {
	k := informedKin{
		services: client.InformerFor[*corev1.Service](informers), rcs: client.InformerFor[*corev1.ReplicationController](informers),
		rss: client.InformerFor[*appsv1.ReplicaSet](informers), sets: client.InformerFor[*appsv1.StatefulSet](informers),
	}
	k.services.Index(bySelector, func(s *corev1.Service) []string {
		for _, key := range slices.Sorted(maps.Keys(s.Spec.Selector)) {
			return []string{pair(s.Namespace, key, s.Spec.Selector[key])}
		}
		return nil
	})
	return k
}

func pair(ns, key, value string) string { return ns + "/" + key + "=" + value }

// Selector implements Kin.
func (k informedKin) Selector(pod *corev1.Pod) labels.Selector {
	set := labels.Set{}
	for key, value := range pod.Labels {
		for _, s := range k.services.ByIndex(bySelector, pair(pod.Namespace, key, value)) {
			if labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(pod.Labels)) {
				maps.Copy(set, s.Spec.Selector)
			}
		}
	}
	selector := k.ofController(pod)
	if len(set) == 0 {
		return selector
	}
	requirements, _ := labels.SelectorFromSet(set).Requirements()
	if selector == nil {
		selector = labels.Everything()
	}
	return selector.Add(requirements...)
}

// ofController returns the selector of the pod's controller, nil if it has none that replicates.
func (k informedKin) ofController(pod *corev1.Pod) labels.Selector {
	ref := metav1.GetControllerOfNoCopy(pod)
	if ref == nil {
		return nil
	}
	switch ref.Kind {
	case "ReplicationController":
		if rc, ok := k.rcs.Get(pod.Namespace, ref.Name); ok && rc.UID == ref.UID && len(rc.Spec.Selector) > 0 {
			return labels.SelectorFromSet(rc.Spec.Selector)
		}
	case "ReplicaSet":
		if rs, ok := k.rss.Get(pod.Namespace, ref.Name); ok && rs.UID == ref.UID {
			return parsed(rs.Spec.Selector)
		}
	case "StatefulSet":
		if set, ok := k.sets.Get(pod.Namespace, ref.Name); ok && set.UID == ref.UID {
			return parsed(set.Spec.Selector)
		}
	}
	return nil
}

// parsed returns a selector that selects something, else nil.
func parsed(s *metav1.LabelSelector) labels.Selector {
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil || selector.Empty() {
		return nil
	}
	if _, selectable := selector.Requirements(); !selectable {
		return nil
	}
	return selector
}
