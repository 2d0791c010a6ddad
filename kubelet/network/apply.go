package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/pkg/decision"
)

const (
	// routeProtocol marks our routes, so that we delete no others. 0x6d is unassigned in rt_protos.
	routeProtocol = 0x6d
	overlayName   = "mo-vxlan"
	overlayID     = 1
	overlayPort   = 4789 // IANA's
	overlayCost   = 50   // bytes that VXLAN over IPv4 adds to a packet
)

// sync brings bridge, masquerade rule and routes to what the Nodes say now.
func (n *Network) sync() error {
	return n.program(n.nodes.List("", nil))
}

func (n *Network) program(nodes []*corev1.Node) error {
	at := slices.IndexFunc(nodes, func(node *corev1.Node) bool { return node.Name == n.config.NodeName })
	if at < 0 {
		return nil // not registered yet
	}
	self := nodes[at]
	cidr, ok := podCIDR(self)
	if !ok {
		return nil
	}
	uplink, err := n.uplink()
	if err != nil {
		return err
	}
	if err := n.attach(cidr, uplink.MTU); err != nil {
		return err
	}
	return n.apply(decideRoutes(self.Name, uplink.Subnets, nodes), uplink, cidr, self)
}

// attach makes the bridge and the masquerade rule once per podCIDR.
func (n *Network) attach(cidr netip.Prefix, mtu int) error {
	if n.podCIDR() == cidr {
		return nil
	}
	if err := n.ensureBridge(cidr, mtu); err != nil {
		return err
	}
	if err := n.ensureRules(cidr); err != nil {
		return err
	}
	n.mu.Lock()
	if !n.pods.IsValid() {
		close(n.set)
	}
	n.pods = cidr
	tell := n.onReady
	n.mu.Unlock()
	if tell != nil {
		tell()
	}
	n.config.Logger.Info("pod network is up", "node", n.config.NodeName, "podCIDR", cidr.String(), "bridge", n.config.Bridge)
	return nil
}

// link is the interface that holds the node's address.
type link struct {
	Index, MTU int
	Subnets    []netip.Prefix
}

func (n *Network) uplink() (link, error) {
	addresses, err := netlink.AddrList(nil, netlink.FAMILY_V4)
	if err != nil {
		return link{}, fmt.Errorf("listing addresses: %w", err)
	}
	for _, a := range addresses {
		ip, _ := netip.AddrFromSlice(a.IP.To4())
		if ip != n.config.NodeIP {
			continue
		}
		l, err := netlink.LinkByIndex(a.LinkIndex)
		if err != nil {
			return link{}, err
		}
		n.uplinkIndex.Store(int64(l.Attrs().Index))
		bits, _ := a.Mask.Size()
		return link{Index: a.LinkIndex, MTU: l.Attrs().MTU, Subnets: []netip.Prefix{netip.PrefixFrom(ip, bits).Masked()}}, nil
	}
	return link{}, fmt.Errorf("no interface has the node's address %s: give the right one with --node-ip", n.config.NodeIP)
}

func (n *Network) apply(plan routePlan, up link, cidr netip.Prefix, self *corev1.Node) error {
	started := time.Now()
	routes := make(map[netip.Prefix]netlink.Route)
	for dst, peer := range plan.Direct {
		routes[dst] = netlink.Route{Dst: ipNet(dst), Gw: peer.AsSlice(), LinkIndex: up.Index, Protocol: routeProtocol}
	}
	if len(plan.Overlay) > 0 {
		overlay, err := n.ensureOverlay(cidr, up)
		if err != nil {
			return err
		}
		for dst, peer := range plan.Overlay {
			if err := neighbour(overlay, dst, peer); err != nil {
				return err
			}
			routes[dst] = netlink.Route{Dst: ipNet(dst), Gw: dst.Addr().AsSlice(), LinkIndex: overlay, Flags: int(netlink.FLAG_ONLINK), Protocol: routeProtocol}
		}
	}
	changed, err := replaceRoutes(routes)
	if changed > 0 || err != nil {
		record := decision.Record{
			Time: started, Component: "kubelet/network", Took: time.Since(started), Plan: plan.String(),
			Object: decision.Ref{Resource: "nodes", Name: self.Name, UID: self.UID, ResourceVersion: self.ResourceVersion},
		}
		if err != nil {
			record.Error = err.Error()
		}
		n.config.Decisions.Add(record)
		n.config.Logger.Info("routes to other nodes changed", "node", n.config.NodeName, "routes", plan.String())
	}
	return err
}

