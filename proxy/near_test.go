package proxy

import (
	"strings"
	"testing"
	"testing/synctest"

	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/miniorch/miniorch/pkg/client/clienttest"
	"github.com/miniorch/miniorch/pkg/decision"
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

// TestProxyFollowsItsZone: a node that learns its zone, or moves, sends its clients elsewhere.
func TestProxyFollowsItsZone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		zoned := sliceOf("web", "10.244.0.5", "10.244.1.5")
		for i, zone := range []string{"z1", "z2"} {
			zoned.Endpoints[i].Hints = &discoveryv1.EndpointHints{ForZones: []discoveryv1.ForZone{{Name: zone}}}
		}
		server := clienttest.NewServer(t, named("web", "10.96.0.20"), zoned, named("db", "10.96.0.21"), sliceOf("db", "10.244.0.9"))
		informers, rules := clienttest.NewInformers(t, server), &book{}
		p := New(informers, rules, Config{NodeName: "n1", Decisions: decision.NewLog(100)})
		clienttest.RunInformers(t, informers)
		clienttest.Run(t, p.Run)
		<-p.Synced()
		for _, step := range []struct{ zone, want string }{{"", "10.244.0.5:8080 10.244.1.5:8080"}, {"z1", "10.244.0.5:8080"}, {"z2", "10.244.1.5:8080"}} {
			p.SetZone(step.zone)
			synctest.Wait()
			if got := rules.leadsTo("web"); got != step.want {
				t.Errorf("in zone %q web leads to %s, want %s", step.zone, got, step.want)
			}
		}
		if got := strings.Join(rules.written(), ", "); got != "all, web, web" {
			t.Errorf("written: %s; want only the Service that has hints", got)
		}
	})
}
