package dns

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// Own gives the addresses to this machine's loopback device, so that it answers for them:
// the same address on every node, each reached by its own pods.
func Own(addresses []netip.Addr) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("finding the loopback device: %w", err)
	}
	for _, a := range addresses {
		address := &netlink.Addr{IPNet: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}}
		if err := netlink.AddrReplace(lo, address); err != nil {
			return fmt.Errorf("giving the cluster DNS address %s to this node: %w", a, err)
		}
	}
	return nil
}
