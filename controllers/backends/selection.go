package backends

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/reconcile"
)

// bySelector indexes each Service under one pair of its selector, so that the Services of
// a pod are found without trying them all.
const bySelector = "selector"

// IndexServices makes KeysOfPod work on inf.
func IndexServices(inf *client.Informer[*corev1.Service]) {
	inf.Index(bySelector, func(svc *corev1.Service) []string {
		if !Managed(svc) {
			return nil
		}
		return []string{svc.Namespace + "/" + slices.Min(pairs(svc.Spec.Selector))}
	})
}

func pairs(m map[string]string) []string {
	var out []string
	for k, v := range m {
		out = append(out, k+"="+v)
	}
	return out
}

// KeysOfPod maps a pod's change to the Services that select it, before or after.
func KeysOfPod(services *client.Informer[*corev1.Service]) func(old, p *corev1.Pod) []reconcile.Key {
	return func(old, p *corev1.Pod) []reconcile.Key {
		if old != nil && p != nil && !Matters(old, p) {
			return nil
		}
		var keys []reconcile.Key
		for _, version := range []*corev1.Pod{old, p} {
			if version == nil {
				continue
			}
			for _, pair := range pairs(version.Labels) {
				for _, svc := range services.ByIndex(bySelector, version.Namespace+"/"+pair) {
					if labels.SelectorFromSet(svc.Spec.Selector).Matches(labels.Set(version.Labels)) {
						keys = append(keys, reconcile.Key{Namespace: svc.Namespace, Name: svc.Name})
					}
				}
			}
		}
		return keys
	}
}
