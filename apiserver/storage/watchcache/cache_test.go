package watchcache

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/miniorch/miniorch/apiserver/storage"
	"github.com/miniorch/miniorch/apiserver/storage/memory"
	"github.com/miniorch/miniorch/pkg/api"
)

// flaky is a store whose lists fail and whose watches break off.
type flaky struct {
	storage.Store
	failLists atomic.Int64  // so many of the next lists
	breakAt   chan struct{} // each token breaks a watch
	deafFor   atomic.Int64  // so many of the next requests for progress are lost
	reason    error         // why
}

func (s *flaky) List(ctx context.Context, prefix string, rev int64) ([]storage.KV, int64, error) {
	if s.failLists.Add(-1) >= 0 {
		return nil, 0, errors.New("no answer")
	}
	return s.Store.List(ctx, prefix, rev)
}

func (s *flaky) Watch(ctx context.Context, prefix string, after int64) <-chan storage.Batch {
	ctx, cancel := context.WithCancel(ctx)
	in, out := s.Store.Watch(ctx, prefix, after), make(chan storage.Batch)
	go func() {
		defer close(out)
		defer cancel()
		for {
			batch := storage.Batch{}
			select {
			case b, ok := <-in:
				if !ok {
					return
				}
				batch = b
			case <-s.breakAt:
				batch.Err = s.reason
			}
			select {
			case out <- batch:
			case <-ctx.Done():
			}
			if batch.Err != nil {
				return
			}
		}
	}()
	return out
}

func (s *flaky) RequestProgress(ctx context.Context, prefix string) error {
	if s.deafFor.Add(-1) >= 0 {
		return nil
	}
	return s.Store.RequestProgress(ctx, prefix)
}

// A request for progress that the store has lost is made again.
func TestProgressIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &flaky{Store: memory.New(memory.Config{})}
		f := begin(t, store, config())
		rev := force(t, store, "/registry/core/nodes/x", []byte("{}"))
		store.deafFor.Store(3)
		begun := time.Now()
		f.waitFor(rev)
		if waited := time.Since(begun); waited != 3*progressRetry {
			t.Errorf("it took %v", waited)
		}
		f.stop()
	})
}

// A store that repeats itself does not make the cache repeat itself.
func TestRepeatedEvents(t *testing.T) {
	f := withMemory(t)
	w := f.watch(WatchOptions{})
	f.put("a", "1")
	f.waitFor(f.put("a", "2"))
	kvs, _, err := f.store.List(t.Context(), prefix, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.stop() // the cache is this goroutine's now
	f.cache.apply(storage.Batch{Events: []storage.Event{{KV: kvs[0]}}, Progress: 3})
	if events := f.read(w); len(events) != 0 {
		t.Errorf("a stopped watcher got %v", events)
	}
	if n := f.cache.Stats().Events; n != 0 {
		t.Errorf("the repetition is kept as an event")
	}
}

func TestStoreFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &flaky{Store: memory.New(memory.Config{}), breakAt: make(chan struct{}), reason: errors.New("broken")}
		store.failLists.Store(3)
		put(t, store, "a", "")
		f := begin(t, store, config())
		w := f.watch(WatchOptions{After: 2})
		for i := range 5 {
			store.breakAt <- struct{}{}
			f.put("b", fmt.Sprint(i))
		}
		f.waitFor(7)
		if events := f.read(w); len(events) != 5 || w.Err() != nil {
			t.Errorf("got %v, %v", events, w.Err())
		}
		f.stop()
	})
}

