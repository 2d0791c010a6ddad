package rest

import (
	"context"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/pkg/api"
)

// claimAddresses gives a Service its cluster IP and node ports before it is validated and
// written. Other kinds have none.
func (s *Store) claimAddresses(ctx context.Context, obj, old api.Object) (claim, error) {
	svc, ok := obj.(*corev1.Service)
	if !ok {
		return nil, nil
	}
	select {
	case <-s.reg.ready: // before, the allocator does not know what is taken
	case <-ctx.Done():
		return nil, contextError(ctx.Err(), "the addresses in use are not known yet")
	}
	before, _ := old.(*corev1.Service)
	c, errs := s.reg.services.Assign(svc, before)
	if len(errs) > 0 {
		return nil, s.invalid(svc.Name, errs)
	}
	return c, nil
}

// releaseAddresses frees what a Service held that is gone.
func (s *Store) releaseAddresses(obj api.Object) {
	if svc, ok := obj.(*corev1.Service); ok {
		s.reg.services.Release(svc)
	}
}
