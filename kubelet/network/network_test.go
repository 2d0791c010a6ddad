package network

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/kubelet/sandbox"
)

// machine is a node of its own: a network namespace with an uplink, and a Network in it.
type machine struct {
	t   *testing.T
	ns  netns.NsHandle
	net *Network
}

// within calls f with the calling thread inside the namespace.
func within(t *testing.T, ns netns.NsHandle, f func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // not unlocked: the thread ends with the goroutine
		if err := netns.Set(ns); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func newNamespace(t *testing.T) netns.NsHandle {
	t.Helper()
	made := make(chan netns.NsHandle, 1)
	go func() {
		runtime.LockOSThread()
		ns, err := netns.New()
		if err != nil {
			t.Error(err)
		}
		made <- ns
	}()
	ns := <-made
	t.Cleanup(func() { ns.Close() })
	return ns
}

// twoMachines joins two nodes by a veth. Their addresses are prefixes: whether one
// contains the other decides between direct routes and VXLAN.
func twoMachines(t *testing.T, first, second netip.Prefix) [2]*machine {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	var ms [2]*machine
	prefixes := [2]netip.Prefix{first, second}
	for i := range ms {
		ms[i] = &machine{t: t, ns: newNamespace(t), net: &Network{
			config: Config{
				NodeName: fmt.Sprintf("n%d", i), NodeIP: prefixes[i].Addr(), StateDir: t.TempDir(), Bridge: "mo-pods",
				ClusterCIDR: netip.MustParsePrefix("10.244.0.0/16"), Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
			},
			set: make(chan struct{}),
		}}
		ms[i].net.addresses = &addressBook{dir: t.TempDir()}
	}
	within(t, ms[0].ns, func() error {
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "uplink", MTU: 1500}, PeerName: "uplink", PeerNamespace: netlink.NsFd(ms[1].ns)})
	})
	for i, m := range ms {
		within(t, m.ns, func() error {
			up, err := netlink.LinkByName("uplink")
			if err != nil {
				return err
			}
			if err := netlink.AddrAdd(up, &netlink.Addr{IPNet: &net.IPNet{IP: prefixes[i].Addr().AsSlice(), Mask: net.CIDRMask(prefixes[i].Bits(), 32)}}); err != nil {
				return err
			}
			if err := netlink.LinkSetUp(up); err != nil {
				return err
			}
			return netlink.RouteReplace(&netlink.Route{LinkIndex: up.Attrs().Index, Scope: netlink.SCOPE_LINK, Dst: host(prefixes[1-i].Addr())})
		})
	}
	var nodes []*corev1.Node
	for i := range ms {
		nodes = append(nodes, newNode(fmt.Sprintf("n%d", i), prefixes[i].Addr().String(), fmt.Sprintf("10.244.%d.0/24", i)))
	}
	for _, m := range ms {
		within(t, m.ns, func() error { return m.net.program(nodes) })
	}
	return ms
}

func newNode(name, ip, cidr string) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{PodCIDR: cidr}}
	if ip != "" {
		n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: ip}}
	}
	return n
}

func (m *machine) setup(spec sandbox.Spec) sandbox.Result {
	m.t.Helper()
	var box sandbox.Result
	within(m.t, m.ns, func() (err error) {
		box, err = m.net.Setup(context.Background(), spec)
		return err
	})
	m.t.Cleanup(func() {
		within(m.t, m.ns, func() error { return m.net.Teardown(context.Background(), spec.UID) })
	})
	return box
}

// listen answers each TCP connection in the sandbox with the caller's address.
func listen(t *testing.T, box sandbox.Result, port int) {
	t.Helper()
	ns, err := netns.GetFromPath(box.NetNSPath)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	within(t, ns, func() error {
		l, err := net.Listen("tcp4", fmt.Sprintf(":%d", port))
		if err != nil {
			return err
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
				_, _ = io.WriteString(c, host)
				c.Close()
			}
		}()
		return nil
	})
}

func ask(t *testing.T, ns netns.NsHandle, address string) (seenAs string) {
	t.Helper()
	within(t, ns, func() error {
		c, err := net.DialTimeout("tcp4", address, 30*time.Second)
		if err != nil {
			return err
		}
		defer c.Close()
		answer, err := io.ReadAll(c)
		seenAs = string(answer)
		return err
	})
	return seenAs
}

func (m *machine) askFromPod(box sandbox.Result, address string) string {
	m.t.Helper()
	ns, err := netns.GetFromPath(box.NetNSPath)
	if err != nil {
		m.t.Fatal(err)
	}
	defer ns.Close()
	return ask(m.t, ns, address)
}

