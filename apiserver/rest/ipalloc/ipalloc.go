// Package ipalloc hands out the cluster IPs and node ports of Services: each at most
// once. It owns which are taken; it stores nothing: what is taken is written in the
// Services themselves, and Learn reads it from there at start.
//
// It is right within one process. Several API servers over one store would each hand out
// addresses from their own view and could give one address twice at the same instant: for
// them every address needs a key of its own, claimed by compare-and-swap. That is not
// built yet.
package ipalloc

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Range is an inclusive range of port numbers.
type Range struct{ First, Last int32 }

// String returns "30000-32767".
func (r Range) String() string { return fmt.Sprintf("%d-%d", r.First, r.Last) }

func (r Range) contains(port int32) bool { return port >= r.First && port <= r.Last }

func (r Range) size() uint64 {
	if r.Last < r.First {
		return 0
	}
	return uint64(r.Last-r.First) + 1
}

// Services knows which cluster IPs and node ports are taken, and by whom. It is safe for
// concurrent use.
type Services struct {
	cidr   netip.Prefix
	ports  Range
	random func() uint64

	mu        sync.Mutex
	ips       map[netip.Addr]types.UID // guarded by mu
	nodePorts map[int32]types.UID      // guarded by mu
}

// New returns an allocator in which nothing is taken. cidr must be IPv4.
func New(cidr netip.Prefix, ports Range, random func() uint64) *Services {
	return &Services{
		cidr: cidr.Masked(), ports: ports, random: random,
		ips: map[netip.Addr]types.UID{}, nodePorts: map[int32]types.UID{},
	}
}

// Learn takes what a stored Service holds and returns what is wrong with it: addresses
// outside the ranges, or held by another Service as well.
func (s *Services) Learn(svc *corev1.Service) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var problems []string
	for _, ip := range clusterIPs(svc) {
		if s.ips[ip] != "" && s.ips[ip] != svc.UID {
			problems = append(problems, fmt.Sprintf("cluster IP %s is held twice", ip))
			continue
		}
		if !s.cidr.Contains(ip) {
			problems = append(problems, fmt.Sprintf("cluster IP %s is not within %s", ip, s.cidr))
		}
		s.ips[ip] = svc.UID
	}
	for _, port := range nodePorts(svc) {
		if s.nodePorts[port] != "" && s.nodePorts[port] != svc.UID {
			problems = append(problems, fmt.Sprintf("node port %d is held twice", port))
			continue
		}
		if !s.ports.contains(port) {
			problems = append(problems, fmt.Sprintf("node port %d is not within %s", port, s.ports))
		}
		s.nodePorts[port] = svc.UID
	}
	return problems
}

// Release frees what a Service that is gone held.
func (s *Services) Release(svc *corev1.Service) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.release(svc.UID, clusterIPs(svc), nodePorts(svc))
}

// release frees what owner holds of these. The caller holds mu.
func (s *Services) release(owner types.UID, ips []netip.Addr, ports []int32) {
	for _, ip := range ips {
		if s.ips[ip] == owner {
			delete(s.ips, ip)
		}
	}
	for _, port := range ports {
		if s.nodePorts[port] == owner {
			delete(s.nodePorts, port)
		}
	}
}

// clusterIPs lists the addresses that a Service holds.
func clusterIPs(svc *corev1.Service) []netip.Addr {
	var ips []netip.Addr
	for _, text := range append([]string{svc.Spec.ClusterIP}, svc.Spec.ClusterIPs...) {
		if ip, err := netip.ParseAddr(text); err == nil && (len(ips) == 0 || ips[0] != ip) {
			ips = append(ips, ip)
		}
	}
	return ips
}

// nodePorts lists the ports that a Service holds.
func nodePorts(svc *corev1.Service) []int32 {
	var ports []int32
	for _, p := range svc.Spec.Ports {
		if p.NodePort != 0 {
			ports = append(ports, p.NodePort)
		}
	}
	if svc.Spec.HealthCheckNodePort != 0 {
		ports = append(ports, svc.Spec.HealthCheckNodePort)
	}
	return ports
}

// first returns the range's first usable address, which is the API server's own.
func (s *Services) first() netip.Addr { return s.cidr.Addr().Next() }

// hosts returns how many addresses can be given out, the first one not counted: without the
// network's own address and the broadcast address.
func (s *Services) hosts() uint64 {
	bits := s.cidr.Addr().BitLen() - s.cidr.Bits()
	if bits < 2 {
		return 0
	}
	return 1<<min(bits, 32) - 3
}

// nth returns the n-th of hosts().
func (s *Services) nth(n uint64) netip.Addr {
	b := s.first().As4()
	binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])+1+uint32(n))
	return netip.AddrFrom4(b)
}

// reserved is the size of the band at the range's start that is given out on demand only
// while the rest has room, so that well-known addresses (DNS) are likely to be free.
func (s *Services) reserved() uint64 {
	n := s.hosts()
	return min(max(16, n/16), 256, n)
}

// freeIP finds an address. The caller holds mu.
func (s *Services) freeIP() (netip.Addr, bool) {
	n, low := s.hosts(), s.reserved()
	for _, band := range [][2]uint64{{low, n}, {0, low}} {
		size := band[1] - band[0]
		if size == 0 {
			continue
		}
		start := s.random() % size
		for i := range size {
			if ip := s.nth(band[0] + (start+i)%size); s.ips[ip] == "" {
				return ip, true
			}
		}
	}
	return netip.Addr{}, false
}

// freePort finds a node port. The caller holds mu.
func (s *Services) freePort() (int32, bool) {
	n := s.ports.size()
	if n == 0 {
		return 0, false
	}
	start := s.random() % n
	for i := range n {
		if port := s.ports.First + int32((start+i)%n); s.nodePorts[port] == "" {
			return port, true
		}
	}
	return 0, false
}
