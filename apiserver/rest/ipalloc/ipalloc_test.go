package ipalloc

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func allocator(cidr string) *Services {
	var mu sync.Mutex
	r := rand.New(rand.NewPCG(1, 1))
	return New(netip.MustParsePrefix(cidr), Range{30000, 30009}, func() uint64 { mu.Lock(); defer mu.Unlock(); return r.Uint64() })
}

func service(uid string, change ...func(*corev1.Service)) *corev1.Service {
	svc := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: uid, Namespace: "ns", UID: types.UID(uid)},
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

func assign(t *testing.T, s *Services, svc, old *corev1.Service) *Claim {
	t.Helper()
	c, errs := s.Assign(svc, old)
	if len(errs) > 0 {
		t.Fatal(errs.ToAggregate())
	}
	return c
}

func TestAssignDefaults(t *testing.T) {
	s := allocator("10.96.0.0/16")
	svc := service("a")
	assign(t, s, svc, nil).Commit()
	if got := svc.Spec; !s.cidr.Contains(netip.MustParseAddr(got.ClusterIP)) || got.ClusterIPs[0] != got.ClusterIP ||
		got.IPFamilies[0] != corev1.IPv4Protocol || *got.IPFamilyPolicy != corev1.IPFamilyPolicySingleStack {
		t.Errorf("spec = %+v", got)
	}
	headless := service("b", ip("None"))
	assign(t, s, headless, nil).Commit()
	if headless.Spec.ClusterIPs[0] != "None" || len(s.ips) != 1 {
		t.Errorf("headless = %+v, %d taken", headless.Spec, len(s.ips))
	}
	external := service("c", func(svc *corev1.Service) { svc.Spec.Type = corev1.ServiceTypeExternalName })
	assign(t, s, external, nil).Commit()
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
		{"a taken address", service("a", ip("10.96.0.10")), "failed to allocate IP 10.96.0.10: provided IP is already allocated"},
		{"an address outside", service("a", ip("10.97.0.1")), "is not in the valid range. The range of valid IPs is 10.96.0.0/16"},
		{"the network's address", service("a", ip("10.96.0.0")), "is not in the valid range"},
		{"the broadcast address", service("a", ip("10.96.255.255")), "is not in the valid range"},
		{"the API server's address", service("a", ip("10.96.0.1")), "reserved for the API server"},
		{"no address", service("a", ip("ten")), "not a valid IP address"},
		{"a taken port", service("a", nodePort(30005)), "spec.ports[0].nodePort: Invalid value: 30005: provided port is already allocated"},
		{"a port outside", service("a", nodePort(80)), "provided port is not in the valid range. The range of valid ports is 30000-30009"},
		{"two families", service("a", func(svc *corev1.Service) { svc.Spec.IPFamilyPolicy = &dual }), "single-stack"},
		{"IPv6", service("a", func(svc *corev1.Service) { svc.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv6Protocol} }), "not configured on this cluster"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := allocator("10.96.0.0/16")
			assign(t, s, service("other", nodePort(30005), ip("10.96.0.10")), nil).Commit()
			_, errs := s.Assign(tc.svc, nil)
			if len(errs) == 0 || !strings.Contains(errs.ToAggregate().Error(), tc.says) {
				t.Errorf("errors = %v, want %q", errs, tc.says)
			}
			if len(s.ips) != 1 || len(s.nodePorts) != 1 {
				t.Errorf("a refused service holds something: %v, %v", s.ips, s.nodePorts)
			}
		})
	}
}

func TestAPIServiceHasTheFirstAddress(t *testing.T) {
	s := allocator("10.0.0.0/29") // 6 hosts
	for i := range 5 {
		svc := service(fmt.Sprint(i))
		assign(t, s, svc, nil).Commit()
		if svc.Spec.ClusterIP == "10.0.0.1" {
			t.Error("an ordinary service got the first address")
		}
	}
	if _, errs := s.Assign(service("late"), nil); len(errs) == 0 || !strings.Contains(errs[0].Error(), "range 10.0.0.0/29 is full") {
		t.Errorf("errors = %v", errs)
	}
	api := service("api", func(svc *corev1.Service) { svc.Namespace, svc.Name = "default", "kubernetes" })
	assign(t, s, api, nil).Commit()
	if api.Spec.ClusterIP != "10.0.0.1" {
		t.Errorf("the API's address = %s", api.Spec.ClusterIP)
	}
}

