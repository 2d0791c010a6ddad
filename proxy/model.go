package proxy

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/pkg/api"
)

// ServicePort is what has to happen to packets for one port of one Service: the whole
// truth that a back end needs, free of API types.
type ServicePort struct {
	Service  types.NamespacedName
	Name     string // of the port; empty for a Service's only port
	Protocol corev1.Protocol

	ClusterIP netip.Addr
	Port      uint16
	NodePort  uint16       // 0: none
	External  []netip.Addr // externalIPs and load-balancer addresses
	// Sources are who may use the load balancer's addresses, which are Guarded; of External
	// those that are not are open to all.
	Guarded []netip.Addr
	Sources []netip.Prefix

	// Cluster serves packets that come from inside, Outside those that come through a node
	// port or an external address. They differ with the traffic policies.
	Cluster []Endpoint
	Outside []Endpoint
	// DropOutside says that a node without local endpoints must drop what comes from
	// outside rather than refuse it (externalTrafficPolicy Local): a load balancer looks elsewhere.
	DropOutside bool
	// PreserveSource keeps the client's address for traffic from outside (externalTrafficPolicy Local).
	PreserveSource bool

	AffinitySeconds int32 // 0: none

	// HealthPort is where load balancers ask whether the Service has endpoints on this node
	// (0: they do not), and Ready how many of the port's are here and ready.
	HealthPort uint16
	Ready      []netip.Addr
}

// Endpoint is one address behind a ServicePort.
type Endpoint struct {
	Addr  netip.AddrPort
	Local bool // runs on this node
}

// Key names the port in messages and chain names.
func (p ServicePort) Key() string {
	return fmt.Sprintf("%s:%s/%s", p.Service, p.Name, p.Protocol)
}

// String shows addresses and where they lead.
func (p ServicePort) String() string {
	var to []string
	for _, e := range p.Cluster {
		to = append(to, e.Addr.String())
	}
	target := strings.Join(to, " ")
	if target == "" {
		target = "refuse"
	}
	return fmt.Sprintf("%s %s -> %s", p.Key(), netip.AddrPortFrom(p.ClusterIP, p.Port), target)
}

// Decide turns a Service and its EndpointSlices into what the node at a place must do. A Service
// without addresses (headless, ExternalName) comes to nothing.
func Decide(svc *corev1.Service, slices []*discoveryv1.EndpointSlice, at Place) []ServicePort {
	ip, err := netip.ParseAddr(svc.Spec.ClusterIP)
	if err != nil || !ip.Is4() || svc.Spec.Type == corev1.ServiceTypeExternalName || otherwiseServed(svc) {
		return nil
	}
	var ports []ServicePort
	for _, port := range svc.Spec.Ports {
		p := ServicePort{
			Service: types.NamespacedName{Namespace: svc.Namespace, Name: svc.Name}, Name: port.Name, Protocol: port.Protocol,
			ClusterIP: ip, Port: uint16(port.Port), NodePort: uint16(port.NodePort), External: externalAddresses(svc),
			AffinitySeconds: affinity(svc), HealthPort: checkedAt(svc),
		}
		p.Guarded, p.Sources = guard(svc)
		all := candidates(slices, port, at.Node)
		p.Cluster = serving(all, at, svc.Spec.InternalTrafficPolicy != nil && *svc.Spec.InternalTrafficPolicy == corev1.ServiceInternalTrafficPolicyLocal)
		local := svc.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
		p.Outside = serving(all, at, local)
		p.PreserveSource = local
		if p.HealthPort != 0 {
			p.Ready = readyHere(all)
		}
		p.DropOutside = local && len(p.Outside) == 0 && len(usable(all, false)) > 0
		ports = append(ports, p)
	}
	return ports
}

// otherwiseServed tells of Services that are marked as another program's to serve, or nobody's.
func otherwiseServed(svc *corev1.Service) bool {
	_, other := svc.Labels[api.LabelServiceProxyName]
	_, nobody := svc.Labels[corev1.IsHeadlessService]
	return other || nobody
}

// candidate is an endpoint with the conditions that decide whether it is used.
type candidate struct {
	Endpoint
	ready, servingWhileTerminating bool
	hints                          hints
}

// candidates collects the port's endpoints from all slices, once each, in the order of their addresses.
func candidates(all []*discoveryv1.EndpointSlice, port corev1.ServicePort, nodeName string) []candidate {
	found := map[netip.AddrPort]candidate{}
	for _, slice := range all {
		if slice.AddressType != discoveryv1.AddressTypeIPv4 {
			continue
		}
		number, ok := slicePort(slice, port)
		if !ok {
			continue
		}
		for _, e := range slice.Endpoints {
			if len(e.Addresses) == 0 {
				continue
			}
			ip, err := netip.ParseAddr(e.Addresses[0]) // more than one is deprecated: the first stands for all
			if err != nil {
				continue
			}
			c := candidate{Endpoint: Endpoint{Addr: netip.AddrPortFrom(ip, number), Local: e.NodeName != nil && *e.NodeName == nodeName}}
			c.ready = e.Conditions.Ready == nil || *e.Conditions.Ready
			c.hints = hintsOf(e)
			c.servingWhileTerminating = is(e.Conditions.Serving) && is(e.Conditions.Terminating)
			if before, again := found[c.Addr]; !again || !before.ready {
				found[c.Addr] = c
			}
		}
	}
	list := make([]candidate, 0, len(found))
	for _, c := range found {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b candidate) int { return a.Addr.Compare(b.Addr) })
	return list
}

