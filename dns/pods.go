package dns

import (
	"net/netip"
	"strings"
)

// podAddress answers names that are made of an address: 10-244-0-5.default.pod.cluster.local is
// 10.244.0.5, for every address that pods can have. Nobody is asked whether such a pod is there:
// the name says no more than the address does. rest is [], [namespace], or [namespace, address].
func (z zone) podAddress(name string, rest []string, qtype uint16) answer {
	if len(rest) < 2 {
		return noData // a namespace may have pods
	}
	ip, err := netip.ParseAddr(strings.ReplaceAll(rest[1], "-", "."))
	if err != nil || len(rest) > 2 || !z.pods.IsValid() || !z.pods.Contains(ip) {
		return noSuchName
	}
	return answer{records: addressRecords(name, []string{ip.String()}, qtype)}
}