// dial connects inside the pod without being in its namespace, and reads who the listener saw.
func (m *machine) dial(box sandbox.Result, address string) string {
	m.t.Helper()
	uid := types.UID(filepath.Base(filepath.Dir(box.NetNSPath)))
	if _, err := m.net.Dial(m.t.Context(), uid, false, "localhost:80"); err == nil {
		m.t.Error("a name was looked up outside the pod")
	}
	if _, err := m.net.Dial(m.t.Context(), "no-such-pod", false, address); err == nil {
		m.t.Error("dialled inside a pod that does not exist")
	}
	conn, err := m.net.Dial(m.t.Context(), uid, false, address)
	if err != nil {
		m.t.Fatal(err)
	}
	defer conn.Close()
	seen, err := io.ReadAll(conn)
	if err != nil {
		m.t.Fatal(err)
	}
	return string(seen)
}

func TestPodsReachEachOther(t *testing.T) {
	cases := map[string]struct {
		first, second string
		overlay       bool
	}{
		"direct routes between nodes of one subnet":    {first: "10.89.0.11/24", second: "10.89.0.12/24"},
		"vxlan between nodes that are not on one link": {first: "10.89.1.11/24", second: "10.89.2.12/24", overlay: true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			ms := twoMachines(t, netip.MustParsePrefix(c.first), netip.MustParsePrefix(c.second))
			a := ms[0].setup(sandbox.Spec{UID: "a", Hostname: "pod-a", HostPorts: []sandbox.HostPort{{Protocol: corev1.ProtocolTCP, HostPort: 8088, ContainerPort: 80}}})
			b := ms[0].setup(sandbox.Spec{UID: "b", Hostname: "pod-b"})
			far := ms[1].setup(sandbox.Spec{UID: "c", Hostname: "pod-c"})
			listen(t, a, 80)
			listen(t, far, 80)

			for _, reach := range []struct {
				reason, from, got string
			}{
				{"pods of one node", b.IPs[0], ms[0].askFromPod(b, a.IPs[0]+":80")},
				{"a pod of the other node", a.IPs[0], ms[0].askFromPod(a, far.IPs[0]+":80")},
				{"a pod and itself", a.IPs[0], ms[0].askFromPod(a, a.IPs[0]+":80")},
				{"the node and its pod", "10.244.0.1", ask(t, ms[0].ns, a.IPs[0]+":80")},
			} {
				if reach.got != reach.from {
					t.Errorf("%s: the listener saw %q, want %q: pods see each other's own addresses", reach.reason, reach.got, reach.from)
				}
			}
			if got := ms[0].dial(a, "127.0.0.1:80"); got != "127.0.0.1" {
				t.Errorf("dialling inside the pod the listener saw %q, want its own loopback", got)
			}
			if got := ask(t, ms[1].ns, strings.Split(c.first, "/")[0]+":8088"); got == "" {
				t.Error("the host port does not answer from the other node")
			}
			if got := ms[0].askFromPod(a, strings.Split(c.first, "/")[0]+":8088"); got == "" {
				t.Error("a pod does not reach itself through its host port")
			}
			within(t, ms[0].ns, func() error {
				if lo, err := netlink.LinkByName("lo"); err != nil || netlink.LinkSetUp(lo) != nil {
					return fmt.Errorf("setting loopback up: %w", err)
				}
				return nil
			})
			if got := ask(t, ms[0].ns, "127.0.0.1:8088"); got != "10.244.0.1" {
				t.Errorf("at the node's 127.0.0.1 the host port saw %q, want the bridge's address", got)
			}
			within(t, ms[0].ns, func() error {
				if _, err := netlink.LinkByName(overlayName); (err == nil) != c.overlay {
					return fmt.Errorf("vxlan device: err %v, want overlay %v", err, c.overlay)
				}
				return nil
			})
		})
	}
}

// TestReusedAddress: the node speaks to a pod at once whose address another one had before it.
func TestReusedAddress(t *testing.T) {
	m := twoMachines(t, netip.MustParsePrefix("10.89.0.11/24"), netip.MustParsePrefix("10.89.0.12/24"))[0]
	first := m.setup(sandbox.Spec{UID: "first", Hostname: "first"})
	m.setup(sandbox.Spec{UID: "other", Hostname: "other"}) // a bridge without any pod forgets everything
	listen(t, first, 80)
	ask(t, m.ns, first.IPs[0]+":80")
	within(t, m.ns, func() error { return m.net.Teardown(context.Background(), "first") })
	m.net.addresses = &addressBook{dir: m.net.addresses.dir} // the agent starts again

	second := m.setup(sandbox.Spec{UID: "second", Hostname: "second"})
	if second.IPs[0] != first.IPs[0] {
		t.Fatalf("the second pod has %s, want %s again", second.IPs[0], first.IPs[0])
	}
	ns, err := netns.GetFromPath(second.NetNSPath)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	var mac string
	within(t, ns, func() error {
		eth0, err := netlink.LinkByName("eth0")
		if err == nil {
			mac = eth0.Attrs().HardwareAddr.String()
		}
		return err
	})
	within(t, m.ns, func() error {
		known, err := netlink.NeighList(0, netlink.FAMILY_V4)
		for _, n := range known {
			if n.IP.String() == second.IPs[0] && n.HardwareAddr.String() != mac {
				err = fmt.Errorf("the node takes %s for %s, and it is %s", second.IPs[0], n.HardwareAddr, mac)
			}
		}
		return err
	})
	listen(t, second, 80)
	ask(t, m.ns, second.IPs[0]+":80")
}

