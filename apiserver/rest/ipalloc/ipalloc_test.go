package ipalloc

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func ranges(cidrs ...string) Ranges {
	r := Ranges{Ports: Range{30000, 30009}}
	for _, c := range cidrs {
		r.CIDRs = append(r.CIDRs, netip.MustParsePrefix(c))
	}
	return r
}

func service(name string, change ...func(*corev1.Service)) *corev1.Service {
	svc := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "ns"},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP, Ports: []corev1.ServicePort{{Port: 80, Protocol: corev1.ProtocolTCP}}},
	}
	for _, f := range change {
		f(svc)
	}
	return svc
}

func ip(text string) func(*corev1.Service) {
	return func(svc *corev1.Service) { svc.Spec.ClusterIP = text }
}

func nodePort(ports ...int32) func(*corev1.Service) {
	return func(svc *corev1.Service) {
		svc.Spec.Type, svc.Spec.Ports = corev1.ServiceTypeNodePort, nil
		for i, p := range ports {
			svc.Spec.Ports = append(svc.Spec.Ports, corev1.ServicePort{Port: int32(80 + i), Protocol: corev1.ProtocolTCP, NodePort: p})
		}
	}
}

// book is what is taken, in these tests.
type book struct {
	taken  map[Address]bool
	random *rand.Rand
}

func newBook() *book { return &book{map[Address]bool{}, rand.New(rand.NewPCG(1, 1))} }

func (b *book) assign(t *testing.T, r Ranges, svc, old *corev1.Service) Claim {
	t.Helper()
	c, errs := r.Assign(svc, old, func(a Address) bool { return b.taken[a] }, b.random.Uint64)
	if len(errs) > 0 {
		t.Fatal(errs.ToAggregate())
	}
	for _, a := range c.Take {
		if b.taken[a] {
			t.Errorf("%s was given twice", a)
		}
		b.taken[a] = true
	}
	for _, a := range c.Drop {
		delete(b.taken, a)
	}
	return c
}

func TestAssignDefaults(t *testing.T) {
	b, r := newBook(), ranges("10.96.0.0/16")
	svc := service("a")
	b.assign(t, r, svc, nil)
	if got := svc.Spec; !r.CIDRs[0].Contains(netip.MustParseAddr(got.ClusterIP)) || got.ClusterIPs[0] != got.ClusterIP ||
		got.IPFamilies[0] != corev1.IPv4Protocol || *got.IPFamilyPolicy != corev1.IPFamilyPolicySingleStack {
		t.Errorf("spec = %+v", got)
	}
	headless := service("b", ip("None"))
	if c := b.assign(t, r, headless, nil); headless.Spec.ClusterIPs[0] != "None" || len(c.Take) != 0 {
		t.Errorf("headless = %+v, takes %v", headless.Spec, c.Take)
	}
	external := service("c", func(svc *corev1.Service) { svc.Spec.Type = corev1.ServiceTypeExternalName })
	b.assign(t, r, external, nil)
	if external.Spec.ClusterIP != "" || external.Spec.ClusterIPs != nil || external.Spec.IPFamilies != nil {
		t.Errorf("external name = %+v", external.Spec)
	}
}

func TestAssignRefuses(t *testing.T) {
	dual := corev1.IPFamilyPolicyRequireDualStack
	for _, tc := range []struct {
		name string
		svc  *corev1.Service
		says string
	}{
		{"an address outside", service("a", ip("10.97.0.1")), "is not in the valid range. The range of valid IPs is 10.96.0.0/16, 10.98.0.0/24"},
		{"the network's address", service("a", ip("10.96.0.0")), "is not in the valid range"},
		{"the broadcast address", service("a", ip("10.96.255.255")), "is not in the valid range"},
		{"the API server's address", service("a", ip("10.96.0.1")), "reserved for the API server"},
		{"no address", service("a", ip("ten")), "spec.clusterIPs[0]: Invalid value: \"ten\": must be a valid IP address"},
		{"a port outside", service("a", nodePort(80)), "provided port is not in the valid range. The range of valid ports is 30000-30009"},
		{"two families", service("a", func(svc *corev1.Service) { svc.Spec.IPFamilyPolicy = &dual }), "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": this cluster is not configured for dual-stack services"},
		{"IPv6", service("a", func(svc *corev1.Service) { svc.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv6Protocol} }), "not configured on this cluster"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, errs := ranges("10.96.0.0/16", "10.98.0.0/24").Assign(tc.svc, nil, func(Address) bool { return false }, func() uint64 { return 0 })
			if len(errs) == 0 || !strings.Contains(errs.ToAggregate().Error(), tc.says) {
				t.Errorf("errors = %v, want %q", errs, tc.says)
			}
		})
	}
}

