// Package ipalloc chooses the cluster IPs and node ports of Services: which ranges there are,
// what is valid in them, and which address to try. It is pure and remembers nothing: that an
// address is given only once is made certain by who stores it, each under a key of its own.
package ipalloc

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Range is an inclusive range of port numbers.
type Range struct{ First, Last int32 }

// String returns "30000-32767".
func (r Range) String() string { return fmt.Sprintf("%d-%d", r.First, r.Last) }

// Contains reports whether port is in the range.
func (r Range) Contains(port int32) bool { return port >= r.First && port <= r.Last }

func (r Range) size() uint64 {
	if r.Last < r.First {
		return 0
	}
	return uint64(r.Last-r.First) + 1
}

// reserved is the size of the band at the range's start that is given out on demand only
// while the rest has room, so that ports which somebody asks for are likely to be free.
func (r Range) reserved() uint64 {
	if n := r.size(); n >= 16 {
		return min(max(16, n/32), 128, n)
	}
	return 0
}

// free finds a port that is not taken.
func (r Range) free(taken func(Address) bool, random func() uint64) (int32, bool) {
	n, ok := pick(r.size(), r.reserved(), random, func(n uint64) bool { return taken(Address{Port: r.First + int32(n)}) })
	return r.First + int32(n), ok
}

// pick tries all of n numbers, beginning somewhere in the upper band, and the first low ones last.
func pick(n, low uint64, random func() uint64, taken func(uint64) bool) (uint64, bool) {
	for _, band := range [][2]uint64{{low, n}, {0, low}} {
		size := band[1] - band[0]
		if size == 0 {
			continue
		}
		start := random() % size
		for i := range size {
			if at := band[0] + (start+i)%size; !taken(at) {
				return at, true
			}
		}
	}
	return 0, false
}

// block is a range of IPv4 addresses.
type block netip.Prefix

// first returns the block's first usable address; of the default one it is the API server's own.
func (b block) first() netip.Addr { return netip.Prefix(b).Addr().Next() }

// hosts returns how many addresses can be given out, the first one not counted: without the
// network's own address and the broadcast address.
func (b block) hosts() uint64 {
	p := netip.Prefix(b)
	bits := p.Addr().BitLen() - p.Bits()
	if bits < 2 {
		return 0
	}
	return 1<<min(bits, 32) - 3
}

// nth returns the n-th of hosts().
func (b block) nth(n uint64) netip.Addr {
	raw := b.first().As4()
	binary.BigEndian.PutUint32(raw[:], binary.BigEndian.Uint32(raw[:])+1+uint32(n))
	return netip.AddrFrom4(raw)
}

// usable reports whether ip is one of the block that a Service can have.
func (b block) usable(ip netip.Addr) bool {
	p := netip.Prefix(b)
	return p.Contains(ip) && ip != p.Addr() && (b.hosts() == 0 || ip != b.nth(b.hosts()))
}

// reserved is as with ports: DNS, for instance, has a well-known address.
func (b block) reserved() uint64 {
	n := b.hosts()
	return min(max(16, n/16), 256, n)
}

// Ranges are what addresses come from. The first CIDR is the cluster's own: its first address
// belongs to the Service default/kubernetes.
type Ranges struct {
	CIDRs []netip.Prefix // IPv4, masked
	Ports Range
}

// Contains reports whether an address is one that may be given out.
func (r Ranges) Contains(a Address) bool {
	if a.Port != 0 {
		return r.Ports.Contains(a.Port)
	}
	return slices.ContainsFunc(r.CIDRs, func(p netip.Prefix) bool { return block(p).usable(a.IP) })
}

// String names the CIDRs.
func (r Ranges) String() string {
	var all []string
	for _, p := range r.CIDRs {
		all = append(all, p.String())
	}
	return strings.Join(all, ", ")
}

// freeIP finds an address that is not taken, in the first range that has one.
func (r Ranges) freeIP(taken func(Address) bool, random func() uint64) (netip.Addr, bool) {
	for i, p := range r.CIDRs {
		b := block(p)
		n, ok := pick(b.hosts(), b.reserved(), random, func(n uint64) bool { return taken(Address{IP: b.nth(n)}) })
		if ok {
			return b.nth(n), true
		}
		if first := b.first(); i > 0 && b.usable(first) && !taken(Address{IP: first}) {
			return first, true
		}
	}
	return netip.Addr{}, false
}
