package nodeipam

import (
	"fmt"
	"math/big"
	"net/netip"
)

// Plan is the range that one node is to be given. The zero Plan gives none.
type Plan struct {
	CIDR netip.Prefix
}

// String prints the plan.
func (p Plan) String() string {
	if !p.CIDR.IsValid() {
		return "nothing"
	}
	return "assign " + p.CIDR.String()
}

// allocate returns the first range of the given size within cluster that overlaps no used one,
// looking from the hint on and then from the start. It returns an error when all are used.
func allocate(cluster netip.Prefix, bits int, used []netip.Prefix, hint uint64) (Plan, error) {
	count := ranges(cluster, bits)
	taken := map[uint64]bool{}
	for _, u := range used {
		for i := range overlapping(cluster, bits, u) {
			taken[i] = true
		}
	}
	for tried := range count {
		i := (hint + tried) % count
		if !taken[i] {
			return Plan{CIDR: nth(cluster, bits, i)}, nil
		}
	}
	return Plan{}, fmt.Errorf("all %d ranges of size /%d in %s are used", count, bits, cluster)
}

// maxRanges bounds what is looked at; it is more than any cluster has nodes.
const maxRanges = 1 << 20

func ranges(cluster netip.Prefix, bits int) uint64 {
	if n := bits - cluster.Bits(); n < 20 {
		return 1 << n
	}
	return maxRanges
}

// nth returns the i-th range.
func nth(cluster netip.Prefix, bits int, i uint64) netip.Prefix {
	base := cluster.Masked().Addr().AsSlice()
	n := new(big.Int).SetBytes(base)
	step := new(big.Int).Lsh(new(big.Int).SetUint64(i), uint(len(base)*8-bits))
	sum := n.Add(n, step).FillBytes(make([]byte, len(base)))
	addr, _ := netip.AddrFromSlice(sum)
	return netip.PrefixFrom(addr, bits)
}

// overlapping yields the indices of the ranges that u covers wholly or in part.
func overlapping(cluster netip.Prefix, bits int, u netip.Prefix) func(yield func(uint64) bool) {
	return func(yield func(uint64) bool) {
		if !u.IsValid() || !cluster.Overlaps(u) {
			return
		}
		if u.Bits() <= cluster.Bits() {
			u = cluster
		}
		first := index(cluster, bits, u.Masked().Addr())
		n := uint64(1)
		if u.Bits() < bits {
			n = ranges(u, bits)
		}
		for i := first; i < first+n; i++ {
			if !yield(i) {
				return
			}
		}
	}
}

func index(cluster netip.Prefix, bits int, addr netip.Addr) uint64 {
	base, at := cluster.Masked().Addr().AsSlice(), addr.AsSlice()
	d := new(big.Int).Sub(new(big.Int).SetBytes(at), new(big.Int).SetBytes(base))
	return d.Rsh(d, uint(len(base)*8-bits)).Uint64()
}
