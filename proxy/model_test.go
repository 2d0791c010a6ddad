package proxy

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/pkg/api"
)

func ptr[T any](v T) *T { return &v }

func service(change func(*corev1.Service)) *corev1.Service {
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"}, Spec: corev1.ServiceSpec{
		ClusterIP: "10.96.0.20", Type: corev1.ServiceTypeClusterIP,
		Ports: []corev1.ServicePort{{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP}},
	}}
	if change != nil {
		change(svc)
	}
	return svc
}

func slice(endpoints ...discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
	return &discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeIPv4, Endpoints: endpoints,
		Ports: []discoveryv1.EndpointPort{{Name: ptr("http"), Port: ptr(int32(8080)), Protocol: ptr(corev1.ProtocolTCP)}}}
}

func endpoint(ip, node, state string) discoveryv1.Endpoint {
	e := discoveryv1.Endpoint{Addresses: []string{ip}, NodeName: &node}
	switch state {
	case "ready":
		e.Conditions = discoveryv1.EndpointConditions{Ready: ptr(true), Serving: ptr(true), Terminating: ptr(false)}
	case "not ready":
		e.Conditions = discoveryv1.EndpointConditions{Ready: ptr(false), Serving: ptr(false), Terminating: ptr(false)}
	case "terminating, serving":
		e.Conditions = discoveryv1.EndpointConditions{Ready: ptr(false), Serving: ptr(true), Terminating: ptr(true)}
	}
	return e
}

func addresses(endpoints []Endpoint) string {
	var all []string
	for _, e := range endpoints {
		all = append(all, e.Addr.String())
	}
	return strings.Join(all, " ")
}

func TestDecide(t *testing.T) {
	two := []*discoveryv1.EndpointSlice{slice(endpoint("10.244.1.5", "n1", "ready"), endpoint("10.244.0.5", "here", "ready"))}
	local := func(s *corev1.Service) { s.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal }
	cases := []struct {
		reason           string
		svc              *corev1.Service
		slices           []*discoveryv1.EndpointSlice
		ports            int
		cluster, outside string
		drop             bool
	}{
		{"all ready endpoints, in the order of their addresses", service(nil), two, 1, "10.244.0.5:8080 10.244.1.5:8080", "10.244.0.5:8080 10.244.1.5:8080", false},
		{"a headless Service has no rules", service(func(s *corev1.Service) { s.Spec.ClusterIP = "None" }), two, 0, "", "", false},
		{"an ExternalName Service has no rules", service(func(s *corev1.Service) { s.Spec.Type, s.Spec.ClusterIP = corev1.ServiceTypeExternalName, "" }), two, 0, "", "", false},
		{"another program serves it", service(func(s *corev1.Service) { s.Labels = map[string]string{api.LabelServiceProxyName: "mine"} }), two, 0, "", "", false},
		{"it is marked as headless", service(func(s *corev1.Service) { s.Labels = map[string]string{corev1.IsHeadlessService: ""} }), two, 0, "", "", false},
		{"what is not ready gets nothing", service(nil), []*discoveryv1.EndpointSlice{slice(endpoint("10.244.1.5", "n1", "not ready"), endpoint("10.244.0.5", "here", "ready"))}, 1, "10.244.0.5:8080", "10.244.0.5:8080", false},
		{"the last one serves while it terminates (KEP-1669)", service(nil), []*discoveryv1.EndpointSlice{slice(endpoint("10.244.1.5", "n1", "terminating, serving"))}, 1, "10.244.1.5:8080", "10.244.1.5:8080", false},
		{"a terminating one rests while another is ready", service(nil), []*discoveryv1.EndpointSlice{slice(endpoint("10.244.1.5", "n1", "terminating, serving"), endpoint("10.244.0.5", "here", "ready"))}, 1, "10.244.0.5:8080", "10.244.0.5:8080", false},
		{"an endpoint in two slices counts once, ready if either says so", service(nil), []*discoveryv1.EndpointSlice{slice(endpoint("10.244.0.5", "here", "ready")), slice(endpoint("10.244.0.5", "here", "not ready"))}, 1, "10.244.0.5:8080", "10.244.0.5:8080", false},
		{"a port of another name is another port", service(func(s *corev1.Service) { s.Spec.Ports[0].Name = "metrics" }), two, 1, "", "", false},
		{"internalTrafficPolicy Local stays on the node", service(func(s *corev1.Service) { s.Spec.InternalTrafficPolicy = ptr(corev1.ServiceInternalTrafficPolicyLocal) }), two, 1, "10.244.0.5:8080", "10.244.0.5:8080 10.244.1.5:8080", false},
		{"externalTrafficPolicy Local takes local endpoints from outside", service(local), two, 1, "10.244.0.5:8080 10.244.1.5:8080", "10.244.0.5:8080", false},
		{"externalTrafficPolicy Local without a local endpoint drops", service(local), []*discoveryv1.EndpointSlice{slice(endpoint("10.244.1.5", "n1", "ready"))}, 1, "10.244.1.5:8080", "", true},
		{"nothing behind it", service(nil), nil, 1, "", "", false},
	}
	for _, c := range cases {
		got := Decide(c.svc, c.slices, Place{Node: "here"})
		if len(got) != c.ports {
			t.Errorf("%s: %d ports, want %d", c.reason, len(got), c.ports)
			continue
		}
		if c.ports == 0 {
			continue
		}
		if a := addresses(got[0].Cluster); a != c.cluster {
			t.Errorf("%s: from inside to %q, want %q", c.reason, a, c.cluster)
		}
		if a := addresses(got[0].Outside); a != c.outside {
			t.Errorf("%s: from outside to %q, want %q", c.reason, a, c.outside)
		}
		if got[0].DropOutside != c.drop {
			t.Errorf("%s: drop %v, want %v", c.reason, got[0].DropOutside, c.drop)
		}
	}
}

