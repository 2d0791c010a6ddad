package discovery

//lint:file-ignore SA1019 Endpoints are deprecated, and served.

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/registry/kindtest"
)

func TestEndpointSlices(t *testing.T) {
	for _, c := range []struct {
		name, text, reason string
		want               []string
	}{
		{"good", "addressType: IPv4\nendpoints: [{addresses: [10.244.0.1], nodeName: n}]\nports: [{port: 80}]", "the usual", nil},
		{"type", "addressType: MAC", "three are known", []string{`addressType: Unsupported value: "MAC": supported values: "FQDN", "IPv4", "IPv6"`}},
		{"no type", "endpoints: []", "which?", []string{"addressType: Required value"}},
		{"no address", "addressType: IPv4\nendpoints: [{addresses: []}]", "an endpoint is somewhere", []string{"endpoints[0].addresses: Required value: must contain at least 1 address"}},
		{"special", "addressType: IPv4\nendpoints: [{addresses: [127.0.0.1, 169.254.0.1, 0.0.0.0, '::1']}]", "not the node itself",
			[]string{"loopback", "link-local range", "unspecified", "loopback"}},
		{"other family", "addressType: IPv4\nendpoints: [{addresses: ['2001:db8::1']}]", "as the slice says", []string{"must be an IPv4 address"}},
		{"ports", "addressType: IPv4\nports: [{port: 0}, {port: 1, protocol: X}, {name: A, port: 1}]", "names, numbers, protocols",
			[]string{"ports[0].port: Invalid value: 0", `ports[1].name: Duplicate value: ""`, "ports[1].protocol: Unsupported value", "ports[2].name: Invalid value"}},
		{"hints", "addressType: IPv4\nendpoints: [{addresses: [10.0.0.1], hints: {forZones: [{name: a}, {name: a}]}}]", "each zone once", []string{"Duplicate value: \"a\""}},
		{"topology", "addressType: IPv4\nendpoints: [{addresses: [10.0.0.1], deprecatedTopology: {topology.kubernetes.io/zone: a}}]", "it has a field",
			[]string{"endpoints[0].deprecatedTopology[topology.kubernetes.io/zone]: Forbidden"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Log(c.reason)
			s := kindtest.From[discoveryv1.EndpointSlice](t, c.text)
			defaultEndpointSlice(s)
			kindtest.WantErrors(t, validateEndpointSlice(s), c.want...)
		})
	}
}

func TestEndpointSliceStrategy(t *testing.T) {
	old := kindtest.From[discoveryv1.EndpointSlice](t, "metadata: {generation: 1}\naddressType: IPv4\nports: [{port: 80}]")
	defaultEndpointSlice(old)
	if p := old.Ports[0]; *p.Name != "" || *p.Protocol != corev1.ProtocolTCP {
		t.Errorf("a port is named %q and speaks %q by default", *p.Name, *p.Protocol)
	}
	s := old.DeepCopy()
	s.ResourceVersion = "9"
	prepareEndpointSliceUpdate(s, old)
	if s.Generation != 1 {
		t.Errorf("no change made generation %d", s.Generation)
	}
	s.Endpoints = []discoveryv1.Endpoint{{Addresses: []string{"10.0.0.1"}}}
	prepareEndpointSliceUpdate(s, old)
	if s.Generation != 2 {
		t.Errorf("a new endpoint made generation %d", s.Generation)
	}
	s.AddressType = discoveryv1.AddressTypeIPv6
	kindtest.WantErrors(t, validateEndpointSliceUpdate(s, old), "addressType: Invalid value: \"IPv6\": field is immutable")
}

func TestEndpointsAndColumns(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	slice := kindtest.From[discoveryv1.EndpointSlice](t, `
addressType: IPv4
endpoints: [{addresses: [10.0.0.1]}, {addresses: [10.0.0.2]}, {addresses: [10.0.0.3]}, {addresses: [10.0.0.4]}]
ports: [{port: 80}, {}]`)
	if got, want := printSlicePorts(slice)+" "+printSliceAddresses(slice), "80,* 10.0.0.1,10.0.0.2,10.0.0.3 + 1 more..."; got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
	eps := kindtest.From[corev1.Endpoints](t, `
subsets: [{addresses: [{ip: 10.0.0.1}, {ip: 10.0.0.2}], ports: [{port: 80}, {port: 443, name: b}]}, {}]`)
	eps.Name, eps.CreationTimestamp = "e", metav1.NewTime(now.Add(-3*time.Hour))
	defaultEndpoints(eps)
	if got, want := printEndpoints(eps), "10.0.0.1:80,10.0.0.1:443,10.0.0.2:80 + 1 more..."; got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
	kindtest.WantErrors(t, validateEndpoints(eps), "subsets[0].ports[0].name: Required value",
		"subsets[1]: Required value: must specify `addresses` or `notReadyAddresses`")
	if got := printEndpoints(&corev1.Endpoints{}); got != kind.None {
		t.Errorf("no endpoints print %q", got)
	}
}
