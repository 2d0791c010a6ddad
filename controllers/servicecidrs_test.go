package controllers

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestServiceCIDRsComeAndGo is the documented life of a range of cluster IPs ("Extend Service IP Ranges"): it
// is used when it is ready, and a deletion waits for the last Service that has an address of it.
func TestServiceCIDRsComeAndGo(t *testing.T) {
	inWorld(t, 0, nil, func(w *world) {
		create(w, &networkingv1.ServiceCIDR{ObjectMeta: meta("", "more"), Spec: networkingv1.ServiceCIDRSpec{CIDRs: []string{"10.99.0.0/24"}}})
		w.Tick(time.Second)
		if c := get[*networkingv1.ServiceCIDR](w, "", "more"); !apimeta.IsStatusConditionTrue(c.Status.Conditions, "Ready") || len(c.Finalizers) != 1 {
			t.Errorf("a new range: %+v", c)
		}
		create(w, &corev1.Service{ObjectMeta: meta("default", "far"), Spec: corev1.ServiceSpec{ClusterIP: "10.99.0.7", Ports: []corev1.ServicePort{{Port: 80}}}})
		remove[*networkingv1.ServiceCIDR](w, "", "more", metav1.DeletePropagationBackground)
		w.Tick(time.Minute)
		if c := get[*networkingv1.ServiceCIDR](w, "", "more"); apimeta.IsStatusConditionTrue(c.Status.Conditions, "Ready") || c.DeletionTimestamp == nil {
			t.Errorf("a range on its way out: %+v", c)
		}
		remove[*corev1.Service](w, "default", "far", metav1.DeletePropagationBackground)
		w.Tick(time.Minute)
		for _, c := range list[*networkingv1.ServiceCIDR](w, "", "") {
			if c.Name == "more" {
				t.Errorf("nobody has an address of it any more, and it is there: %+v", c)
			}
		}
	})
}
