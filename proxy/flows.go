package proxy

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// Flow selects tracked UDP connections: those to an address and port, and of these, unless
// Endpoint is invalid, the ones that were sent to that endpoint.
type Flow struct {
	Dst      netip.Addr // invalid: any address (node ports)
	Port     uint16
	Endpoint netip.AddrPort
}

// staleFlows lists the UDP flows that the change leaves pointing at nothing: those to
// endpoints that are gone, and, where a Service gets its first endpoint, all of its flows
// (they were tracked while nobody answered).
func staleFlows(before, after []ServicePort) []Flow {
	var stale []Flow
	for _, now := range after {
		at := slices.IndexFunc(before, func(p ServicePort) bool { return p.Key() == now.Key() })
		if now.Protocol == corev1.ProtocolUDP && len(now.Cluster) > 0 && (at < 0 || len(before[at].Cluster) == 0) {
			stale = append(stale, now.flows(netip.AddrPort{})...)
		}
	}
	for _, was := range before {
		if was.Protocol != corev1.ProtocolUDP {
			continue
		}
		at := slices.IndexFunc(after, func(p ServicePort) bool {
			return p.Key() == was.Key() && p.ClusterIP == was.ClusterIP && p.Port == was.Port
		})
		for _, e := range append(slices.Clone(was.Cluster), was.Outside...) {
			kept := at >= 0 && (slices.Contains(after[at].Cluster, e) || slices.Contains(after[at].Outside, e))
			if !kept {
				stale = append(stale, was.flows(e.Addr)...)
			}
		}
	}
	return compact(stale)
}

// flows lists the addresses that the port answers at.
func (p ServicePort) flows(endpoint netip.AddrPort) []Flow {
	list := []Flow{{Dst: p.ClusterIP, Port: p.Port, Endpoint: endpoint}}
	for _, ip := range p.External {
		list = append(list, Flow{Dst: ip, Port: p.Port, Endpoint: endpoint})
	}
	if p.NodePort != 0 {
		list = append(list, Flow{Port: p.NodePort, Endpoint: endpoint})
	}
	return list
}

func compact(flows []Flow) []Flow {
	var out []Flow
	for _, f := range flows {
		if !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	return out
}
