package watchcache

import (
	"slices"
	"time"
)

// Snapshot is the whole resource at one revision. It is immutable and costs nothing to take.
type Snapshot struct {
	Revision int64
	items    *tree
}

// keptSnapshot is a snapshot that SnapshotAt will find.
type keptSnapshot struct {
	Snapshot
	since time.Time
}

// Snapshot returns the newest state that the cache has.
func (c *Cache) Snapshot() Snapshot {
	c.mu.RLock()
	s := Snapshot{c.revision.Load(), c.snapshot}
	c.mu.RUnlock()
	if s.items != nil {
		return s
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return Snapshot{c.revision.Load(), c.frozen()}
}

// frozen returns a clone of the items that will not change. The caller holds c.mu.
func (c *Cache) frozen() *tree {
	if c.snapshot == nil {
		c.snapshot = c.items.Clone()
	}
	return c.snapshot
}

// SnapshotAt returns the state at an exact revision: the newest, one that was kept, or one
// that the kept events lead back to; it is then kept as by Keep. It returns ErrGone when
// the revision is too old and ErrFuture when it has not been reached.
func (c *Cache) SnapshotAt(rev int64) (Snapshot, error) {
	s, undo, err := c.nearest(rev)
	if err != nil {
		return Snapshot{}, err
	}
	if len(undo) > 0 {
		for _, ch := range slices.Backward(undo) {
			if ch.Prev != nil {
				s.items.ReplaceOrInsert(ch.Prev)
			} else {
				s.items.Delete(ch.Item)
			}
		}
		c.Keep(s)
	}
	return s, nil
}

// nearest finds the state to start from and the changes to undo in it.
func (c *Cache) nearest(rev int64) (Snapshot, []*change, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pruneKept()
	if rev > c.revision.Load() {
		return Snapshot{}, nil, ErrFuture
	}
	if rev >= c.changed {
		return Snapshot{rev, c.frozen()}, nil, nil
	}
	for _, k := range c.kept {
		if k.Revision == rev {
			return k.Snapshot, nil, nil
		}
	}
	if rev < c.floor {
		return Snapshot{}, nil, ErrGone
	}
	// The caller undoes the changes in a clone of its own, without holding mu.
	return Snapshot{rev, c.items.Clone()}, slices.Clone(c.history[c.since(rev):]), nil
}

// Keep holds s for a later SnapshotAt (the next page of a list), within the limits of Config.
func (c *Cache) Keep(s Snapshot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if slices.ContainsFunc(c.kept, func(k keptSnapshot) bool { return k.Revision == s.Revision }) {
		return
	}
	c.kept = append(c.kept, keptSnapshot{s, c.cfg.Clock.Now()})
	c.pruneKept()
}

// pruneKept drops the snapshots that are beyond the limits. The caller holds c.mu.
func (c *Cache) pruneKept() {
	if len(c.kept) == 0 {
		return
	}
	drop := max(0, len(c.kept)-c.cfg.Snapshots)
	now := c.cfg.Clock.Now()
	for drop < len(c.kept) && now.Sub(c.kept[drop].since) > c.cfg.SnapshotAge {
		drop++
	}
	c.kept = slices.Delete(c.kept, 0, drop)
}

// Ascend calls f for the items at or below prefix in key order, starting with the first
// key >= from, until f returns false. A prefix that does not end in "/" is one object's key.
func (s Snapshot) Ascend(prefix, from string, f func(*Item) bool) {
	s.items.AscendGreaterOrEqual(&Item{Key: max(prefix, from)}, func(it *Item) bool {
		return covers(prefix, it.Key) && f(it)
	})
}

// Get returns the item with the key.
func (s Snapshot) Get(key string) (*Item, bool) { return s.items.Get(&Item{Key: key}) }

// Len counts the items at or below prefix; empty is everything, which costs nothing.
func (s Snapshot) Len(prefix string) (n int) {
	if prefix == "" {
		return s.items.Len()
	}
	s.Ascend(prefix, "", func(*Item) bool { n++; return true })
	return n
}
