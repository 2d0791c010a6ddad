// Package storage is the API server's narrow view of a revisioned key-value store:
// get, list, compare-and-swap write, and watch from a revision. Back ends: etcd
// (storage/etcd) and memory (storage/memory); both pass storage/storagetest.
package storage

import (
	"context"
	"errors"
	"fmt"
)

// ErrCompacted is returned by List and Watch when the revision asked for is gone.
var ErrCompacted = errors.New("storage: revision has been compacted")

// CompactedError is an ErrCompacted that tells the oldest revision that can be listed, and
// after which a watch is complete.
type CompactedError struct{ Oldest int64 }

// Error says what is left.
func (e *CompactedError) Error() string {
	return fmt.Sprintf("%v: the oldest is %d", ErrCompacted, e.Oldest)
}

// Is makes errors.Is(err, ErrCompacted) true.
func (e *CompactedError) Is(target error) bool { return target == ErrCompacted }

// KV is one key at one revision. Value is immutable: it may be shared.
type KV struct {
	Key      string
	Value    []byte
	Revision int64 // of the last write to this key
}

// Write is one compare-and-swap. The write happens only if the key's current revision
// is Expect; Expect 0 means that the key must not exist. A nil Value deletes.
type Write struct {
	Key    string
	Value  []byte
	Expect int64
	// With are writes of other keys that are done at the same revision: all of them or
	// none, as each one's Expect says. They have no With of their own.
	With []Write
}

// Result tells how a Write ended. When Done is false nothing was written and Current is
// the key as it is now (nil if it does not exist).
type Result struct {
	Done     bool
	Revision int64
	Current  *KV
	// With are the other keys as they are now, in the order of Write.With, when Done is false.
	With []*KV
}

// Event is one change. For a deletion Value is nil and Prev is what was deleted.
type Event struct {
	KV
	Created bool // no earlier value existed
	Prev    *KV  // the value before this change, nil when Created
}

// Batch carries the events of a watch in revision order, all events of one revision in
// one batch. Progress is the revision up to which the watcher has now seen everything;
// a batch without events is a progress notification.
type Batch struct {
	Events   []Event
	Progress int64
	Err      error // terminal: ErrCompacted or the back end's failure
}

// Store is a revisioned key-value store. All methods are safe for concurrent use.
type Store interface {
	// Get returns the key (nil if absent) and the store's revision at the read.
	Get(ctx context.Context, key string) (*KV, int64, error)
	// List returns every key with the prefix, in key order, at one revision (0 = now).
	List(ctx context.Context, prefix string, revision int64) ([]KV, int64, error)
	// Write performs one compare-and-swap transaction.
	Write(ctx context.Context, w Write) (Result, error)
	// Watch streams changes with the prefix whose revision is greater than after. The
	// channel is closed after a Batch with Err, or when ctx ends. The back end sends a
	// progress batch soon after RequestProgress.
	Watch(ctx context.Context, prefix string, after int64) <-chan Batch
	// RequestProgress asks that the watches of exactly this prefix be told how far they are.
	// The request may be lost while a watch is catching up: ask again.
	RequestProgress(ctx context.Context, prefix string) error
	// Revision returns the store's current revision, linearizably.
	Revision(ctx context.Context) (int64, error)
	// Compact drops history before revision.
	Compact(ctx context.Context, revision int64) error
}

// LeanWatcher is what a Store may be as well. WatchLean is Watch without Prev in its events,
// for those who know what was before: it spares etcd a read for each change.
type LeanWatcher interface {
	WatchLean(ctx context.Context, prefix string, after int64) <-chan Batch
}
