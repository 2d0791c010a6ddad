package rest

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/pkg/api"
)

// claimAddresses gives a Service its cluster IP and node ports before it is validated and
// written. Other kinds have none.
func (s *Store) claimAddresses(obj, old api.Object) (claim, error) {
	svc, ok := obj.(*corev1.Service)
	if !ok {
		return nil, nil
	}
	before, _ := old.(*corev1.Service)
	c, errs := s.reg.services.Assign(svc, before)
	if len(errs) > 0 {
		return nil, s.invalid(svc.Name, errs)
	}
	return c, nil
}

func (s *Store) releaseAddresses(obj api.Object) {
	if svc, ok := obj.(*corev1.Service); ok {
		s.reg.services.Release(svc)
	}
}
