package endpointslicemirroring

//lint:file-ignore SA1019 Endpoints made by hand are what this is about.

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func addresses(ips ...string) (out []corev1.EndpointAddress) {
	for _, ip := range ips {
		out = append(out, corev1.EndpointAddress{IP: ip})
	}
	return out
}

func hand(edits ...func(*corev1.Endpoints)) *corev1.Endpoints {
	e := &corev1.Endpoints{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "db", UID: "u", Labels: map[string]string{"l": "v"}, Annotations: map[string]string{"a": "b", corev1.LastAppliedConfigAnnotation: "{}"}},
		Subsets:    []corev1.EndpointSubset{{Addresses: addresses("10.0.0.1", "10.0.0.2"), NotReadyAddresses: addresses("10.0.0.3"), Ports: []corev1.EndpointPort{{Name: "p", Port: 80, Protocol: "TCP"}}}},
	}
	for _, edit := range edits {
		edit(e)
	}
	return e
}

func service(selector map[string]string) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "db"}, Spec: corev1.ServiceSpec{Selector: selector}}
}

func TestDecide(t *testing.T) {
	six := func(e *corev1.Endpoints) { e.Subsets[0].Addresses = addresses("10.0.0.1", "fd00::1") }
	more := func(e *corev1.Endpoints) { e.Subsets[0].Addresses = addresses("10.0.0.1", "10.0.0.9") }
	empty := func(e *corev1.Endpoints) { e.Subsets = nil }
	twoPorts := func(e *corev1.Endpoints) {
		e.Subsets = append(e.Subsets, corev1.EndpointSubset{Addresses: addresses("10.0.0.5"), Ports: []corev1.EndpointPort{{Port: 81, Protocol: "TCP"}}})
	}
	crowd := func(e *corev1.Endpoints) {
		e.Subsets[0].Addresses = nil
		for i := range 1003 {
			e.Subsets[0].Addresses = append(e.Subsets[0].Addresses, corev1.EndpointAddress{IP: fmt.Sprintf("10.0.%d.%d", 1+i/250, 1+i%250)})
		}
		e.Subsets[0].NotReadyAddresses = nil
	}
	made := decide(observed{Endpoints: hand(), Service: service(nil)}).Create
	for _, tc := range []struct {
		reason  string
		e       *corev1.Endpoints
		svc     *corev1.Service
		slices  []*discoveryv1.EndpointSlice
		want    string
		dropped int
	}{
		{"a new list gets a slice", hand(), service(nil), nil, "create 1, update 0, delete 0 slices", 0},
		{"and rests", hand(), service(nil), made, "create 0, update 0, delete 0 slices", 0},
		{"another address", hand(more), service(nil), made, "create 0, update 1, delete 0 slices", 0},
		{"a slice for each family", hand(six), service(nil), nil, "create 2, update 0, delete 0 slices", 0},
		{"and for each set of ports", hand(twoPorts), service(nil), made, "create 1, update 0, delete 0 slices", 0},
		{"no address left", hand(empty), service(nil), made, "create 0, update 0, delete 1 slices", 0},
		{"the list is gone", nil, service(nil), made, "create 0, update 0, delete 1 slices", 0},
		{"no service, no slices", hand(), nil, made, "create 0, update 0, delete 1 slices", 0},
		{"a service that selects has others", hand(), service(map[string]string{"app": "db"}), nil, "create 0, update 0, delete 0 slices", 0},
		{"asked not to", hand(func(e *corev1.Endpoints) { e.Labels[discoveryv1.LabelSkipMirror] = "true" }), service(nil), nil, "create 0, update 0, delete 0 slices", 0},
		{"a lock", hand(func(e *corev1.Endpoints) { e.Annotations[leaderKey] = "x" }), service(nil), nil, "create 0, update 0, delete 0 slices", 0},
		{"too many", hand(crowd), service(nil), nil, "create 1, update 0, delete 0 slices", 3},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			p := decide(observed{Endpoints: tc.e, Service: tc.svc, Slices: tc.slices})
			if p.String() != tc.want || p.Dropped != tc.dropped {
				t.Errorf("decide = %s, dropped %d; want %s, %d", p, p.Dropped, tc.want, tc.dropped)
			}
		})
	}
}

func TestSliceLooksLikeItsOriginal(t *testing.T) {
	s := decide(observed{Endpoints: hand(), Service: service(nil)}).Create[0]
	if s.Labels["l"] != "v" || s.Labels[discoveryv1.LabelServiceName] != "db" || s.Labels[discoveryv1.LabelManagedBy] != manager {
		t.Errorf("labels %v", s.Labels)
	}
	if len(s.Annotations) != 1 || s.Annotations["a"] != "b" {
		t.Errorf("annotations %v", s.Annotations)
	}
	if len(s.Endpoints) != 3 || !*s.Endpoints[1].Conditions.Ready || *s.Endpoints[2].Conditions.Ready || s.OwnerReferences[0].Kind != "Endpoints" {
		t.Errorf("endpoints %+v, owners %+v", s.Endpoints, s.OwnerReferences)
	}
}
