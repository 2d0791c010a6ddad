package watchcache

import (
	"cmp"
	"context"
	"errors"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/miniorch/miniorch/apiserver/alike"
	"github.com/miniorch/miniorch/apiserver/storage"
)

// Waits between attempts to reach the store.
const (
	minRetry = 50 * time.Millisecond
	maxRetry = 5 * time.Second
)

// Run lists and watches the store until ctx ends, and then ends all watchers. It is
// called once.
func (c *Cache) Run(ctx context.Context) error {
	var helpers sync.WaitGroup
	defer helpers.Wait()
	defer c.stop()
	retry := minRetry
	for ctx.Err() == nil {
		if err := c.fill(ctx); err != nil {
			c.cfg.Logger.Warn("listing for the watch cache failed", "prefix", c.cfg.Prefix, "err", err)
			c.sleep(ctx, retry)
			retry = min(2*retry, maxRetry)
			continue
		}
		retry = minRetry
		c.follow(ctx, &helpers)
	}
	return ctx.Err()
}

func (c *Cache) sleep(ctx context.Context, d time.Duration) {
	t := c.cfg.Clock.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C():
	}
}

// follow applies what the store's watch tells, watching anew after failures, until ctx ends
// or the events that come next are gone.
func (c *Cache) follow(ctx context.Context, helpers *sync.WaitGroup) {
	retry := minRetry
	for ctx.Err() == nil {
		before := c.Revision()
		err := c.followOnce(ctx, helpers)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, storage.ErrCompacted):
			c.cfg.Logger.Warn("the watch cache fell behind and starts anew", "prefix", c.cfg.Prefix, "revision", c.Revision())
			return
		}
		c.cfg.Logger.Warn("watching for the watch cache failed", "prefix", c.cfg.Prefix, "err", err)
		if c.Revision() > before {
			retry = minRetry
		}
		c.sleep(ctx, retry)
		retry = min(2*retry, maxRetry)
	}
}

func (c *Cache) followOnce(ctx context.Context, helpers *sync.WaitGroup) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watch := c.store.Watch
	if lean, ok := c.store.(storage.LeanWatcher); ok {
		watch = lean.WatchLean // what was before is here already
	}
	batches := watch(ctx, c.cfg.Prefix, c.Revision())
	ticker := c.cfg.Clock.NewTicker(c.cfg.ProgressInterval)
	defer ticker.Stop()
	for {
		select {
		case batch, ok := <-batches:
			if !ok {
				return errors.New("the store's watch ended")
			}
			if batch.Err != nil {
				return batch.Err
			}
			c.apply(batch)
		case <-ticker.C():
			if err := c.store.RequestProgress(ctx, c.cfg.Prefix); err != nil {
				return err
			}
		case r := <-c.recalls:
			helpers.Go(func() { c.answer(ctx, r) })
		}
	}
}

// fill replaces the cache's contents by a list. Watchers of an earlier filling end: what
// happened in between is not known.
func (c *Cache) fill(ctx context.Context) error {
	kvs, revision, err := c.store.List(ctx, c.cfg.Prefix, 0)
	if err != nil {
		return err
	}
	found := c.decodeAll(kvs)
	items := newTree()
	for _, it := range found {
		if it != nil {
			items.ReplaceOrInsert(it)
		}
	}
	c.mu.Lock()
	wake := c.endChains(ErrGone)
	c.items.Ascend(func(old *Item) bool {
		if now, ok := items.Get(old); !ok || now != old {
			old.retire()
		}
		return true
	})
	c.items, c.snapshot, c.kept = items, nil, nil
	c.changed, c.floor, c.filled = revision, revision, revision
	c.recall = nil
	wake = append(wake, c.advance(revision)...)
	c.mu.Unlock()
	wakeAll(wake)
	select {
	case <-c.ready:
	default:
		close(c.ready)
	}
	return nil
}

// decodeAll makes items of the listed values on all processors, keeping those that the
// cache already has. What cannot be decoded is nil.
func (c *Cache) decodeAll(kvs []storage.KV) []*Item {
	items := make([]*Item, len(kvs))
	workers := min(runtime.GOMAXPROCS(0), len(kvs)/256+1)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			var like *Item
			for i := w * len(kvs) / workers; i < (w+1)*len(kvs)/workers; i++ {
				if old, ok := c.Get(kvs[i].Key); ok && old.Revision == kvs[i].Revision {
					items[i] = old
				} else {
					items[i] = c.decode(kvs[i].Key, kvs[i].Value, kvs[i].Revision, like)
				}
				like = cmp.Or(items[i], like)
			}
		})
	}
	wg.Wait()
	return items
}

