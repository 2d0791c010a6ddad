package rest

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/apiserver/storage"
	"github.com/miniorch/miniorch/apiserver/storage/watchcache"
	"github.com/miniorch/miniorch/pkg/api"
)

// sweepInterval is how often expired objects are looked for.
const sweepInterval = time.Minute

// sweep deletes objects that have outlived their TTL, until ctx ends. Several API servers
// may sweep one store: a delete that comes second does nothing.
func (s *Store) sweep(ctx context.Context) error {
	ticker := s.reg.cfg.Clock.NewTicker(sweepInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C():
		}
		if err := s.waitReady(ctx); err != nil {
			return ctx.Err()
		}
		s.sweepOnce(ctx, s.reg.cfg.Clock.Now())
	}
}

func (s *Store) sweepOnce(ctx context.Context, now time.Time) {
	var expired []*watchcache.Item
	s.cache.Snapshot().Ascend(s.root, "", func(it *watchcache.Item) bool {
		if !expiresAt(it.Object, s.desc.TTL(it.Object), now).After(now) {
			expired = append(expired, it)
		}
		return true
	})
	for _, it := range expired {
		// What was written since keeps its life: the revision no longer fits.
		if _, err := s.reg.storage.Write(ctx, storage.Write{Key: it.Key, Expect: it.Revision}); err != nil {
			if ctx.Err() == nil {
				s.reg.cfg.Logger.Warn("removing an expired object failed", "key", it.Key, "error", err)
			}
			return
		}
	}
}

// expiresAt counts from the object's last write, as far as the object tells. Times that lie in
// the future are not believed.
func expiresAt(obj api.Object, ttl time.Duration, now time.Time) time.Time {
	last := obj.GetCreationTimestamp().Time
	if e, ok := obj.(*corev1.Event); ok {
		times := []time.Time{e.LastTimestamp.Time, e.EventTime.Time}
		if e.Series != nil {
			times = append(times, e.Series.LastObservedTime.Time)
		}
		for _, t := range times {
			if t.After(last) && !t.After(now) {
				last = t
			}
		}
	}
	return last.Add(ttl)
}