func TestSetupIsIdempotentAndTeardownComplete(t *testing.T) {
	ms := twoMachines(t, netip.MustParsePrefix("10.89.0.11/24"), netip.MustParsePrefix("10.89.0.12/24"))
	m := ms[0]
	spec := sandbox.Spec{UID: "a", Hostname: "pod-a", Sysctls: map[string]string{"net.ipv4.ip_unprivileged_port_start": "80"},
		HostPorts: []sandbox.HostPort{{Protocol: corev1.ProtocolUDP, HostPort: 53, ContainerPort: 53}}}
	first, again := m.setup(spec), m.setup(spec)
	if fmt.Sprint(first) != fmt.Sprint(again) {
		t.Fatalf("Setup is not idempotent: %+v, then %+v", first, again)
	}
	ns, err := netns.GetFromPath(first.NetNSPath)
	if err != nil {
		t.Fatal(err)
	}
	within(t, ns, func() error {
		got, err := os.ReadFile("/proc/thread-self/root/proc/sys/net/ipv4/ip_unprivileged_port_start")
		if err == nil && strings.TrimSpace(string(got)) != "80" {
			err = fmt.Errorf("sysctl is %q, want 80", got)
		}
		return err
	})
	ns.Close()
	within(t, m.ns, func() error {
		if err := m.net.Teardown(context.Background(), spec.UID); err != nil {
			return err
		}
		if _, err := netlink.LinkByName(linkName(spec.UID)); err == nil {
			return fmt.Errorf("link %s is still there", linkName(spec.UID))
		}
		rules, err := exec.Command("iptables-save", "-t", "nat").Output()
		if err == nil && strings.Contains(string(rules), "--dport 53") {
			err = fmt.Errorf("the host port's rule is still there:\n%s", rules)
		}
		return err
	})
	if left, err := m.net.Sandboxes(context.Background()); err != nil || len(left) > 0 {
		t.Errorf("sandboxes left: %v, err %v", left, err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || strings.Contains(string(mounts), m.net.config.StateDir) {
		t.Errorf("a namespace is still pinned below %s (err %v)", m.net.config.StateDir, err)
	}
	if taken, err := m.net.addresses.read(); err != nil || len(taken) > 0 {
		t.Errorf("addresses left: %v, err %v", taken, err)
	}
}

func TestRoutesFollowNodes(t *testing.T) {
	ms := twoMachines(t, netip.MustParsePrefix("10.89.0.11/24"), netip.MustParsePrefix("10.89.0.12/24"))
	within(t, ms[0].ns, func() error {
		self := newNode("n0", "10.89.0.11", "10.244.0.0/24")
		for _, step := range []struct {
			reason string
			nodes  []*corev1.Node
			routes int
		}{
			{"a second and a third node", []*corev1.Node{self, newNode("n1", "10.89.0.12", "10.244.1.0/24"), newNode("n2", "10.89.0.13", "10.244.2.0/24")}, 2},
			{"a node that left", []*corev1.Node{self, newNode("n2", "10.89.0.13", "10.244.2.0/24")}, 1},
			{"alone", []*corev1.Node{self}, 0},
		} {
			if err := ms[0].net.program(step.nodes); err != nil {
				return fmt.Errorf("%s: %w", step.reason, err)
			}
			routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Protocol: routeProtocol}, netlink.RT_FILTER_PROTOCOL)
			if err != nil || len(routes) != step.routes {
				return fmt.Errorf("%s: routes %v (err %w), want %d", step.reason, routes, err, step.routes)
			}
		}
		return nil
	})
}

