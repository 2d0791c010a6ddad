// Package etcd is the storage.Store on etcd v3: an embedded member called in-process, or
// an external cluster.
package etcd

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/miniorch/miniorch/apiserver/storage"
)

// Config tunes a Store. Zero fields have defaults.
type Config struct {
	// PageSize is how many keys one request of a List fetches: etcd answers no other
	// request of the same connection while it sends a page. Default 2000.
	PageSize int64
}

// Store keeps keys in etcd. A key's revision is etcd's mod revision.
type Store struct {
	client   *clientv3.Client
	pageSize int64

	mu      sync.Mutex
	streams map[*stream]struct{} // guarded by mu; of the watches that run
	watches uint64               // guarded by mu; ever begun, to name their streams
}

var _ storage.Store = (*Store)(nil)

// New returns a store on the client. The caller closes the client after its last use.
func New(client *clientv3.Client, cfg Config) *Store {
	if cfg.PageSize <= 0 {
		cfg.PageSize = 2000
	}
	return &Store{client: client, pageSize: cfg.PageSize, streams: map[*stream]struct{}{}}
}

// Get returns the key and the store's revision, linearizably.
func (s *Store) Get(ctx context.Context, key string) (*storage.KV, int64, error) {
	resp, err := s.client.Get(ctx, key)
	if err != nil {
		return nil, 0, fmt.Errorf("getting %s: %w", key, mapped(err))
	}
	if len(resp.Kvs) == 0 {
		return nil, resp.Header.Revision, nil
	}
	kv := kvOf(resp.Kvs[0])
	return &kv, resp.Header.Revision, nil
}

// List returns the keys with the prefix at one revision, which it fetches in pages.
func (s *Store) List(ctx context.Context, prefix string, revision int64) ([]storage.KV, int64, error) {
	var kvs []storage.KV
	from, end := prefix, clientv3.GetPrefixRangeEnd(prefix)
	if prefix == "" {
		from, end = "\x00", "\x00"
	}
	for {
		resp, err := s.client.Get(ctx, from, clientv3.WithRange(end), clientv3.WithLimit(s.pageSize), clientv3.WithRev(revision))
		if err != nil {
			return nil, 0, fmt.Errorf("listing %s: %w", prefix, mapped(err))
		}
		if revision == 0 {
			revision = resp.Header.Revision
		}
		if kvs == nil {
			kvs = make([]storage.KV, 0, resp.Count)
		}
		for _, kv := range resp.Kvs {
			kvs = append(kvs, kvOf(kv))
		}
		if !resp.More {
			return kvs, revision, nil
		}
		from = kvs[len(kvs)-1].Key + "\x00"
	}
}

// Write performs w in one transaction. After an error it is unknown whether the write
// has happened.
func (s *Store) Write(ctx context.Context, w storage.Write) (storage.Result, error) {
	n := 1 + len(w.With)
	expected, do, look := make([]clientv3.Cmp, 0, n), make([]clientv3.Op, 0, n), make([]clientv3.Op, 0, n)
	add := func(w *storage.Write) {
		expected = append(expected, clientv3.Compare(clientv3.ModRevision(w.Key), "=", w.Expect))
		look = append(look, clientv3.OpGet(w.Key))
		if w.Value == nil {
			do = append(do, clientv3.OpDelete(w.Key))
		} else {
			do = append(do, clientv3.OpPut(w.Key, textOf(w.Value)))
		}
	}
	add(&w)
	for i := range w.With {
		add(&w.With[i])
	}
	resp, err := s.client.Txn(ctx).If(expected...).Then(do...).Else(look...).Commit()
	if err != nil {
		return storage.Result{}, fmt.Errorf("writing %s: %w", w.Key, mapped(err))
	}
	result := storage.Result{Done: resp.Succeeded, Revision: resp.Header.Revision}
	switch {
	case !resp.Succeeded:
		result.Current = found(resp.Responses[0])
		for _, other := range resp.Responses[1:] {
			result.With = append(result.With, found(other))
		}
	case w.Value != nil:
		result.Current = &storage.KV{Key: w.Key, Value: w.Value, Revision: resp.Header.Revision}
	}
	return result, nil
}

// textOf is value without a copy, which OpPut makes anyway: a Write's value never changes.
func textOf(value []byte) string { return unsafe.String(unsafe.SliceData(value), len(value)) }

// found is the key that one step of a transaction has read, nil if there is none.
func found(r *etcdserverpb.ResponseOp) *storage.KV {
	kvs := r.GetResponseRange().Kvs
	if len(kvs) == 0 {
		return nil
	}
	kv := kvOf(kvs[0])
	return &kv
}

// Revision returns the store's current revision, linearizably.
func (s *Store) Revision(ctx context.Context) (int64, error) {
	// The key need not exist: the header is what is asked for.
	resp, err := s.client.Get(ctx, "\x00", clientv3.WithKeysOnly())
	if err != nil {
		return 0, fmt.Errorf("asking for the revision: %w", mapped(err))
	}
	return resp.Header.Revision, nil
}

// Compact drops the history before revision.
func (s *Store) Compact(ctx context.Context, revision int64) error {
	if _, err := s.client.Compact(ctx, revision); err != nil {
		return fmt.Errorf("compacting at %d: %w", revision, mapped(err))
	}
	return nil
}

func kvOf(kv *mvccpb.KeyValue) storage.KV {
	return storage.KV{Key: string(kv.Key), Value: notNil(kv.Value), Revision: kv.ModRevision}
}

// notNil keeps an empty value apart from none.
func notNil(value []byte) []byte {
	if value == nil {
		return []byte{}
	}
	return value
}

// mapped turns etcd's error into storage's where storage has one.
func mapped(err error) error {
	if errors.Is(err, rpctypes.ErrCompacted) {
		return storage.ErrCompacted
	}
	return err
}