func TestBalancer(t *testing.T) {
	slices := []*discoveryv1.EndpointSlice{slice(endpoint("10.244.0.5", "here", "ready"), endpoint("10.244.0.6", "here", "terminating, serving"), endpoint("10.244.1.5", "n1", "ready"))}
	balanced := func(s *corev1.Service) {
		s.Spec.Type, s.Spec.ExternalTrafficPolicy, s.Spec.HealthCheckNodePort = corev1.ServiceTypeLoadBalancer, corev1.ServiceExternalTrafficPolicyLocal, 32000
		s.Spec.ExternalIPs, s.Spec.LoadBalancerSourceRanges = []string{"198.51.100.1"}, []string{" 192.0.2.0/24 ", "2001:db8::/32"}
		s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "203.0.113.7"}, {IP: "203.0.113.8", IPMode: ptr(corev1.LoadBalancerIPModeProxy)}, {Hostname: "lb.example.com"}}
	}
	p := Decide(service(balanced), slices, Place{Node: "here"})[0]
	if got := fmt.Sprint(p.External, p.Guarded, p.Sources); got != "[198.51.100.1 203.0.113.7] [203.0.113.7] [192.0.2.0/24]" {
		t.Errorf("external, guarded, sources: %s; a proxying balancer's address is its own, an external IP is open to all", got)
	}
	if got := fmt.Sprint(p.HealthPort, p.Ready); got != "32000 [10.244.0.5]" {
		t.Errorf("health port and who is ready here: %s; one that terminates is not, one on another node is not here", got)
	}
	p = Decide(service(func(s *corev1.Service) { balanced(s); s.Spec.Type = corev1.ServiceTypeNodePort }), slices, Place{Node: "here"})[0]
	if p.HealthPort != 0 || p.Guarded != nil {
		t.Errorf("without a load balancer nobody asks, and nothing is guarded: %d %v", p.HealthPort, p.Guarded)
	}
}

func TestStaleFlows(t *testing.T) {
	port := func(protocol corev1.Protocol, endpoints ...string) []ServicePort {
		p := ServicePort{Name: "dns", Protocol: protocol, ClusterIP: netip.MustParseAddr("10.96.0.10"), Port: 53, NodePort: 30053}
		for _, e := range endpoints {
			p.Cluster = append(p.Cluster, Endpoint{Addr: netip.MustParseAddrPort(e)})
		}
		return []ServicePort{p}
	}
	cases := []struct {
		reason        string
		before, after []ServicePort
		flows         int
		endpoint      string
	}{
		{"an endpoint that is gone, by ClusterIP and node port", port("UDP", "10.244.0.5:53", "10.244.0.6:53"), port("UDP", "10.244.0.5:53"), 2, "10.244.0.6:53"},
		{"the first endpoint: all flows were tracked without an answer", port("UDP"), port("UDP", "10.244.0.5:53"), 2, "invalid AddrPort"},
		{"the Service is gone", port("UDP", "10.244.0.5:53"), nil, 2, "10.244.0.5:53"},
		{"one more endpoint disturbs nobody", port("UDP", "10.244.0.5:53"), port("UDP", "10.244.0.5:53", "10.244.0.6:53"), 0, ""},
		{"TCP connections end by themselves", port("TCP", "10.244.0.5:53"), nil, 0, ""},
	}
	for _, c := range cases {
		got := staleFlows(c.before, c.after)
		if len(got) != c.flows {
			t.Errorf("%s: %v, want %d flows", c.reason, got, c.flows)
			continue
		}
		for _, f := range got {
			if f.Endpoint.String() != c.endpoint {
				t.Errorf("%s: flow to %s, want %s", c.reason, f.Endpoint, c.endpoint)
			}
		}
	}
}
