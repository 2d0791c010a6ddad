// Package memory is a storage.Store in memory, for tests, simulation and labs. It has no
// clock, and no goroutine but one per watch, so it also works in virtual time.
package memory

import (
	"context"
	"fmt"
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
	log       []storage.Event            // guarded by mu; one per revision, the last is revision's
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

// Write performs w if the key is at the revision that w expects.
func (s *Store) Write(ctx context.Context, w storage.Write) (storage.Result, error) {
	if err := ctx.Err(); err != nil {
		return storage.Result{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old, exists := s.tree.Get(&storage.KV{Key: w.Key})
	if exists && old.Revision != w.Expect || !exists && w.Expect != 0 {
		return storage.Result{Revision: s.revision, Current: copyOf(old)}, nil
	}
	if w.Value == nil && !exists {
		return storage.Result{Done: true, Revision: s.revision}, nil // nothing to delete, nothing happened
	}
	s.revision++
	kv := &storage.KV{Key: w.Key, Value: w.Value, Revision: s.revision}
	if w.Value == nil {
		s.tree.Delete(kv)
	} else {
		s.tree.ReplaceOrInsert(kv)
	}
	s.append(storage.Event{KV: *kv, Created: !exists, Prev: old})
	result := storage.Result{Done: true, Revision: s.revision}
	if w.Value != nil {
		result.Current = copyOf(kv)
	}
	return result, nil
}

// append logs the change and wakes the watches that it concerns. The caller holds mu.
func (s *Store) append(e storage.Event) {
	s.log = append(s.log, e)
	if len(s.log) > s.history {
		s.dropBefore(s.log[1].Revision)
	}
	for w := range s.watches {
		switch {
		case strings.HasPrefix(e.Key, w.prefix):
			w.wake()
		case w.position == e.Revision-1:
			w.position = e.Revision // it misses nothing: do not let the log run away from it
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