// TestRoutesComeBackWithTheLink: the kernel takes routes away when their link goes down.
func TestRoutesComeBackWithTheLink(t *testing.T) {
	ms := twoMachines(t, netip.MustParsePrefix("10.89.0.11/24"), netip.MustParsePrefix("10.89.0.12/24"))
	m := ms[0].net
	m.changed = make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(t.Context())
	watching := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := netns.Set(ms[0].ns); err != nil {
			watching <- err
			return
		}
		watching <- m.watchUplink(ctx)
	}()
	woken := false
	for range 600 { // until the watch has begun
		within(t, ms[0].ns, func() error {
			link, err := netlink.LinkByName("uplink")
			if err != nil {
				return err
			}
			return errors.Join(netlink.LinkSetDown(link), netlink.LinkSetUp(link))
		})
		select {
		case <-m.changed:
			woken = true
		case <-time.After(100 * time.Millisecond):
			continue
		}
		break
	}
	cancel()
	if err := <-watching; err != nil || !woken {
		t.Errorf("woken: %v, err %v", woken, err)
	}
	within(t, ms[0].ns, func() error {
		nodes := []*corev1.Node{newNode("n0", "10.89.0.11", "10.244.0.0/24"), newNode("n1", "10.89.0.12", "10.244.1.0/24")}
		if err := m.program(nodes); err != nil {
			return err
		}
		routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Protocol: routeProtocol}, netlink.RT_FILTER_PROTOCOL)
		if err != nil || len(routes) != 1 {
			return fmt.Errorf("routes %v (err %w), want one", routes, err)
		}
		return nil
	})
}

func TestDecideRoutes(t *testing.T) {
	onLink := []netip.Prefix{netip.MustParsePrefix("10.89.0.0/24")}
	cases := []struct {
		reason string
		nodes  []*corev1.Node
		want   string
	}{
		{"this node needs no route to itself", []*corev1.Node{newNode("self", "10.89.0.2", "10.244.0.0/24")}, "no routes to other nodes"},
		{"a neighbour", []*corev1.Node{newNode("a", "10.89.0.3", "10.244.1.0/24")}, "10.244.1.0/24 via 10.89.0.3"},
		{"a node behind a router", []*corev1.Node{newNode("a", "10.90.0.3", "10.244.1.0/24")}, "10.244.1.0/24 via vxlan to 10.90.0.3"},
		{"no podCIDR yet", []*corev1.Node{newNode("a", "10.89.0.3", "")}, "no routes to other nodes"},
		{"no address yet", []*corev1.Node{newNode("a", "", "10.244.1.0/24")}, "no routes to other nodes"},
		{"nonsense is left out", []*corev1.Node{newNode("a", "10.89.0.3", "10.244.1.0/99")}, "no routes to other nodes"},
	}
	for _, c := range cases {
		if got := decideRoutes("self", onLink, c.nodes).String(); got != c.want {
			t.Errorf("%s: got %q, want %q", c.reason, got, c.want)
		}
	}
}

func TestAddresses(t *testing.T) {
	cidr := netip.MustParsePrefix("10.244.7.0/29") // .1 gateway, .2–.6 pods, .7 broadcast
	book := &addressBook{dir: t.TempDir()}
	seen := map[netip.Addr]bool{}
	for i := range 5 {
		ip, err := book.allocate(cidr, fmt.Sprint("pod", i))
		if err != nil || seen[ip] {
			t.Fatalf("pod %d: %s, seen before: %v, err %v", i, ip, seen[ip], err)
		}
		seen[ip] = true
	}
	if ip, err := book.allocate(cidr, "one too many"); err == nil {
		t.Fatalf("got %s from an exhausted range", ip)
	}
	restarted := &addressBook{dir: book.dir}
	again, err := restarted.allocate(cidr, "pod3")
	if err != nil || !seen[again] {
		t.Fatalf("after a restart pod3 has %s, err %v; want the address that it had", again, err)
	}
	if err := restarted.release("pod1"); err != nil {
		t.Fatal(err)
	}
	if _, err := restarted.allocate(cidr, "next"); err != nil {
		t.Fatalf("a released address cannot be allocated: %v", err)
	}
}

func TestHostPortRules(t *testing.T) {
	got := hostPortRules([]forwarding{{IP: netip.MustParseAddr("10.244.0.5"), Pod: "default/web", Ports: []sandbox.HostPort{
		{HostIP: "10.89.0.2", HostPort: 80, ContainerPort: 8080, Protocol: corev1.ProtocolTCP}}}})
	want := `-A MINIORCH-HOSTPORTS -d 10.89.0.2/32 -p tcp -m tcp --dport 80 -m comment --comment "default/web" -j DNAT --to-destination 10.244.0.5:8080`
	if !strings.Contains(got, want) {
		t.Errorf("rules lack\n%s\ngot\n%s", want, got)
	}
}

func BenchmarkSetupTeardown(b *testing.B) {
	t := &testing.T{}
	ms := twoMachines(t, netip.MustParsePrefix("10.89.0.11/24"), netip.MustParsePrefix("10.89.0.12/24"))
	within(t, ms[0].ns, func() error {
		for b.Loop() {
			uid := types.UID("bench")
			if _, err := ms[0].net.Setup(context.Background(), sandbox.Spec{UID: uid, Hostname: "bench"}); err != nil {
				return err
			}
			b.StopTimer()
			if err := ms[0].net.Teardown(context.Background(), uid); err != nil {
				return err
			}
			b.StartTimer()
		}
		return nil
	})
}
