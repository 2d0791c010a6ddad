package iptables

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/proxy"
)

// inNamespace runs f on a thread with a network of its own, with the
// addresses of a node and two endpoints.
func inNamespace(t testing.TB, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: thread and namespace end with this goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			err = addresses("10.244.0.5", "10.244.0.6")
		}
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func addresses(local ...string) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return err
	}
	for _, a := range local {
		ip := net.ParseIP(a)
		if err := netlink.AddrAdd(lo, &netlink.Addr{IPNet: &net.IPNet{IP: ip, Mask: net.CIDRMask(32, 32)}}); err != nil {
			return err
		}
	}
	// Connections to Services leave by some route before rules turn them elsewhere.
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "uplink", Flags: net.FlagUp}, PeerName: "far-end"}); err != nil {
		return err
	}
	uplink, err := netlink.LinkByName("uplink")
	if err != nil {
		return err
	}
	if err := netlink.AddrAdd(uplink, &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(10, 89, 0, 11), Mask: net.CIDRMask(24, 32)}}); err != nil {
		return err
	}
	farEnd, err := netlink.LinkByName("far-end")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(farEnd); err != nil {
		return err
	}
	gateway := net.IPv4(10, 89, 0, 1)
	if err := netlink.NeighSet(&netlink.Neigh{LinkIndex: uplink.Attrs().Index, State: netlink.NUD_PERMANENT, IP: gateway, HardwareAddr: farEnd.Attrs().HardwareAddr}); err != nil {
		return err
	}
	return netlink.RouteAdd(&netlink.Route{LinkIndex: uplink.Attrs().Index, Gw: gateway})
}

// answer serves its own address to every TCP connection and datagram.
func answer(t testing.TB, address string) {
	t.Helper()
	l, err := net.Listen("tcp4", address)
	if err != nil {
		t.Fatal(err)
	}
	u, err := net.ListenPacket("udp4", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(); u.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, address)
			c.Close()
		}
	}()
	go func() {
		buf := make([]byte, 100)
		for {
			_, from, err := u.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = u.WriteTo([]byte(address), from)
		}
	}()
}

func ask(address string) (string, error) {
	c, err := net.DialTimeout("tcp4", address, 10*time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	b, err := io.ReadAll(c)
	return string(b), err
}

func services(ports ...proxy.ServicePort) map[types.NamespacedName][]proxy.ServicePort {
	return map[types.NamespacedName][]proxy.ServicePort{{Namespace: "default", Name: "web"}: ports}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
		runtime.Goexit()
	}
}

func TestKernelFollowsTheRules(t *testing.T) {
	inNamespace(t, func() {
		ctx := context.Background()
		answer(t, "10.244.0.5:8080")
		answer(t, "10.244.0.6:8080")
		two := endpoints("10.244.0.5:8080", "10.244.0.6:8080")
		web := proxy.ServicePort{Service: types.NamespacedName{Namespace: "default", Name: "web"}, Name: "http", Protocol: corev1.ProtocolTCP,
			ClusterIP: clusterIP, Port: 80, NodePort: 30080, Cluster: two, Outside: two}
		w := New(clusterCIDR, Run, nil)
		if err := w.Reset(ctx, services(web)); err != nil {
			t.Error(err)
			return
		}
		seen := map[string]int{}
		for range 40 {
			got, err := ask("10.96.0.20:80")
			if err != nil {
				t.Error(err)
				return
			}
			seen[got]++
		}
		if len(seen) != 2 {
			t.Errorf("40 connections were answered by %v, want both endpoints", seen)
		}
		if got, err := ask("10.89.0.11:30080"); err != nil || !strings.HasPrefix(got, "10.244.0.") {
			t.Errorf("the node port answers %q, %v", got, err)
		}

		if got, err := ask("127.0.0.1:30080"); err != nil || !strings.HasPrefix(got, "10.244.0.") {
			t.Errorf("the node port answers %q at 127.0.0.1, %v", got, err)
		}
		setting := func(want string) {
			if got, err := os.ReadFile(localnet); err != nil || string(got) != want+"\n" { // of this thread's namespace
				t.Errorf("%s is %q, want %q (err %v)", localnet, got, want, err)
			}
		}
		setting("1")

		// Affinity: one client, one endpoint.
		web.AffinitySeconds = 60
		if err := w.Update(ctx, services(web)); err != nil {
			t.Error(err)
			return
		}
		seen = map[string]int{}
		for range 20 {
			got, err := ask("10.96.0.20:80")
			if err != nil {
				t.Error(err)
				return
			}
			seen[got]++
		}
		if len(seen) != 1 {
			t.Errorf("with affinity 20 connections were answered by %v, want one endpoint", seen)
		}

		// No endpoints: refused at once, not left to time out.
		none := web
		none.Cluster, none.Outside = nil, nil
		if err := w.Update(ctx, services(none)); err != nil {
			t.Error(err)
			return
		}
		for _, address := range []string{"10.96.0.20:80", "10.89.0.11:30080"} {
			if _, err := ask(address); err == nil || !strings.Contains(err.Error(), "refused") {
				t.Errorf("%s without endpoints: %v, want connection refused", address, err)
			}
		}

		// Another process finds the chains and makes them its own; removed, nothing is left.
		second := New(clusterCIDR, Run, nil)
		if err := second.Reset(ctx, services(web)); err != nil {
			t.Error(err)
			return
		}
		if got, err := ask("10.96.0.20:80"); err != nil {
			t.Errorf("after a restart: %q, %v", got, err)
		}
		setting("1")
		if err := errors.Join(second.Remove(ctx), w.closeLocalnet(ctx)); err != nil {
			t.Error(err)
		}
		setting("0")
		for _, table := range []string{"nat", "filter"} {
			out, err := Run(ctx, "", "iptables-save", "-t", table)
			if err != nil || strings.Contains(out, "MINIORCH") || strings.Contains(out, "MO-S") {
				t.Errorf("rules are left in table %s (err %v):\n%s", table, err, out)
			}
		}
	})
}

