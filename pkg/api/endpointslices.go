package api

import (
	discoveryv1 "k8s.io/api/discovery/v1"
)

// SlicesByService names the informer index of EndpointSlices that SliceService fills.
const SlicesByService = "service"

// SliceService is the index function for SlicesByService: the "namespace/name" of the Service
// that a slice belongs to.
func SliceService(s *discoveryv1.EndpointSlice) []string {
	name := s.Labels[discoveryv1.LabelServiceName]
	if name == "" {
		return nil
	}
	return []string{s.Namespace + "/" + name}
}
