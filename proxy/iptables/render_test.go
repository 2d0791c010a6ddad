package iptables

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/proxy"
)

var (
	clusterCIDR = netip.MustParsePrefix("10.244.0.0/16")
	pod         = netip.MustParseAddr("10.244.0.9")
	stranger    = netip.MustParseAddr("192.0.2.1")
	node        = local[0]
	clusterIP   = netip.MustParseAddr("10.96.0.20")
	balancer    = netip.MustParseAddr("203.0.113.7")
)

func endpoints(addresses ...string) []proxy.Endpoint {
	var list []proxy.Endpoint
	for _, a := range addresses {
		list = append(list, proxy.Endpoint{Addr: netip.MustParseAddrPort(a)})
	}
	return list
}

func port(change func(*proxy.ServicePort)) proxy.ServicePort {
	two := endpoints("10.244.0.5:8080", "10.244.1.5:8080")
	p := proxy.ServicePort{
		Service: types.NamespacedName{Namespace: "default", Name: "web"}, Name: "http", Protocol: corev1.ProtocolTCP,
		ClusterIP: clusterIP, Port: 80, NodePort: 30080, External: []netip.Addr{balancer}, Cluster: two, Outside: two,
	}
	if change != nil {
		change(&p)
	}
	return p
}

func TestPackets(t *testing.T) {
	plain := port(nil)
	empty := port(func(p *proxy.ServicePort) { p.Cluster, p.Outside = nil, nil })
	sticky := port(func(p *proxy.ServicePort) { p.AffinitySeconds = 60 })
	localOnly := port(func(p *proxy.ServicePort) { p.Outside, p.PreserveSource = endpoints("10.244.0.5:8080"), true })
	elsewhere := port(func(p *proxy.ServicePort) { p.Outside, p.PreserveSource, p.DropOutside = nil, true, true })
	udp := port(func(p *proxy.ServicePort) { p.Protocol = corev1.ProtocolUDP })

	guarded := port(func(p *proxy.ServicePort) {
		p.Guarded, p.Sources = p.External, []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	})

	cases := []struct {
		reason string
		port   proxy.ServicePort
		packet packet
		want   string
	}{
		{"a source that the load balancer lets in", guarded, packet{src: stranger, dst: balancer, port: 80}, "10.244.0.5:8080 masqueraded"},
		{"one that it does not", guarded, packet{src: pod, dst: balancer, port: 80}, "drop"},
		{"source ranges guard no node port", guarded, packet{src: pod, dst: node, port: 30080}, "10.244.0.5:8080 masqueraded"},
		{"a pod by ClusterIP", plain, packet{src: pod, dst: clusterIP, port: 80}, "10.244.0.5:8080"},
		{"the second endpoint has its turn", plain, packet{src: pod, dst: clusterIP, port: 80, choose: 1}, "10.244.1.5:8080"},
		{"a pod that reaches itself is masqueraded", plain, packet{src: netip.MustParseAddr("10.244.0.5"), dst: clusterIP, port: 80}, "10.244.0.5:8080 masqueraded"},
		{"a stranger by ClusterIP is masqueraded: the answer must come back here", plain, packet{src: stranger, dst: clusterIP, port: 80}, "10.244.0.5:8080 masqueraded"},
		{"another port is not ours", plain, packet{src: pod, dst: clusterIP, port: 81}, "no rule"},
		{"another protocol is not ours", plain, packet{src: pod, dst: clusterIP, port: 80, protocol: "udp"}, "no rule"},
		{"UDP", udp, packet{src: pod, dst: clusterIP, port: 80, protocol: "udp"}, "10.244.0.5:8080"},
		{"node port from outside", plain, packet{src: stranger, dst: node, port: 30080}, "10.244.0.5:8080 masqueraded"},
		{"node port from a pod", plain, packet{src: pod, dst: node, port: 30080}, "10.244.0.5:8080 masqueraded"},
		{"node port at an address that is not the node's", plain, packet{src: pod, dst: stranger, port: 30080}, "no rule"},
		{"load balancer address", plain, packet{src: stranger, dst: balancer, port: 80}, "10.244.0.5:8080 masqueraded"},
		{"no endpoints: refused at the ClusterIP", empty, packet{src: pod, dst: clusterIP, port: 80}, "reject"},
		{"no endpoints: refused at the node port", empty, packet{src: stranger, dst: node, port: 30080}, "reject"},
		{"no endpoints: refused at the load balancer's address", empty, packet{src: stranger, dst: balancer, port: 80}, "reject"},
		{"affinity holds a known client", sticky, packet{src: pod, dst: clusterIP, port: 80, sticky: endpointChain(sticky, sticky.Cluster[1])}, "10.244.1.5:8080"},
		{"affinity lets a new client choose", sticky, packet{src: pod, dst: clusterIP, port: 80}, "10.244.0.5:8080"},
		{"traffic policy Local keeps the client's address", localOnly, packet{src: stranger, dst: node, port: 30080}, "10.244.0.5:8080"},
		{"traffic policy Local: pods are served from anywhere", localOnly, packet{src: pod, dst: node, port: 30080, choose: 1}, "10.244.1.5:8080"},
		{"traffic policy Local: so is the node itself", localOnly, packet{src: node, dst: node, port: 30080, choose: 1}, "10.244.1.5:8080 masqueraded"},
		{"traffic policy Local without local endpoints drops", elsewhere, packet{src: stranger, dst: node, port: 30080}, "drop"},
		{"… while the ClusterIP goes on", elsewhere, packet{src: pod, dst: clusterIP, port: 80}, "10.244.0.5:8080"},
	}
	for _, c := range cases {
		if c.packet.protocol == "" {
			c.packet.protocol = "tcp"
		}
		rules := compose(map[string]fragment{"default/web": render([]proxy.ServicePort{c.port}, clusterCIDR)})
		if got := rules.send(t, c.packet); got != c.want {
			t.Errorf("%s: %s ends at %q, want %q", c.reason, c.packet, got, c.want)
		}
	}
}