func slicePort(slice *discoveryv1.EndpointSlice, port corev1.ServicePort) (uint16, bool) {
	for _, p := range slice.Ports {
		name, protocol := "", corev1.ProtocolTCP
		if p.Name != nil {
			name = *p.Name
		}
		if p.Protocol != nil {
			protocol = *p.Protocol
		}
		if name == port.Name && protocol == port.Protocol && p.Port != nil {
			return uint16(*p.Port), true
		}
	}
	return 0, false
}

// serving returns the endpoints that clients at a place are sent to.
func serving(all []candidate, at Place, localOnly bool) []Endpoint {
	if localOnly {
		return usable(all, true)
	}
	return usable(near(all, at), false)
}

// usable returns the ready endpoints or, when there is none, those that still serve while
// they terminate (KEP-1669): a rolling restart of the last replica loses no connection.
func usable(all []candidate, localOnly bool) []Endpoint {
	var ready, terminating []Endpoint
	for _, c := range all {
		switch {
		case localOnly && !c.Local:
		case c.ready:
			ready = append(ready, c.Endpoint)
		case c.servingWhileTerminating:
			terminating = append(terminating, c.Endpoint)
		}
	}
	if len(ready) == 0 {
		return terminating
	}
	return ready
}

func externalAddresses(svc *corev1.Service) []netip.Addr {
	found := append(parse(svc.Spec.ExternalIPs), balancerAddresses(svc)...)
	slices.SortFunc(found, netip.Addr.Compare)
	return slices.Compact(found)
}

// balancerAddresses are those that a load balancer forwards packets to as they are.
func balancerAddresses(svc *corev1.Service) []netip.Addr {
	var ips []string
	for _, ingress := range svc.Status.LoadBalancer.Ingress {
		if ingress.IPMode == nil || *ingress.IPMode == corev1.LoadBalancerIPModeVIP {
			ips = append(ips, ingress.IP)
		}
	}
	return parse(ips)
}

// parse leaves out what is not an IPv4 address.
func parse(ips []string) (found []netip.Addr) {
	for _, text := range ips {
		if ip, err := netip.ParseAddr(text); err == nil && ip.Is4() {
			found = append(found, ip)
		}
	}
	return found
}

// guard returns the addresses that only some sources may use, and those sources. Where none of
// the ranges is IPv4 nobody may.
func guard(svc *corev1.Service) (guarded []netip.Addr, sources []netip.Prefix) {
	if svc.Spec.Type != corev1.ServiceTypeLoadBalancer || len(svc.Spec.LoadBalancerSourceRanges) == 0 {
		return nil, nil
	}
	for _, text := range svc.Spec.LoadBalancerSourceRanges {
		if prefix, err := netip.ParsePrefix(strings.TrimSpace(text)); err == nil && prefix.Addr().Is4() {
			sources = append(sources, prefix.Masked())
		}
	}
	return balancerAddresses(svc), sources
}

// checkedAt is set where a load balancer must know which nodes have endpoints.
func checkedAt(svc *corev1.Service) uint16 {
	if svc.Spec.Type != corev1.ServiceTypeLoadBalancer || svc.Spec.ExternalTrafficPolicy != corev1.ServiceExternalTrafficPolicyLocal {
		return 0
	}
	return uint16(svc.Spec.HealthCheckNodePort)
}

// readyHere lists the ready endpoints on this node. Those that only finish what they have do
// not count: new clients are to go elsewhere.
func readyHere(all []candidate) (ready []netip.Addr) {
	for _, c := range all {
		if c.Local && c.ready {
			ready = append(ready, c.Addr.Addr())
		}
	}
	return ready
}

func affinity(svc *corev1.Service) int32 {
	if svc.Spec.SessionAffinity != corev1.ServiceAffinityClientIP {
		return 0
	}
	if c := svc.Spec.SessionAffinityConfig; c != nil && c.ClientIP != nil && c.ClientIP.TimeoutSeconds != nil {
		return *c.ClientIP.TimeoutSeconds
	}
	return corev1.DefaultClientIPServiceAffinitySeconds
}

func is(b *bool) bool { return b != nil && *b }

// sortPorts puts ports into an order that does not depend on the API's.
func sortPorts(ports []ServicePort) {
	slices.SortFunc(ports, func(a, b ServicePort) int { return cmp.Compare(a.Key(), b.Key()) })
}
