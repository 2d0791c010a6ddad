package rest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/miniorch/miniorch/apiserver/rest/ipalloc"
	"github.com/miniorch/miniorch/apiserver/storage"
	"github.com/miniorch/miniorch/apiserver/storage/watchcache"
	"github.com/miniorch/miniorch/pkg/api"
)

// repairInterval is how often Services and the addresses that they have are compared.
const repairInterval = 3 * time.Minute

// run keeps the ledgers filled, and repairs them now and then, until ctx ends.
func (a *addresses) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, l := range []ledger{a.ips, a.ports} {
		if l.own {
			g.Go(func() error { return ended(ctx, l.cache.Run(ctx)) })
		}
	}
	g.Go(func() error {
		select {
		case <-a.reg.ready:
		case <-ctx.Done():
			return nil
		}
		ticker := a.reg.cfg.Clock.NewTicker(repairInterval)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C():
				a.repair(ctx)
			case <-ctx.Done():
				return nil
			}
		}
	})
	return g.Wait()
}

// repair makes the ledgers say what the Services say: an address that a Service has and the
// ledger does not know is entered (it comes from an older store, or somebody deleted it), and one
// that no Service has any more is free again.
func (a *addresses) repair(ctx context.Context) {
	s, ok := a.reg.stores[corev1.SchemeGroupVersion.WithResource("services")]
	if !ok {
		return
	}
	var failures []error
	ranges := a.ranges()
	s.cache.Snapshot().Ascend(s.root, "", func(it *watchcache.Item) bool {
		svc := it.Object.(*corev1.Service)
		for _, x := range ipalloc.Addresses(svc) {
			if !ranges.Contains(x) {
				a.reg.cfg.Logger.Warn("a service has an address that is in no range", "service", nameOf(svc), "address", x)
			}
			failures = append(failures, a.enter(ctx, svc, x))
		}
		return ctx.Err() == nil
	})
	for _, l := range []ledger{a.ips, a.ports} {
		l.cache.Snapshot().Ascend(l.root, "", func(it *watchcache.Item) bool {
			failures = append(failures, a.free(ctx, s, it))
			return ctx.Err() == nil
		})
	}
	if err := errors.Join(failures...); err != nil && ctx.Err() == nil {
		a.reg.cfg.Logger.Error("cannot repair the addresses of services", "error", err)
	}
}

// enter makes sure that an address is known to be the Service's.
func (a *addresses) enter(ctx context.Context, svc *corev1.Service, x ipalloc.Address) error {
	l, key := a.of(x)
	it, has := l.cache.Get(key)
	if has {
		if other := holder(it.Object); other != nameOf(svc) {
			a.reg.cfg.Logger.Warn("two services have one address", "address", x, "service", nameOf(svc), "other", other)
		}
		return nil
	}
	value, err := a.encode(l, key, x, svc)
	if err != nil {
		return err
	}
	res, err := a.reg.storage.Write(ctx, storage.Write{Key: key, Value: value})
	if err != nil {
		return fmt.Errorf("entering %s for service %s: %w", x, nameOf(svc), err)
	}
	if res.Done {
		a.reg.cfg.Logger.Info("entered an address that a service has", "address", x, "service", nameOf(svc))
	}
	return nil
}

// free deletes the entry of an address that no Service has. The Service is asked for after the
// entry was read, and an entry changes whenever its Service takes it anew, so nothing that is in
// use goes.
func (a *addresses) free(ctx context.Context, s *Store, it *watchcache.Item) error {
	x, owner := addressOf(it.Object), holder(it.Object)
	if x == (ipalloc.Address{}) || owner.Name == "" || !isOurs(it.Object) {
		return nil
	}
	current, _, err := s.current(ctx, s.key(owner.Namespace, owner.Name))
	if err != nil {
		return err
	}
	if current != nil && has(current.Object.(*corev1.Service), x) {
		return nil
	}
	res, err := a.reg.storage.Write(ctx, storage.Write{Key: it.Key, Expect: it.Revision})
	if err != nil {
		return fmt.Errorf("freeing %s: %w", x, err)
	}
	if res.Done {
		a.reg.cfg.Logger.Info("freed an address that no service has", "address", x, "was", owner)
	}
	return nil
}

// isOurs leaves alone what somebody else has entered.
func isOurs(obj api.Object) bool {
	_, isIP := obj.(*networkingv1.IPAddress)
	return !isIP || obj.GetLabels()[managedByLabel] == managedByUs
}

func has(svc *corev1.Service, x ipalloc.Address) bool {
	for _, one := range ipalloc.Addresses(svc) {
		if one == x {
			return true
		}
	}
	return false
}

// addressOf reads the address that an item of a ledger stands for.
func addressOf(obj api.Object) ipalloc.Address {
	if ip, err := netip.ParseAddr(obj.GetName()); err == nil {
		return ipalloc.Address{IP: ip}
	}
	port, err := strconv.ParseInt(obj.GetName(), 10, 32)
	if err != nil {
		return ipalloc.Address{}
	}
	return ipalloc.Address{Port: int32(port)}
}
