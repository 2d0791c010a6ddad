package watchcache

import (
	"errors"
	"log/slog"
	"testing"

	"github.com/miniorch/miniorch/apiserver/storage"
	"github.com/miniorch/miniorch/apiserver/storage/etcd"
)

func etcdStore(t testing.TB) storage.Store {
	t.Helper()
	e, err := etcd.StartEmbedded(t.Context(), etcd.EmbeddedConfig{DataDir: t.TempDir() + "/etcd", NoSync: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return etcd.New(e.Client(), etcd.Config{})
}

// What the memory store shows must hold on etcd as well: progress, resuming, restarts.
func TestOnEtcd(t *testing.T) {
	store := etcdStore(t)
	first := begin(t, store, config())
	w := first.watch(WatchOptions{Prefix: prefix + "n1/"})
	start := scene(first)
	checkScene(first, w, scenes[1].want, 0)
	for range 20 { // consistent reads while others write, with nothing to see for this cache
		first.waitFor(force(t, store, "/registry/core/nodes/x", []byte("{}")))
	}
	first.stop()

	f := begin(t, store, config())
	f.waitFor(force(t, store, "/registry/core/nodes/x", []byte("{}")))
	for skip := range 8 {
		checkScene(f, f.watch(WatchOptions{After: start + int64(skip)}), scenes[0].want, skip)
	}
	f.stop()

	if err := store.Compact(t.Context(), start+5); err != nil {
		t.Fatal(err)
	}
	f = begin(t, store, config())
	if _, err := f.cache.Watch(t.Context(), WatchOptions{After: start + 4}); !errors.Is(err, ErrGone) {
		t.Errorf("a watch whose events are compacted: %v", err)
	}
	checkScene(f, f.watch(WatchOptions{After: start + 5}), scenes[0].want, 5)
}

// BenchmarkReadOwnWrite is a write and a consistent read of it: what a controller sees that
// reads from the cache what it has just written.
func BenchmarkReadOwnWrite(b *testing.B) {
	f := begin(b, etcdStore(b), config())
	v := value(b, 1)
	for b.Loop() {
		f.waitFor(force(b, f.store, benchKey(1), v))
	}
}

// BenchmarkConsistentRead is a read that must be as new as the store while another
// resource is being written.
func BenchmarkConsistentRead(b *testing.B) {
	f := begin(b, etcdStore(b), config())
	for b.Loop() {
		force(b, f.store, "/registry/core/nodes/x", []byte("{}"))
		rev, err := f.store.Revision(f.ctx)
		if err != nil {
			b.Fatal(err)
		}
		f.waitFor(rev)
	}
}