// replaceRoutes makes our routes exactly these and returns how many it changed.
func replaceRoutes(want map[netip.Prefix]netlink.Route) (int, error) {
	have, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Protocol: routeProtocol}, netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return 0, fmt.Errorf("listing routes: %w", err)
	}
	changed := 0
	var errs []error
	for _, r := range have {
		dst, _ := netip.AddrFromSlice(r.Dst.IP.To4())
		bits, _ := r.Dst.Mask.Size()
		prefix := netip.PrefixFrom(dst, bits)
		if w, ok := want[prefix]; ok && w.LinkIndex == r.LinkIndex && w.Gw.Equal(r.Gw) {
			delete(want, prefix)
		} else if !ok {
			changed++
			if err := netlink.RouteDel(&r); err != nil && !errors.Is(err, unix.ESRCH) {
				errs = append(errs, fmt.Errorf("deleting route to %s: %w", prefix, err))
			}
		}
	}
	for prefix, r := range want {
		changed++
		if err := netlink.RouteReplace(&r); err != nil {
			errs = append(errs, fmt.Errorf("setting route to %s: %w", prefix, err))
		}
	}
	return changed, errors.Join(errs...)
}

// ensureOverlay makes the VXLAN device. Its address is the podCIDR's network address,
// which no pod gets; its MAC follows from the node's address, as peers expect.
func (n *Network) ensureOverlay(cidr netip.Prefix, up link) (int, error) {
	l, err := netlink.LinkByName(overlayName)
	if err != nil {
		vxlan := &netlink.Vxlan{
			LinkAttrs: netlink.LinkAttrs{Name: overlayName, MTU: up.MTU - overlayCost, HardwareAddr: hardwareAddr(0x0e, n.config.NodeIP)},
			VxlanId:   overlayID, Port: overlayPort, VtepDevIndex: up.Index, SrcAddr: n.config.NodeIP.AsSlice(), Learning: false,
		}
		if err := netlink.LinkAdd(vxlan); err != nil {
			return 0, fmt.Errorf("adding %s: %w", overlayName, err)
		}
		if l, err = netlink.LinkByName(overlayName); err != nil {
			return 0, err
		}
	}
	if err := netlink.AddrReplace(l, &netlink.Addr{IPNet: host(cidr.Addr())}); err != nil {
		return 0, fmt.Errorf("giving %s to %s: %w", cidr.Addr(), overlayName, err)
	}
	return l.Attrs().Index, netlink.LinkSetUp(l)
}

// neighbour tells the overlay where a peer's network address is: its MAC, and the host
// behind that MAC.
func neighbour(overlay int, cidr netip.Prefix, peer netip.Addr) error {
	mac := hardwareAddr(0x0e, peer)
	arp := &netlink.Neigh{LinkIndex: overlay, State: netlink.NUD_PERMANENT, IP: net.IP(cidr.Addr().AsSlice()), HardwareAddr: mac}
	fdb := &netlink.Neigh{LinkIndex: overlay, State: netlink.NUD_PERMANENT, Family: unix.AF_BRIDGE, Flags: netlink.NTF_SELF, IP: net.IP(peer.AsSlice()), HardwareAddr: mac}
	for _, entry := range []*netlink.Neigh{arp, fdb} {
		if err := netlink.NeighSet(entry); err != nil {
			return fmt.Errorf("setting neighbour %s: %w", peer, err)
		}
	}
	return nil
}