func TestStaleDatagramsFindANewEndpoint(t *testing.T) {
	inNamespace(t, func() {
		ctx := context.Background()
		answer(t, "10.244.0.5:8080")
		answer(t, "10.244.0.6:8080")
		dns := func(to string) proxy.ServicePort {
			return proxy.ServicePort{Service: types.NamespacedName{Namespace: "default", Name: "web"}, Name: "dns", Protocol: corev1.ProtocolUDP,
				ClusterIP: clusterIP, Port: 53, Cluster: endpoints(to), Outside: endpoints(to)}
		}
		w := New(clusterCIDR, Run, nil)
		if err := w.Reset(ctx, services(dns("10.244.0.5:8080"))); err != nil {
			t.Error(err)
			return
		}
		conn, err := net.Dial("udp4", "10.96.0.20:53")
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		exchange := func() string {
			if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
				return err.Error()
			}
			if _, err := conn.Write([]byte("?")); err != nil {
				return err.Error()
			}
			buf := make([]byte, 100)
			n, err := conn.Read(buf)
			if err != nil {
				return err.Error()
			}
			return string(buf[:n])
		}
		if got := exchange(); got != "10.244.0.5:8080" {
			t.Errorf("first answer from %q", got)
		}
		if err := w.Update(ctx, services(dns("10.244.0.6:8080"))); err != nil {
			t.Error(err)
			return
		}
		flow := proxy.Flow{Dst: clusterIP, Port: 53, Endpoint: netip.MustParseAddrPort("10.244.0.5:8080")}
		if err := (proxy.Conntrack{}).Forget([]proxy.Flow{flow}); err != nil {
			t.Error(err)
			return
		}
		if got := exchange(); got != "10.244.0.6:8080" {
			t.Errorf("after the change the same socket is answered by %q, want the new endpoint", got)
		}
	})
}

func BenchmarkUpdateAmongServices(b *testing.B) {
	for _, count := range []int{100, 1000} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			inNamespace(b, func() {
				ctx := context.Background()
				all := map[types.NamespacedName][]proxy.ServicePort{}
				for i := range count {
					p := port(nil)
					p.Service.Name = fmt.Sprint("svc-", i)
					p.ClusterIP = netip.AddrFrom4([4]byte{10, 96, byte(i >> 8), byte(i)})
					p.NodePort, p.External = 0, nil
					all[p.Service] = []proxy.ServicePort{p}
				}
				w := New(clusterCIDR, Run, nil)
				must(b, w.Reset(ctx, all))
				p := all[types.NamespacedName{Namespace: "default", Name: "svc-7"}][0]
				for i := 0; b.Loop(); i++ {
					p.Cluster = endpoints(fmt.Sprintf("10.244.0.%d:8080", i%250))
					must(b, w.Update(ctx, map[types.NamespacedName][]proxy.ServicePort{p.Service: {p}}))
				}
			})
		})
	}
}
