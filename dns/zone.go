package dns

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// Source is what the zone is made from. All methods answer from memory.
type Source interface {
	Service(ns, name string) (*corev1.Service, bool)
	Slices(ns, service string) []*discoveryv1.EndpointSlice
	// HasNamespace tells whether the namespace has any Service.
	HasNamespace(ns string) bool
	ServiceByIP(ip string) (*corev1.Service, bool)
	SlicesByIP(ip string) []*discoveryv1.EndpointSlice
}

// ttl of the zone's records, in seconds: short, since clients cannot be told of changes.
const ttl = 5

// schemaVersion is the version of the Kubernetes DNS specification that the zone follows.
const schemaVersion = "1.1.0"

// zone answers for the cluster's domain, after the specification
// "Kubernetes DNS-Based Service Discovery" 1.1.0. It is pure: source and question in,
// records out.
type zone struct {
	domain string // "cluster.local." with the final dot
	source Source
	pods   netip.Prefix // pods' addresses, which have names of their own
}

// answer is a reply without its transport.
type answer struct {
	rcode   int
	records []dns.RR
	extra   []dns.RR
	// external names what a CNAME leads to outside the zone: the server resolves it further.
	external string
}

var (
	noSuchName = answer{rcode: dns.RcodeNameError}
	noData     = answer{} // the name exists, with no record of the type asked for
)

// lookup answers a question for a name in the zone. The name is in lower case.
func (z zone) lookup(name string, qtype uint16) answer {
	labels := strings.Split(strings.TrimSuffix(strings.TrimSuffix(name, z.domain), "."), ".")
	if labels[0] == "" {
		return noData
	}
	slices.Reverse(labels) // svc, namespace, service, …
	switch {
	case labels[0] == "dns-version" && len(labels) == 1:
		return z.version(name, qtype)
	case labels[0] == "pod":
		return z.podAddress(name, labels[1:], qtype)
	case labels[0] != "svc":
		return noSuchName
	case len(labels) == 1:
		return noData
	case len(labels) == 2:
		if z.source.HasNamespace(labels[1]) {
			return noData
		}
		return noSuchName
	}
	svc, ok := z.source.Service(labels[1], labels[2])
	if !ok {
		return noSuchName
	}
	return z.service(svc, name, labels[3:], qtype)
}

func (z zone) version(name string, qtype uint16) answer {
	if qtype != dns.TypeTXT {
		return noData
	}
	return answer{records: []dns.RR{&dns.TXT{Hdr: header(name, dns.TypeTXT), Txt: []string{schemaVersion}}}}
}

// service answers for a Service's name and what is below it: rest is [], [hostname], or
// [_protocol, _port].
func (z zone) service(svc *corev1.Service, name string, rest []string, qtype uint16) answer {
	switch {
	case svc.Spec.Type == corev1.ServiceTypeExternalName:
		if len(rest) > 0 {
			return noSuchName
		}
		target := dns.CanonicalName(svc.Spec.ExternalName)
		return answer{records: []dns.RR{&dns.CNAME{Hdr: header(name, dns.TypeCNAME), Target: target}}, external: target}
	case len(rest) == 0:
		return z.addresses(svc, name, qtype)
	case len(rest) == 1 && strings.HasPrefix(rest[0], "_"):
		return noData // between the Service and its ports
	case len(rest) == 1:
		return z.host(svc, name, rest[0], qtype)
	case len(rest) == 2 && strings.HasPrefix(rest[0], "_") && strings.HasPrefix(rest[1], "_"):
		return z.ports(svc, name, rest[1][1:], rest[0][1:], qtype)
	}
	return noSuchName
}

func headless(svc *corev1.Service) bool { return svc.Spec.ClusterIP == corev1.ClusterIPNone }

// addresses answers for the Service itself: its ClusterIP, or all ready endpoints.
func (z zone) addresses(svc *corev1.Service, name string, qtype uint16) answer {
	var ips []string
	if headless(svc) {
		for _, h := range z.hosts(svc) {
			ips = append(ips, h.ip)
		}
		if len(ips) == 0 {
			return noSuchName // the specification: as if there were no such Service
		}
	} else if svc.Spec.ClusterIP != "" {
		ips = svc.Spec.ClusterIPs
		if len(ips) == 0 {
			ips = []string{svc.Spec.ClusterIP}
		}
	}
	if qtype == dns.TypeSRV {
		return z.ports(svc, name, "", "", qtype)
	}
	return answer{records: addressRecords(name, ips, qtype)}
}

// host answers for one endpoint of a headless Service by its host name.
func (z zone) host(svc *corev1.Service, name, hostname string, qtype uint16) answer {
	var ips []string
	for _, h := range z.hosts(svc) {
		if h.name == hostname {
			ips = append(ips, h.ip)
		}
	}
	if len(ips) == 0 || !headless(svc) {
		return noSuchName
	}
	return answer{records: addressRecords(name, ips, qtype)}
}