// A cache that has lost events to compaction starts anew: its state is right, and its
// watchers are told that they must, too.
func TestCompactedAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &flaky{Store: memory.New(memory.Config{}), breakAt: make(chan struct{}), reason: storage.ErrCompacted}
		f := begin(t, store, config())
		f.put("a", "")
		f.put("b", "")
		f.waitFor(3)
		kept, _ := f.cache.Get(prefix + "b")
		replaced, _ := f.cache.Get(prefix + "a")
		if _, err := replaced.Encoded(FormatJSON, func(api.Object) ([]byte, error) { return []byte("{}"), nil }); err != nil {
			t.Fatal(err)
		}
		w := f.watch(WatchOptions{})
		unread := f.watch(WatchOptions{Initial: true})
		store.failLists.Store(2)
		store.breakAt <- struct{}{}
		f.put("a", "x")
		f.put("c", "")
		f.remove("c")
		f.waitFor(6)
		if _, err := w.Next(t.Context()); !errors.Is(err, ErrGone) {
			t.Errorf("the watcher was told %v", err)
		}
		if events := f.read(unread); len(events) != 3 || !errors.Is(unread.Err(), ErrGone) {
			t.Errorf("the watcher that had not read yet was told %v, %v", events, unread.Err())
		}
		if diff := cmp.Diff([]string{"a on x@4", "b@3"}, showAll(f.cache.Snapshot(), prefix)); diff != "" {
			t.Error(diff)
		}
		if again, _ := f.cache.Get(prefix + "b"); again != kept {
			t.Error("an unchanged object was decoded again")
		}
		if used := f.cache.cfg.Budget.Used(); used != 0 {
			t.Errorf("what was replaced still uses %d bytes", used)
		}
		f.stop()
	})
}

func TestWaitFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := withMemory(t)
		// Writes elsewhere: only progress tells the cache of them.
		rev := force(t, f.store, "/registry/core/nodes/x", []byte("{}"))
		begun := time.Now()
		f.waitFor(rev)
		if waited := time.Since(begun); waited != 0 {
			t.Errorf("it took %v of waiting", waited)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := f.cache.WaitFor(ctx, rev+100); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waiting for the future: %v", err)
		}
		done := make(chan error)
		for range 10 {
			go func() { done <- f.cache.WaitFor(t.Context(), rev+1) }()
		}
		synctest.Wait()
		f.put("a", "")
		for range 10 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		go func() { done <- f.cache.WaitFor(t.Context(), rev+100) }()
		synctest.Wait()
		f.stop()
		if err := <-done; !errors.Is(err, ErrStopped) {
			t.Errorf("the cache stopped, and WaitFor returned %v", err)
		}
	})
}

// When nothing happens, the cache keeps up with the store's revision by itself.
func TestProgressWhenIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := withMemory(t)
		w := f.watch(WatchOptions{})
		rev := force(t, f.store, "/registry/core/nodes/x", []byte("{}"))
		time.Sleep(11 * time.Second)
		if got, ok := w.Progress(); got != rev || !ok {
			t.Errorf("progress %d, %v; want %d", got, ok, rev)
		}
		f.stop()
	})
}

func TestUndecodable(t *testing.T) {
	store := memory.New(memory.Config{})
	force(t, store, prefix+"broken", []byte("rubbish"))
	put(t, store, "ok", "")
	f := begin(t, store, config())
	w := f.watch(WatchOptions{})
	f.waitFor(force(t, store, prefix+"ok", []byte("rubbish")))
	f.waitFor(f.put("broken", ""))
	want := []string{"DELETED ok@4 was ok", "ADDED broken@5"}
	if diff := cmp.Diff(want, f.read(w)); diff != "" {
		t.Error(diff)
	}
}