func TestScriptTouchesOnlyWhatChanged(t *testing.T) {
	other := port(func(p *proxy.ServicePort) {
		p.Service.Name, p.ClusterIP, p.NodePort, p.External = "other", netip.MustParseAddr("10.96.0.21"), 0, nil
	})
	web := func(to ...string) fragment {
		return render([]proxy.ServicePort{port(func(p *proxy.ServicePort) { p.Cluster, p.Outside = endpoints(to...), endpoints(to...) })}, clusterCIDR)
	}
	before := compose(map[string]fragment{"a": web("10.244.0.5:8080", "10.244.0.6:8080"), "b": render([]proxy.ServicePort{other}, clusterCIDR)})
	after := compose(map[string]fragment{"a": web("10.244.0.5:8080"), "b": render([]proxy.ServicePort{other}, clusterCIDR)})
	got := script("nat", before.nat, after.nat)
	svc, gone := chainName("MO-SVC-", port(nil).Key()), endpointChain(port(nil), endpoints("10.244.0.6:8080")[0])
	for _, want := range []string{":" + svc + " - [0:0]\n", "-X " + gone + "\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("the script lacks %q:\n%s", want, got)
		}
	}
	for _, untouched := range []string{servicesChain, chainName("MO-SVC-", other.Key()), endpointChain(port(nil), endpoints("10.244.0.5:8080")[0])} {
		if strings.Contains(got, ":"+untouched+" ") {
			t.Errorf("the script rewrites %s, which did not change:\n%s", untouched, got)
		}
	}
	if again := script("nat", after.nat, after.nat) + script("filter", after.filter, after.filter); again != "" {
		t.Errorf("nothing changed, yet there is a script:\n%s", again)
	}
}

// TestDifferenceIsComposed checks on random changes that applying differences one after the
// other ends where composing everything anew does.
func TestDifferenceIsComposed(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	fragments := map[string]fragment{}
	kernel := compose(fragments)
	for step := range 300 {
		name := fmt.Sprint("default/svc-", random.IntN(8))
		f := fragment{}
		if random.IntN(4) > 0 {
			f = render([]proxy.ServicePort{port(func(p *proxy.ServicePort) {
				p.Service.Name = name
				p.Cluster = p.Cluster[:random.IntN(3)]
				p.Outside = p.Cluster
				p.NodePort = uint16(30000 + random.IntN(2)*80)
			})}, clusterCIDR)
		}
		before, after := map[string]fragment{name: fragments[name]}, map[string]fragment{name: f}
		if fragments[name] = f; f.empty() {
			delete(fragments, name)
		}
		old, new := difference(before, after, fragments)
		for chain := range old.nat {
			delete(kernel.nat, chain)
		}
		maps.Copy(kernel.nat, new.nat)
		maps.Copy(kernel.filter, new.filter)
		if diff := cmp.Diff(compose(fragments), kernel, cmp.AllowUnexported(tables{}), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("step %d, %s: %s", step, name, diff)
		}
	}
}

func TestChainNamesFit(t *testing.T) {
	if name := chainName("MO-SVC-", strings.Repeat("x", 300)); len(name) > 28 {
		t.Errorf("%s has %d bytes, the kernel takes 28", name, len(name))
	}
}

func BenchmarkScriptForOneServiceOf10000(b *testing.B) {
	fragments := map[string]fragment{}
	for i := range 10_000 {
		p := port(func(p *proxy.ServicePort) {
			p.Service.Name = fmt.Sprint("svc-", i)
			p.ClusterIP = netip.AddrFrom4([4]byte{10, 96, byte(i >> 8), byte(i)})
		})
		fragments[p.Service.String()] = render([]proxy.ServicePort{p}, clusterCIDR)
	}
	for i := 0; b.Loop(); i++ {
		p := port(func(p *proxy.ServicePort) {
			p.Service.Name, p.ClusterIP = "svc-7", netip.AddrFrom4([4]byte{10, 96, 0, 7})
			p.Cluster = endpoints(fmt.Sprintf("10.244.0.%d:8080", i%250))
		})
		name := p.Service.String()
		before, after := map[string]fragment{name: fragments[name]}, map[string]fragment{name: render([]proxy.ServicePort{p}, clusterCIDR)}
		fragments[name] = after[name]
		old, new := difference(before, after, fragments)
		if script("nat", old.nat, new.nat) == "" {
			b.Fatal("no change")
		}
	}
}
