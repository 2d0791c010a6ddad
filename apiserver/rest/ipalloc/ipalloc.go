// Package ipalloc hands out the cluster IPs and node ports of Services: each at most
// once.
package ipalloc

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"
)

// Range is an inclusive range of port numbers.
type Range struct{ First, Last int32 }

// Services knows which cluster IPs and node ports are taken.
type Services struct{}

func New(cidr netip.Prefix, ports Range, random func() uint64) *Services { return &Services{} }

func (s *Services) Learn(svc *corev1.Service) []string { return nil }
