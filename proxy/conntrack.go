package proxy

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Conntrack is the kernel's table of tracked connections.
type Conntrack struct{}

// Forget removes the flows from the table.
func (Conntrack) Forget(flows []Flow) error {
	filters := make([]netlink.CustomConntrackFilter, len(flows))
	for i, f := range flows {
		filters[i] = flowFilter(f)
	}
	if _, err := netlink.ConntrackDeleteFilters(netlink.ConntrackTable, unix.AF_INET, filters...); err != nil {
		return fmt.Errorf("deleting tracked connections: %w", err)
	}
	return nil
}

// flowFilter matches tracked connections for netlink.
type flowFilter Flow

// MatchConntrackFlow compares the original direction's destination and the reply's source.
func (f flowFilter) MatchConntrackFlow(c *netlink.ConntrackFlow) bool {
	dst, _ := netip.AddrFromSlice(c.Forward.DstIP)
	from, _ := netip.AddrFromSlice(c.Reverse.SrcIP)
	return c.Forward.Protocol == unix.IPPROTO_UDP &&
		(!f.Dst.IsValid() || dst.Unmap() == f.Dst) && c.Forward.DstPort == f.Port &&
		(!f.Endpoint.IsValid() || netip.AddrPortFrom(from.Unmap(), c.Reverse.SrcPort) == f.Endpoint)
}
