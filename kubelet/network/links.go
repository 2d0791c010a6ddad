package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// connect gives the sandbox an eth0 that leads to the bridge. Addresses in pods are /32
// with the bridge as the only neighbour: all traffic between pods passes the node's
// routing, so Service rules see both directions without bridge netfilter.
func (n *Network) connect(nsPath string, ip, gw netip.Addr, name string) error {
	bridge, err := netlink.LinkByName(n.config.Bridge)
	if err != nil {
		return fmt.Errorf("finding bridge %s: %w", n.config.Bridge, err)
	}
	ns, err := netns.GetFromPath(nsPath)
	if err != nil {
		return fmt.Errorf("opening %s: %w", nsPath, err)
	}
	defer ns.Close()
	inside, err := netlink.NewHandleAt(ns)
	if err != nil {
		return err
	}
	defer inside.Close()
	if _, err := inside.LinkByName("eth0"); err != nil {
		if err := addVeth(name, ip, bridge, ns); err != nil {
			return err
		}
	}
	return configure(inside, ip, gw)
}

func addVeth(name string, ip netip.Addr, bridge netlink.Link, ns netns.NsHandle) error {
	if err := deleteLink(name); err != nil { // what a crash left
		return err
	}
	veth := &netlink.Veth{
		LinkAttrs:     netlink.LinkAttrs{Name: name, MasterIndex: bridge.Attrs().Index, MTU: bridge.Attrs().MTU, Flags: net.FlagUp},
		PeerName:      "eth0",
		PeerNamespace: netlink.NsFd(ns),
		PeerMTU:       uint32(bridge.Attrs().MTU),
		// The next pod with this address has this MAC as well: the node remembers them together, for up to a minute.
		PeerHardwareAddr: hardwareAddr(0x0a, ip),
	}
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("adding veth %s: %w", name, err)
	}
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	// Where bridge netfilter is on (Docker turns it on), a pod that reaches itself through
	// a Service is bridged back out of the port that it came from.
	if err := netlink.LinkSetHairpin(link, true); err != nil {
		return fmt.Errorf("setting hairpin mode of %s: %w", name, err)
	}
	return nil
}

func configure(inside *netlink.Handle, ip, gw netip.Addr) error {
	lo, err := inside.LinkByName("lo")
	if err != nil {
		return err
	}
	eth0, err := inside.LinkByName("eth0")
	if err != nil {
		return err
	}
	if err := errors.Join(inside.LinkSetUp(lo), inside.LinkSetUp(eth0)); err != nil {
		return err
	}
	address := &netlink.Addr{IPNet: host(ip)}
	if err := inside.AddrReplace(eth0, address); err != nil {
		return fmt.Errorf("setting address %s: %w", ip, err)
	}
	routes := []netlink.Route{
		{LinkIndex: eth0.Attrs().Index, Scope: netlink.SCOPE_LINK, Dst: host(gw)},
		{LinkIndex: eth0.Attrs().Index, Gw: gw.AsSlice()},
	}
	for _, r := range routes {
		if err := inside.RouteReplace(&r); err != nil {
			return fmt.Errorf("setting route %s: %w", r, err)
		}
	}
	return nil
}

// host is ip with a mask of all its bits.
func host(ip netip.Addr) *net.IPNet {
	return &net.IPNet{IP: ip.AsSlice(), Mask: net.CIDRMask(ip.BitLen(), ip.BitLen())}
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func deleteLink(name string) error {
	link, err := netlink.LinkByName(name)
	var absent netlink.LinkNotFoundError
	if errors.As(err, &absent) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := netlink.LinkDel(link); err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("deleting link %s: %w", name, err)
	}
	return nil
}

// ensureBridge makes the pods' bridge with the podCIDR's first address and the kernel
// settings that routing needs.
func (n *Network) ensureBridge(cidr netip.Prefix, mtu int) error {
	link, err := netlink.LinkByName(n.config.Bridge)
	if err != nil {
		bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: n.config.Bridge, MTU: mtu}}
		if err := netlink.LinkAdd(bridge); err != nil {
			return fmt.Errorf("adding bridge %s: %w", n.config.Bridge, err)
		}
		if link, err = netlink.LinkByName(n.config.Bridge); err != nil {
			return err
		}
		// A bridge takes the lowest MAC of its ports unless it was given one: then pods'
		// neighbour entries would go stale when ports come and go.
		if err := netlink.LinkSetHardwareAddr(link, hardwareAddr(0x0a, gateway(cidr))); err != nil {
			return fmt.Errorf("setting the address of %s: %w", n.config.Bridge, err)
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return err
	}
	want := &netlink.Addr{IPNet: &net.IPNet{IP: gateway(cidr).AsSlice(), Mask: net.CIDRMask(cidr.Bits(), cidr.Addr().BitLen())}}
	have, err := netlink.AddrList(link, netlink.FAMILY_V4)
	if err != nil {
		return err
	}
	for _, a := range have {
		if !a.IPNet.IP.Equal(want.IP) {
			if err := netlink.AddrDel(link, &a); err != nil {
				return fmt.Errorf("removing %s from %s: %w", a, n.config.Bridge, err)
			}
		}
	}
	if err := netlink.AddrReplace(link, want); err != nil {
		return fmt.Errorf("giving %s to %s: %w", want, n.config.Bridge, err)
	}
	return n.kernelSettings()
}

func (n *Network) kernelSettings() error {
	settings := map[string]string{
		"/proc/sys/net/ipv4/ip_forward": "1",
		// Pods on one bridge talk through the node's routing on purpose: no redirects.
		"/proc/sys/net/ipv4/conf/all/send_redirects":                     "0",
		"/proc/sys/net/ipv4/conf/" + n.config.Bridge + "/send_redirects": "0",
		// So that the node reaches host ports at 127.0.0.1, too. Of what comes the other way
		// only answers get in: see ensureRules.
		"/proc/sys/net/ipv4/conf/" + n.config.Bridge + "/route_localnet": "1",
	}
	for path, value := range settings {
		if now, err := os.ReadFile(path); err == nil && string(now) == value+"\n" {
			continue
		}
		if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
			return fmt.Errorf("setting %s: %w", path, err)
		}
	}
	return nil
}

// hardwareAddr derives a locally administered MAC from an IPv4 address, so that peers
// can compute each other's without being told.
func hardwareAddr(kind byte, ip netip.Addr) net.HardwareAddr {
	b := ip.As4()
	return net.HardwareAddr{kind, 0x6d, b[0], b[1], b[2], b[3]}
}