func TestRangesAreUsedUp(t *testing.T) {
	b, r := newBook(), ranges("10.0.0.0/29", "10.1.0.0/30") // 5 and 2 addresses
	for i := range 7 {
		svc := service(fmt.Sprint(i))
		b.assign(t, r, svc, nil)
		if svc.Spec.ClusterIP == "10.0.0.1" {
			t.Error("an ordinary service got the first address")
		}
		if second := strings.HasPrefix(svc.Spec.ClusterIP, "10.1."); second != (i >= 5) {
			t.Errorf("service %d has %s: the second range is for when the first is full", i, svc.Spec.ClusterIP)
		}
	}
	_, errs := r.Assign(service("late"), nil, func(a Address) bool { return b.taken[a] }, b.random.Uint64)
	if len(errs) == 0 || !strings.Contains(errs[0].Error(), "range 10.0.0.0/29, 10.1.0.0/30 is full") {
		t.Errorf("errors = %v", errs)
	}
	own := service("kubernetes", func(svc *corev1.Service) { svc.Namespace = "default" })
	b.assign(t, r, own, nil)
	if own.Spec.ClusterIP != "10.0.0.1" {
		t.Errorf("the API's address = %s", own.Spec.ClusterIP)
	}
}

func TestUpdatesTakeAndDrop(t *testing.T) {
	b, r := newBook(), ranges("10.96.0.0/16")
	first := service("a", nodePort(30001, 0), ip("10.96.5.5"))
	if c := b.assign(t, r, first, nil); len(c.Take) != 3 || len(c.Drop) != 0 {
		t.Errorf("a new service: %+v", c)
	}
	changed := first.DeepCopy()
	changed.Spec.Ports = changed.Spec.Ports[:1]
	changed.Spec.Ports[0].NodePort = 30002
	c := b.assign(t, r, changed, first)
	if len(c.Take) != 1 || c.Take[0].Port != 30002 || len(c.Drop) != 2 {
		t.Errorf("another port: %+v", c)
	}
	if c := b.assign(t, ranges("10.97.0.0/16"), changed.DeepCopy(), changed); len(c.Take)+len(c.Drop) != 0 {
		t.Errorf("what a service has it keeps, wherever it is: %+v", c)
	}
	external := changed.DeepCopy()
	external.Spec = corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName}
	if c := b.assign(t, r, external, changed); len(c.Drop) != 2 || len(b.taken) != 0 {
		t.Errorf("no addresses any more: %+v, left %v", c, b.taken)
	}
}

func TestOneNodePortForBothProtocols(t *testing.T) {
	b, r := newBook(), ranges("10.96.0.0/16")
	svc := service("dns", func(svc *corev1.Service) {
		svc.Spec.Type = corev1.ServiceTypeLoadBalancer
		svc.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
		svc.Spec.Ports = []corev1.ServicePort{{Port: 53, Protocol: corev1.ProtocolUDP}, {Port: 53, Protocol: corev1.ProtocolTCP}, {Port: 54, Protocol: corev1.ProtocolTCP}}
	})
	c := b.assign(t, r, svc, nil)
	p := svc.Spec.Ports
	if p[0].NodePort == 0 || p[0].NodePort != p[1].NodePort || p[2].NodePort == p[0].NodePort || svc.Spec.HealthCheckNodePort == p[2].NodePort || len(c.Take) != 4 {
		t.Errorf("ports = %+v, health %d, takes %v", p, svc.Spec.HealthCheckNodePort, c.Take)
	}
	for _, a := range c.Take {
		if path, value := Where(svc, a); path == nil || value == nil {
			t.Errorf("where is %s?", a)
		}
	}
}

// TestBands: what is chosen comes from the upper part of a range first, so that the addresses
// that people like to ask for are likely to be free.
func TestBands(t *testing.T) {
	r := Ranges{CIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}, Ports: Range{30000, 32767}}
	low := block(r.CIDRs[0]).reserved()
	if low != 16 || r.Ports.reserved() != 86 {
		t.Errorf("the lower bands are %d addresses and %d ports", low, r.Ports.reserved())
	}
	b := newBook()
	for i := range 200 {
		svc := service(fmt.Sprint(i), nodePort(0))
		b.assign(t, r, svc, nil)
		if at := netip.MustParseAddr(svc.Spec.ClusterIP).As4()[3]; at < 2+16 || svc.Spec.Ports[0].NodePort < 30086 {
			t.Errorf("%s and %d are of the lower bands", svc.Spec.ClusterIP, svc.Spec.Ports[0].NodePort)
		}
	}
	if all := Addresses(service("a", ip("10.0.0.9"), nodePort(1, 1, 2))); !slices.Equal(all, []Address{{IP: netip.MustParseAddr("10.0.0.9")}, {Port: 1}, {Port: 2}}) {
		t.Errorf("%v", all)
	}
}
