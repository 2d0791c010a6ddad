package dns

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
)

const (
	servicesByIP        = "dns/ip"
	servicesByNamespace = "dns/namespace"
	slicesByIP          = "dns/ip"
)

// informerSource answers from the process's informers.
type informerSource struct {
	services *client.Informer[*corev1.Service]
	slices   *client.Informer[*discoveryv1.EndpointSlice]
}

func newSource(informers *client.Informers) informerSource {
	s := informerSource{client.InformerFor[*corev1.Service](informers), client.InformerFor[*discoveryv1.EndpointSlice](informers)}
	s.services.Index(servicesByIP, func(svc *corev1.Service) []string {
		if headless(svc) {
			return nil
		}
		return svc.Spec.ClusterIPs
	})
	s.services.Index(servicesByNamespace, func(svc *corev1.Service) []string { return []string{svc.Namespace} })
	s.slices.Index(api.SlicesByService, api.SliceService)
	s.slices.Index(slicesByIP, func(slice *discoveryv1.EndpointSlice) []string {
		var ips []string
		for _, e := range slice.Endpoints {
			ips = append(ips, e.Addresses...)
		}
		return ips
	})
	return s
}

// Service implements Source.
func (s informerSource) Service(ns, name string) (*corev1.Service, bool) {
	return s.services.Get(ns, name)
}

// Slices implements Source.
func (s informerSource) Slices(ns, service string) []*discoveryv1.EndpointSlice {
	return s.slices.ByIndex(api.SlicesByService, ns+"/"+service)
}

// HasNamespace implements Source.
func (s informerSource) HasNamespace(ns string) bool {
	return len(s.services.ByIndex(servicesByNamespace, ns)) > 0
}

// ServiceByIP implements Source.
func (s informerSource) ServiceByIP(ip string) (*corev1.Service, bool) {
	found := s.services.ByIndex(servicesByIP, ip)
	if len(found) == 0 {
		return nil, false
	}
	return found[0], true
}

// SlicesByIP implements Source.
func (s informerSource) SlicesByIP(ip string) []*discoveryv1.EndpointSlice {
	return s.slices.ByIndex(slicesByIP, ip)
}
