package network

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// routePlan is how this node reaches the pods of all others: a value that prints itself.
type routePlan struct {
	Direct  map[netip.Prefix]netip.Addr // podCIDR → the peer's address, on-link
	Overlay map[netip.Prefix]netip.Addr // podCIDR → the peer's address, through VXLAN
}

// String lists the routes in order of their destination.
func (p routePlan) String() string {
	var parts []string
	for cidr, via := range p.Direct {
		parts = append(parts, fmt.Sprintf("%s via %s", cidr, via))
	}
	for cidr, via := range p.Overlay {
		parts = append(parts, fmt.Sprintf("%s via vxlan to %s", cidr, via))
	}
	slices.Sort(parts)
	if len(parts) == 0 {
		return "no routes to other nodes"
	}
	return strings.Join(parts, ", ")
}

// decideRoutes chooses, for each other node, a direct route when its address is within
// one of this node's own subnets and VXLAN otherwise. Nodes without an address or podCIDR
// are left out: an event comes when they have both.
func decideRoutes(self string, onLink []netip.Prefix, nodes []*corev1.Node) routePlan {
	plan := routePlan{Direct: map[netip.Prefix]netip.Addr{}, Overlay: map[netip.Prefix]netip.Addr{}}
	for _, node := range nodes {
		cidr, ok := podCIDR(node)
		peer, hasIP := internalIP(node)
		if node.Name == self || !ok || !hasIP {
			continue
		}
		if slices.ContainsFunc(onLink, func(p netip.Prefix) bool { return p.Contains(peer) }) {
			plan.Direct[cidr] = peer
		} else {
			plan.Overlay[cidr] = peer
		}
	}
	return plan
}

func podCIDR(node *corev1.Node) (netip.Prefix, bool) {
	cidr, err := netip.ParsePrefix(node.Spec.PodCIDR)
	if err != nil || !cidr.Addr().Is4() {
		return netip.Prefix{}, false
	}
	return cidr.Masked(), true
}

func internalIP(node *corev1.Node) (netip.Addr, bool) {
	for _, a := range node.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			if ip, err := netip.ParseAddr(a.Address); err == nil && ip.Is4() {
				return ip, true
			}
		}
	}
	return netip.Addr{}, false
}
