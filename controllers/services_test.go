package controllers

//lint:file-ignore SA1019 the deprecated Endpoints are tested.

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// Conformance "EndpointSlice, creation/deletion" and "EndpointSlice, empty Service".
func TestServicesHaveEndpoints(t *testing.T) {
	inWorld(t, 2, nil, func(w *world) {
		create(w, webService())
		noSelector := webService()
		noSelector.Name, noSelector.Spec.Selector = "manual", nil
		create(w, noSelector)
		w.Tick(time.Second)
		show := func(name string) string {
			slices, inThem := list[*discoveryv1.EndpointSlice](w, "default", "kubernetes.io/service-name="+name), 0
			for _, s := range slices {
				inThem += len(s.Endpoints)
			}
			out := fmt.Sprintf("slices: %v with %d, ", len(slices) > 0, inThem)
			if !exists[*corev1.Endpoints](w, "default", name) {
				return out + "no endpoints object"
			}
			n := 0
			for _, s := range get[*corev1.Endpoints](w, "default", name).Subsets {
				n += len(s.Addresses)
			}
			return out + fmt.Sprintf("endpoints of %d", n)
		}
		expect := func(reason, name, want string) {
			t.Helper()
			if got := show(name); got != want {
				t.Errorf("%s: %s, want %s", reason, got, want)
			}
		}
		expect("a service without pods", "web", "slices: true with 0, endpoints of 0")
		expect("a service without selector is left alone", "manual", "slices: false with 0, no endpoints object")
		create(w, webDeployment(120, "v1"))
		w.Tick(10 * time.Second)
		expect("with pods", "web", "slices: true with 120, endpoints of 120")
		remove[*corev1.Service](w, "default", "web", "Background")
		w.Tick(time.Second)
		expect("without the service", "web", "slices: false with 0, no endpoints object")
	})
}
