package nodeipam

import (
	"net/netip"
	"testing"
)

func prefixes(all ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range all {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

func TestAllocate(t *testing.T) {
	cases := []struct {
		reason  string
		cluster string
		bits    int
		used    []netip.Prefix
		hint    uint64
		want    string
	}{
		{"the first of an empty cluster", "10.244.0.0/16", 24, nil, 0, "10.244.0.0/24"},
		{"the first gap", "10.244.0.0/16", 24, prefixes("10.244.0.0/24", "10.244.2.0/24"), 0, "10.244.1.0/24"},
		{"from the hint on, so that a range that was just freed rests", "10.244.0.0/16", 24, prefixes("10.244.5.0/24"), 5, "10.244.6.0/24"},
		{"round the end", "10.244.0.0/23", 24, prefixes("10.244.1.0/24"), 1, "10.244.0.0/24"},
		{"a larger used range covers several", "10.244.0.0/16", 24, prefixes("10.244.0.0/22"), 0, "10.244.4.0/24"},
		{"a smaller one spoils its range", "10.244.0.0/16", 24, prefixes("10.244.0.128/25"), 0, "10.244.1.0/24"},
		{"ranges elsewhere do not matter", "10.244.0.0/16", 24, prefixes("192.168.0.0/24"), 0, "10.244.0.0/24"},
		{"a cluster range that is not aligned", "10.244.3.7/16", 24, nil, 0, "10.244.0.0/24"},
		{"IPv6", "fd00:10:244::/48", 64, prefixes("fd00:10:244::/64"), 0, "fd00:10:244:1::/64"},
		{"IPv6 with more ranges than anybody counts", "fd00::/8", 64, prefixes("fd00::/64"), 0, "fd00:0:0:1::/64"},
	}
	for _, tc := range cases {
		t.Run(tc.reason, func(t *testing.T) {
			got, err := allocate(netip.MustParsePrefix(tc.cluster), tc.bits, tc.used, tc.hint)
			if err != nil || got.CIDR.String() != tc.want {
				t.Errorf("allocate = %s, %v; want %s", got, err, tc.want)
			}
		})
	}
}

func TestAllocateFull(t *testing.T) {
	if p, err := allocate(netip.MustParsePrefix("10.0.0.0/23"), 24, prefixes("10.0.0.0/8"), 0); err == nil {
		t.Errorf("allocate = %s from a cluster that is full", p)
	}
}

func TestAllocateNeverTwice(t *testing.T) {
	cluster := netip.MustParsePrefix("10.244.0.0/20")
	var used []netip.Prefix
	for range 16 {
		p, err := allocate(cluster, 24, used, 7)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range used {
			if u.Overlaps(p.CIDR) {
				t.Fatalf("%s overlaps %s", p.CIDR, u)
			}
		}
		used = append(used, p.CIDR)
	}
	if _, err := allocate(cluster, 24, used, 7); err == nil {
		t.Error("a 17th range of 16")
	}
}
