package network

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/kubelet/sandbox"
)

// forgetDatagrams makes the kernel forget the tracked flows to the UDP ports among ports, so
// that their next datagram meets the rules as they are now: a client that keeps its socket
// would otherwise go on to a pod that is gone, or to nobody. TCP connections end by themselves.
func forgetDatagrams(ports []sandbox.HostPort) error {
	var stale []netlink.CustomConntrackFilter
	var here map[netip.Addr]bool
	for _, p := range ports {
		if p.Protocol != corev1.ProtocolUDP {
			continue
		}
		if here == nil {
			var err error
			if here, err = ownAddresses(); err != nil {
				return err
			}
		}
		stale = append(stale, datagrams{port: uint16(p.HostPort), here: here})
	}
	if len(stale) == 0 {
		return nil
	}
	if _, err := netlink.ConntrackDeleteFilters(netlink.ConntrackTable, unix.AF_INET, stale...); err != nil {
		return fmt.Errorf("forgetting tracked flows to host ports: %w", err)
	}
	return nil
}

// datagrams matches flows to a port of this node.
type datagrams struct {
	port uint16
	here map[netip.Addr]bool
}

// MatchConntrackFlow compares where the flow's first datagram went.
func (d datagrams) MatchConntrackFlow(c *netlink.ConntrackFlow) bool {
	dst, _ := netip.AddrFromSlice(c.Forward.DstIP)
	return c.Forward.Protocol == unix.IPPROTO_UDP && c.Forward.DstPort == d.port && d.here[dst.Unmap()]
}

func ownAddresses() (map[netip.Addr]bool, error) {
	list, err := netlink.AddrList(nil, netlink.FAMILY_V4)
	if err != nil {
		return nil, fmt.Errorf("listing addresses: %w", err)
	}
	own := map[netip.Addr]bool{}
	for _, a := range list {
		if ip, ok := netip.AddrFromSlice(a.IP.To4()); ok {
			own[ip] = true
		}
	}
	return own, nil
}