// decode makes an item of a value; it shares what it can with like, which may be nil. It
// returns nil, and says so in the log, for a value that is not an object: one broken value
// must not hide the others.
func (c *Cache) decode(key string, value []byte, revision int64, like *Item) *Item {
	obj, err := c.cfg.Decode(key, value, revision)
	if err != nil {
		c.cfg.Logger.Error("a stored object cannot be decoded and is not shown", "key", key, "revision", revision, "err", err)
		return nil
	}
	if like != nil {
		alike.Share(obj, like.Object)
	}
	return &Item{Key: key, Object: obj, Revision: revision, size: len(value), budget: c.cfg.Budget}
}

// neighbour is the item whose key is next before the given one; nil if there is none.
// Replicas of one template are neighbours: their names begin alike.
func (c *Cache) neighbour(key string) (before *Item) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	c.items.DescendLessOrEqual(&Item{Key: key}, func(it *Item) bool {
		before = it
		return false
	})
	return before
}

// apply takes over one batch of the store's watch: all of it becomes visible at once.
func (c *Cache) apply(batch storage.Batch) {
	changes := c.changesOf(batch.Events)
	var wake []*chan struct{}
	c.mu.Lock()
	for _, ch := range changes {
		if ch.Type == Deleted {
			c.items.Delete(ch.Item)
		} else {
			c.items.ReplaceOrInsert(ch.Item)
		}
		c.snapshot, c.changed = nil, ch.Revision
		wake = append(wake, c.publish(ch)...)
	}
	c.pruneKept()
	wake = append(wake, c.advance(batch.Progress)...)
	c.mu.Unlock()
	c.progress.answered()
	wakeAll(wake)
}

// changesOf decodes events, each against the state that those before it leave.
func (c *Cache) changesOf(events []storage.Event) []*change {
	changes := make([]*change, 0, len(events))
	later := make(map[string]*Item) // what this batch has changed so far
	for i := range events {
		e := &events[i]
		old, changedHere := later[e.Key]
		if !changedHere {
			old, _ = c.Get(e.Key)
		}
		if old != nil && old.Revision >= e.Revision {
			continue // a watch that began anew may repeat itself
		}
		var item *Item
		if e.Value != nil {
			like := old
			if like == nil {
				like = c.neighbour(e.Key)
			}
			item = c.decode(e.Key, e.Value, e.Revision, like)
		}
		later[e.Key] = item
		if ch := c.changeOf(old, item, e.Revision); ch != nil {
			changes = append(changes, ch)
		}
	}
	return changes
}

// changeOf compares what the cache shows before and after; nil if neither is anything.
func (c *Cache) changeOf(old, item *Item, revision int64) *change {
	ch := &change{Event: Event{Type: Modified, Item: item, Prev: old, Revision: revision}}
	switch {
	case old == nil && item == nil:
		return nil
	case old == nil:
		ch.Type = Added
	case item == nil:
		ch.Type, ch.Item = Deleted, old.at(revision)
	}
	ch.Event.departed = &ch.departed
	return ch
}

// at returns the same object under a later revision.
func (it *Item) at(revision int64) *Item {
	obj := alike.CopyTop(it.Object)
	obj.SetResourceVersion(strconv.FormatInt(revision, 10))
	return &Item{Key: it.Key, Object: obj, Revision: revision, size: it.size, budget: it.budget}
}

// advance moves the revision forward. The caller holds c.mu.
func (c *Cache) advance(revision int64) (wake []*chan struct{}) {
	if revision > c.revision.Load() {
		c.revision.Store(revision)
	}
	if c.advanced != nil {
		ch := c.advanced
		wake, c.advanced = append(wake, &ch), nil
	}
	return wake
}

// stop ends all watchers.
func (c *Cache) stop() {
	c.mu.Lock()
	c.stopped = true
	wake := append(c.endChains(ErrStopped), c.advance(0)...)
	c.mu.Unlock()
	wakeAll(wake)
}