func TestClaimStandsOrFallsWithTheWrite(t *testing.T) {
	s := allocator("10.96.0.0/16")
	first := service("a", nodePort(30001, 0), ip("10.96.5.5"))
	c := assign(t, s, first, nil)
	c.Rollback()
	if len(s.ips)+len(s.nodePorts) != 0 {
		t.Fatalf("after a rollback: %v, %v", s.ips, s.nodePorts)
	}
	first.Spec.Ports[1].NodePort = 0
	c = assign(t, s, first, nil)
	c.Commit()
	c.Rollback() // too late: nothing happens

	changed := first.DeepCopy()
	changed.Spec.Ports = changed.Spec.Ports[:1]
	changed.Spec.Ports[0].NodePort = 30002
	assign(t, s, changed, first).Rollback()
	if s.nodePorts[30001] != "a" || s.nodePorts[30002] != "" || len(s.nodePorts) != 2 {
		t.Errorf("after an update that failed: %v", s.nodePorts)
	}
	assign(t, s, changed, first).Commit()
	if s.nodePorts[30002] != "a" || len(s.nodePorts) != 1 {
		t.Errorf("after the update: %v", s.nodePorts)
	}
	s.Release(changed)
	if len(s.ips)+len(s.nodePorts) != 0 {
		t.Errorf("after the deletion: %v, %v", s.ips, s.nodePorts)
	}
}

func TestOneNodePortForBothProtocols(t *testing.T) {
	s := allocator("10.96.0.0/16")
	svc := service("dns", func(svc *corev1.Service) {
		svc.Spec.Type = corev1.ServiceTypeNodePort
		svc.Spec.Ports = []corev1.ServicePort{{Port: 53, Protocol: corev1.ProtocolUDP}, {Port: 53, Protocol: corev1.ProtocolTCP}, {Port: 54, Protocol: corev1.ProtocolTCP}}
	})
	assign(t, s, svc, nil)
	p := svc.Spec.Ports
	if p[0].NodePort == 0 || p[0].NodePort != p[1].NodePort || p[2].NodePort == p[0].NodePort {
		t.Errorf("ports = %+v", p)
	}
}

func TestLearn(t *testing.T) {
	s := allocator("10.96.0.0/16")
	if problems := s.Learn(service("a", ip("10.96.0.7"), nodePort(30003))); problems != nil {
		t.Errorf("problems = %v", problems)
	}
	if problems := s.Learn(service("b", ip("10.96.0.7"), nodePort(30003))); len(problems) != 2 {
		t.Errorf("problems = %v, want both held twice", problems)
	}
	if problems := s.Learn(service("c", ip("1.2.3.4"), nodePort(3))); len(problems) != 2 {
		t.Errorf("problems = %v, want both outside", problems)
	}
	if _, errs := s.Assign(service("d", ip("10.96.0.7")), nil); len(errs) == 0 {
		t.Error("a learned address was given away")
	}
}

func TestNothingIsGivenTwice(t *testing.T) {
	s := allocator("10.0.0.0/24")
	var mu sync.Mutex
	holders := map[string]string{}
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 200 {
				svc := service(fmt.Sprintf("%d-%d", w, i))
				c, errs := s.Assign(svc, nil)
				if len(errs) > 0 {
					t.Error(errs.ToAggregate())
					return
				}
				if i%3 == 0 {
					c.Rollback()
					continue
				}
				mu.Lock()
				if other, taken := holders[svc.Spec.ClusterIP]; taken {
					t.Errorf("%s belongs to %s and %s", svc.Spec.ClusterIP, other, svc.Name)
				}
				holders[svc.Spec.ClusterIP] = svc.Name
				mu.Unlock()
				c.Commit()
				mu.Lock()
				delete(holders, svc.Spec.ClusterIP)
				mu.Unlock()
				s.Release(svc)
			}
		})
	}
	wg.Wait()
	if len(s.ips) != 0 {
		t.Errorf("%d addresses leaked", len(s.ips))
	}
}