// ports answers for SRV questions. An empty port asks for all named ports.
func (z zone) ports(svc *corev1.Service, name, port, protocol string, qtype uint16) answer {
	var a answer
	base := z.serviceName(svc)
	add := func(target string, number int32, ip string) {
		a.records = append(a.records, &dns.SRV{Hdr: header(name, dns.TypeSRV), Weight: 100, Port: uint16(number), Target: target})
		a.extra = append(a.extra, addressRecords(target, []string{ip}, dns.TypeA)...)
	}
	wanted := func(n string, p corev1.Protocol) bool {
		return port == "" || (n == port && strings.EqualFold(string(p), protocol))
	}
	if headless(svc) {
		for _, h := range z.hosts(svc) {
			for _, p := range h.ports {
				if p.Port != nil && wanted(deref(p.Name), derefProtocol(p.Protocol)) {
					add(h.name+"."+base, *p.Port, h.ip)
				}
			}
		}
	} else {
		for _, p := range svc.Spec.Ports {
			if wanted(p.Name, p.Protocol) {
				add(base, p.Port, svc.Spec.ClusterIP)
			}
		}
	}
	if len(a.records) == 0 {
		return noSuchName
	}
	if qtype != dns.TypeSRV {
		return noData
	}
	return a
}

// namedHost is one ready endpoint.
type namedHost struct {
	name, ip string
	ports    []discoveryv1.EndpointPort
}

// hosts lists the ready endpoints of a Service. One without a host name is named after
// its address: 10-244-0-5.
func (z zone) hosts(svc *corev1.Service) []namedHost {
	var hosts []namedHost
	for _, slice := range z.source.Slices(svc.Namespace, svc.Name) {
		for _, e := range slice.Endpoints {
			if e.Conditions.Ready != nil && !*e.Conditions.Ready {
				continue
			}
			for _, ip := range e.Addresses {
				hosts = append(hosts, namedHost{name: endpointName(e, ip), ip: ip, ports: slice.Ports})
			}
		}
	}
	return hosts
}

func endpointName(e discoveryv1.Endpoint, ip string) string {
	if e.Hostname != nil && *e.Hostname != "" {
		return strings.ToLower(*e.Hostname)
	}
	return strings.NewReplacer(".", "-", ":", "-").Replace(ip)
}

// reverse answers PTR questions for addresses of Services and of headless Services' endpoints.
func (z zone) reverse(name string, ip netip.Addr, qtype uint16) answer {
	var targets []string
	if svc, ok := z.source.ServiceByIP(ip.String()); ok {
		targets = append(targets, z.serviceName(svc))
	}
	for _, slice := range z.source.SlicesByIP(ip.String()) {
		svc, ok := z.source.Service(slice.Namespace, slice.Labels[discoveryv1.LabelServiceName])
		if !ok || !headless(svc) {
			continue
		}
		for _, e := range slice.Endpoints {
			if slices.Contains(e.Addresses, ip.String()) && e.Hostname != nil {
				targets = append(targets, endpointName(e, ip.String())+"."+z.serviceName(svc))
			}
		}
	}
	if len(targets) == 0 {
		return noSuchName
	}
	if qtype != dns.TypePTR {
		return noData
	}
	slices.Sort(targets)
	var a answer
	for _, target := range slices.Compact(targets) {
		a.records = append(a.records, &dns.PTR{Hdr: header(name, dns.TypePTR), Ptr: target})
	}
	return a
}

func (z zone) serviceName(svc *corev1.Service) string {
	return svc.Name + "." + svc.Namespace + ".svc." + z.domain
}

// soa goes with every negative answer: it tells how long to remember it.
func (z zone) soa() dns.RR {
	return &dns.SOA{Hdr: header(z.domain, dns.TypeSOA), Ns: "ns.dns." + z.domain, Mbox: "hostmaster." + z.domain,
		Serial: 1, Refresh: 7200, Retry: 1800, Expire: 86400, Minttl: ttl}
}

// addressRecords makes A or AAAA records of those addresses that are of the type asked for.
func addressRecords(name string, ips []string, qtype uint16) []dns.RR {
	var records []dns.RR
	for _, text := range ips {
		ip, err := netip.ParseAddr(text)
		switch {
		case err != nil:
		case ip.Is4() && (qtype == dns.TypeA || qtype == dns.TypeANY):
			records = append(records, &dns.A{Hdr: header(name, dns.TypeA), A: ip.AsSlice()})
		case ip.Is6() && (qtype == dns.TypeAAAA || qtype == dns.TypeANY):
			records = append(records, &dns.AAAA{Hdr: header(name, dns.TypeAAAA), AAAA: ip.AsSlice()})
		}
	}
	return records
}

func header(name string, rrtype uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: rrtype, Class: dns.ClassINET, Ttl: ttl}
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func derefProtocol(p *corev1.Protocol) corev1.Protocol {
	if p == nil {
		return corev1.ProtocolTCP
	}
	return *p
}