// The cache's state at every revision is the store's.
func TestSnapshotAtEveryRevision(t *testing.T) {
	f := withMemory(t)
	rnd := rand.New(rand.NewSource(1))
	states := map[int64][]string{}
	for range 300 {
		name := fmt.Sprintf("n%d/%d", rnd.Intn(3), rnd.Intn(5))
		var rev int64
		if _, exists := f.cache.Get(prefix + name); exists && rnd.Intn(3) == 0 {
			rev = f.remove(name)
		} else {
			rev = f.put(name, fmt.Sprint(rnd.Intn(100)))
		}
		f.waitFor(rev)
		s := f.cache.Snapshot()
		if s.Revision != rev {
			t.Fatalf("the snapshot is at %d, want %d", s.Revision, rev)
		}
		states[rev] = showAll(s, prefix)
		kvs, _, err := f.store.List(f.ctx, prefix, 0)
		if err != nil || len(kvs) != len(states[rev]) {
			t.Fatalf("the store has %d objects, the cache %d (%v)", len(kvs), len(states[rev]), err)
		}
	}
	for rev, want := range states {
		s, err := f.cache.SnapshotAt(rev)
		if err != nil || s.Revision != rev {
			t.Fatalf("at %d: %d, %v", rev, s.Revision, err)
		}
		if diff := cmp.Diff(want, showAll(s, prefix)); diff != "" {
			t.Fatalf("the state at %d (-then +now):\n%s", rev, diff)
		}
	}
}

func TestSnapshotsAreBounded(t *testing.T) {
	clk := clocktesting.NewFakeClock(time.Now())
	cfg := config()
	cfg.History, cfg.Snapshots, cfg.SnapshotAge, cfg.Clock = 4, 3, time.Minute, clk
	f := begin(t, memory.New(memory.Config{}), cfg)
	step := func() int64 {
		rev := f.put("a", "")
		f.waitFor(rev)
		return rev
	}
	var kept []int64
	for range 5 {
		step()
		s := f.cache.Snapshot()
		f.cache.Keep(s)
		f.cache.Keep(s) // twice is once
		kept = append(kept, s.Revision)
	}
	for range 10 {
		step()
	}
	for i, rev := range kept {
		_, err := f.cache.SnapshotAt(rev)
		if want := i >= 2; want != (err == nil) || err != nil && !errors.Is(err, ErrGone) {
			t.Errorf("snapshot %d of 5 (3 are kept): %v", i, err)
		}
	}
	clk.Step(2 * time.Minute)
	if _, err := f.cache.SnapshotAt(kept[4]); !errors.Is(err, ErrGone) {
		t.Errorf("an old snapshot: %v", err)
	}
	if n := f.cache.Stats().Snapshots; n != 0 {
		t.Errorf("%d snapshots are kept", n)
	}
	if _, err := f.cache.SnapshotAt(1000); !errors.Is(err, ErrFuture) {
		t.Errorf("a snapshot of the future: %v", err)
	}
}

func TestSnapshot(t *testing.T) {
	f := withMemory(t)
	for _, name := range []string{"n1/b", "n1/a", "n12/c", "n2/d"} {
		f.waitFor(f.put(name, ""))
	}
	s := f.cache.Snapshot()
	f.waitFor(f.remove("n1/a"))
	tests := []struct {
		prefix, from string
		want         []string
	}{
		{prefix, "", []string{"n1/a", "n1/b", "n12/c", "n2/d"}},
		{prefix + "n1/", "", []string{"n1/a", "n1/b"}},
		{prefix + "n1/", prefix + "n1/a\x00", []string{"n1/b"}},
		{prefix, prefix + "n1/zz", []string{"n12/c", "n2/d"}},
		{prefix + "n2/d", "", []string{"n2/d"}},
		{prefix + "n1", "", nil},
	}
	for _, tt := range tests {
		var got []string
		s.Ascend(tt.prefix, tt.from, func(it *Item) bool {
			got = append(got, it.Key[len(prefix):])
			return true
		})
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("below %s from %s:\n%s", tt.prefix, tt.from, diff)
		}
	}
	if n := s.Len(prefix + "n1/"); n != 2 {
		t.Errorf("Len is %d, want 2", n)
	}
	if _, ok := s.Get(prefix + "n1/a"); !ok {
		t.Error("a snapshot has changed")
	}
	if _, ok := f.cache.Get(prefix + "n1/a"); ok {
		t.Error("the cache has not")
	}
}
