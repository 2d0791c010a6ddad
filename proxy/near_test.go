package proxy

import (
	"testing"

	discoveryv1 "k8s.io/api/discovery/v1"
)

func TestNear(t *testing.T) {
	forZone := func(e discoveryv1.Endpoint, zone string) discoveryv1.Endpoint {
		e.Hints = &discoveryv1.EndpointHints{ForZones: []discoveryv1.ForZone{{Name: zone}}}
		return e
	}
	forNode := func(e discoveryv1.Endpoint, node, zone string) discoveryv1.Endpoint {
		e = forZone(e, zone)
		e.Hints.ForNodes = []discoveryv1.ForNode{{Name: node}}
		return e
	}
	a, b := endpoint("10.244.0.5", "n1", "ready"), endpoint("10.244.1.5", "n2", "ready")
	gone := endpoint("10.244.2.5", "n3", "terminating, serving")
	cases := []struct {
		reason    string
		at        Place
		endpoints []discoveryv1.Endpoint
		want      string
	}{
		{"no hints: all", Place{"n1", "z1"}, []discoveryv1.Endpoint{a, b}, "10.244.0.5:8080 10.244.1.5:8080"},
		{"those of the zone", Place{"n9", "z2"}, []discoveryv1.Endpoint{forZone(a, "z1"), forZone(b, "z2")}, "10.244.1.5:8080"},
		{"none of the zone: all", Place{"n9", "z3"}, []discoveryv1.Endpoint{forZone(a, "z1"), forZone(b, "z2")}, "10.244.0.5:8080 10.244.1.5:8080"},
		{"a node without zone: all", Place{"n9", ""}, []discoveryv1.Endpoint{forZone(a, "z1"), forZone(b, "z2")}, "10.244.0.5:8080 10.244.1.5:8080"},
		{"hints that are not written yet: all", Place{"n9", "z1"}, []discoveryv1.Endpoint{forZone(a, "z1"), b}, "10.244.0.5:8080 10.244.1.5:8080"},
		{"those of the node before those of the zone", Place{"n2", "z1"}, []discoveryv1.Endpoint{forNode(a, "n1", "z1"), forNode(b, "n2", "z1")}, "10.244.1.5:8080"},
		{"none of the node: those of the zone", Place{"n9", "z1"}, []discoveryv1.Endpoint{forNode(a, "n1", "z1"), forNode(b, "n2", "z2")}, "10.244.0.5:8080"},
		{"one that terminates has no say", Place{"n9", "z1"}, []discoveryv1.Endpoint{forZone(a, "z1"), gone}, "10.244.0.5:8080"},
		{"the last ones, which terminate, serve all", Place{"n9", "z1"}, []discoveryv1.Endpoint{gone}, "10.244.2.5:8080"},
	}
	for _, c := range cases {
		p := Decide(service(nil), []*discoveryv1.EndpointSlice{slice(c.endpoints...)}, c.at)[0]
		if got := addresses(p.Cluster); got != c.want {
			t.Errorf("%s: %q, want %q", c.reason, got, c.want)
		}
	}
}
