// Package memory is a storage.Store in memory, for tests, simulation and labs. It has no
// clock, and no goroutine but one per watch, so it also works in virtual time.
package memory

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/google/btree"

	"github.com/miniorch/miniorch/apiserver/storage"
)

// Config bounds a Store. Zero fields have defaults.
type Config struct {
	// History is how many changes are kept for lists and watches at earlier revisions, and
	// so how far a watch may fall behind before it ends with ErrCompacted. Default 65536.
	History int
}

// Store keeps keys in a B-tree beside the log of its latest changes. Earlier states are
// made by undoing changes on a copy of the tree, and watches read the log: a slow one
// costs nothing and holds up nobody.
type Store struct {
	history int

	mu        sync.Mutex
	tree      *btree.BTreeG[*storage.KV] // guarded by mu
	revision  int64                      // guarded by mu
	compacted int64                      // guarded by mu; lists before it and events before it are gone
	log       []storage.Event            // guarded by mu; in the order of revisions, the last is revision's
	watches   map[*watch]struct{}        // guarded by mu
}

// New returns an empty store at revision 1, where etcd begins as well.
func New(cfg Config) *Store {
	if cfg.History <= 0 {
		cfg.History = 65536
	}
	return &Store{
		history:  cfg.History,
		tree:     btree.NewG(32, func(a, b *storage.KV) bool { return a.Key < b.Key }),
		revision: 1,
		watches:  map[*watch]struct{}{},
	}
}

// Get returns the key and the store's revision.
func (s *Store) Get(ctx context.Context, key string) (*storage.KV, int64, error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	kv, _ := s.tree.Get(&storage.KV{Key: key})
	return copyOf(kv), s.revision, nil
}

// copyOf protects what the store shares from a caller that changes its result.
func copyOf(kv *storage.KV) *storage.KV {
	if kv == nil {
		return nil
	}
	c := *kv
	return &c
}

// List returns the keys with the prefix at a revision, 0 meaning now.
func (s *Store) List(ctx context.Context, prefix string, revision int64) ([]storage.KV, int64, error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	tree, revision, err := s.at(prefix, revision)
	if err != nil {
		return nil, 0, err
	}
	var kvs []storage.KV
	tree.AscendGreaterOrEqual(&storage.KV{Key: prefix}, func(kv *storage.KV) bool {
		if !strings.HasPrefix(kv.Key, prefix) {
			return false
		}
		kvs = append(kvs, *kv)
		return true
	})
	return kvs, revision, nil
}

// at returns a tree that is right below prefix at the revision, and that revision.
func (s *Store) at(prefix string, revision int64) (*btree.BTreeG[*storage.KV], int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case revision > s.revision:
		return nil, 0, fmt.Errorf("listing at revision %d: the store is at %d", revision, s.revision)
	case revision != 0 && revision < s.compacted:
		return nil, 0, &storage.CompactedError{Oldest: s.compacted}
	case revision == 0:
		revision = s.revision
	}
	tree := s.tree.Clone()
	for i := len(s.log) - 1; i >= 0 && s.log[i].Revision > revision; i-- {
		e := &s.log[i]
		switch {
		case !strings.HasPrefix(e.Key, prefix):
		case e.Prev != nil:
			tree.ReplaceOrInsert(e.Prev)
		default:
			tree.Delete(&e.KV)
		}
	}
	return tree, revision, nil
}

// Write performs w if the keys are at the revisions that w expects.
func (s *Store) Write(ctx context.Context, w storage.Write) (storage.Result, error) {
	if err := ctx.Err(); err != nil {
		return storage.Result{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.expected(w) {
		return s.refusal(w), nil
	}
	events := s.change(nil, w, s.revision+1)
	for _, other := range w.With {
		events = s.change(events, other, s.revision+1)
	}
	if len(events) > 0 { // else there was nothing to delete, and nothing happened
		s.revision++
		s.append(events)
	}
	result := storage.Result{Done: true, Revision: s.revision}
	if w.Value != nil {
		result.Current = &storage.KV{Key: w.Key, Value: w.Value, Revision: s.revision}
	}
	return result, nil
}

// expected reports whether all keys of w are at the revisions that it expects. The caller
// holds mu.
func (s *Store) expected(w storage.Write) bool {
	now := int64(0)
	if kv, exists := s.tree.Get(&storage.KV{Key: w.Key}); exists {
		now = kv.Revision
	}
	return now == w.Expect && !slices.ContainsFunc(w.With, func(other storage.Write) bool { return !s.expected(other) })
}

// refusal tells what is there instead of what w expects. The caller holds mu.
func (s *Store) refusal(w storage.Write) storage.Result {
	now := func(key string) *storage.KV {
		kv, _ := s.tree.Get(&storage.KV{Key: key})
		return copyOf(kv)
	}
	result := storage.Result{Revision: s.revision, Current: now(w.Key)}
	for _, other := range w.With {
		result.With = append(result.With, now(other.Key))
	}
	return result
}

// change puts or deletes one key and adds what happened to events. The caller holds mu.
func (s *Store) change(events []storage.Event, w storage.Write, revision int64) []storage.Event {
	kv := &storage.KV{Key: w.Key, Value: w.Value, Revision: revision}
	var old *storage.KV
	exists := false
	if w.Value == nil {
		if old, exists = s.tree.Delete(kv); !exists {
			return events
		}
	} else {
		old, exists = s.tree.ReplaceOrInsert(kv)
	}
	return append(events, storage.Event{KV: *kv, Created: !exists, Prev: old})
}

// append logs the events of one revision and wakes the watches that they concern. The
// caller holds mu.
func (s *Store) append(events []storage.Event) {
	s.log = append(s.log, events...)
	for len(s.log) > s.history && s.log[0].Revision < s.revision {
		next := slices.IndexFunc(s.log, func(e storage.Event) bool { return e.Revision > s.log[0].Revision })
		s.dropBefore(s.log[next].Revision)
	}
	for w := range s.watches {
		switch {
		case slices.ContainsFunc(events, func(e storage.Event) bool { return strings.HasPrefix(e.Key, w.prefix) }):
			w.wake()
		case w.position == s.revision-1:
			w.position = s.revision // it misses nothing: do not let the log run away from it
		}
	}
}

// dropBefore forgets changes and states older than revision. The caller holds mu.
func (s *Store) dropBefore(revision int64) {
	n := 0
	for n < len(s.log) && s.log[n].Revision < revision {
		s.log[n] = storage.Event{} // the array lives on until append moves the log
		n++
	}
	s.log = s.log[n:]
	s.compacted = max(s.compacted, revision)
}

// Revision returns the revision of the latest change.
func (s *Store) Revision(ctx context.Context) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.revision, ctx.Err()
}

// Compact drops the history before revision. A revision that was compacted before is
// storage.ErrCompacted, as in etcd.
func (s *Store) Compact(ctx context.Context, revision int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if revision > s.revision {
		return fmt.Errorf("compacting at revision %d: the store is at %d", revision, s.revision)
	}
	if revision <= s.compacted {
		return &storage.CompactedError{Oldest: s.compacted}
	}
	s.dropBefore(revision)
	return nil
}
