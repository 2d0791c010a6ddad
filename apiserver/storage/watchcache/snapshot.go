package watchcache

// Snapshot is the whole resource at one revision. It is immutable and costs nothing to take.
type Snapshot struct {
	Revision int64
}

// Snapshot returns the newest state that the cache has.
func (c *Cache) Snapshot() Snapshot { panic("stub") }

// SnapshotAt returns the state at an exact revision: the newest, one that was kept, or one
// that the kept events lead back to; it is then kept as by Keep. It returns ErrGone when
// the revision is too old and ErrFuture when it has not been reached.
func (c *Cache) SnapshotAt(rev int64) (Snapshot, error) { panic("stub") }

// Keep holds s for a later SnapshotAt (the next page of a list), within the limits of Config.
func (c *Cache) Keep(s Snapshot) { panic("stub") }

// Ascend calls f for the items at or below prefix in key order, starting with the first
// key >= from, until f returns false. A prefix that does not end in "/" is one object's key.
func (s Snapshot) Ascend(prefix, from string, f func(*Item) bool) { panic("stub") }

// Get returns the item with the key.
func (s Snapshot) Get(key string) (*Item, bool) { panic("stub") }

// Len counts the items at or below prefix.
func (s Snapshot) Len(prefix string) int { panic("stub") }
