package memory_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/miniorch/miniorch/apiserver/storage"
	"github.com/miniorch/miniorch/apiserver/storage/memory"
	"github.com/miniorch/miniorch/apiserver/storage/storagetest"
	"github.com/miniorch/miniorch/pkg/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func TestStore(t *testing.T) {
	storagetest.Run(t, func(*testing.T) storage.Store { return memory.New(memory.Config{}) })
}

func write(t *testing.T, s *memory.Store, key string, expect int64) int64 {
	t.Helper()
	r, err := s.Write(t.Context(), storage.Write{Key: key, Value: []byte("v"), Expect: expect})
	if err != nil || !r.Done {
		t.Fatalf("writing %s: %+v, %v", key, r, err)
	}
	return r.Revision
}

// In a bubble a watch is idle as long as nothing happens, and ends with its context.
func TestVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New(memory.Config{})
		ctx, cancel := context.WithCancel(t.Context())
		watch := s.Watch(ctx, "/", 1)
		synctest.Wait()
		rev := write(t, s, "/a", 0)
		if b := <-watch; len(b.Events) != 1 || b.Progress != rev {
			t.Errorf("got %+v", b)
		}
		synctest.Wait()
		select {
		case b := <-watch:
			t.Errorf("got %+v", b)
		default:
		}
		cancel()
		synctest.Wait()
		if _, open := <-watch; open {
			t.Error("the watch is still open")
		}
	})
}

func TestHistoryIsBounded(t *testing.T) {
	s := memory.New(memory.Config{History: 10})
	quiet := s.Watch(t.Context(), "/quiet/", 1)
	late := s.Watch(t.Context(), "/busy/", 1)
	var rev int64
	for i := range 100 {
		_ = i
		rev = write(t, s, "/busy/a", rev)
	}
	if _, _, err := s.List(t.Context(), "/", rev-10); !errors.Is(err, storage.ErrCompacted) {
		t.Errorf("listing beyond the history: %v", err)
	}
	if _, _, err := s.List(t.Context(), "/", rev-9); err != nil {
		t.Errorf("listing within the history: %v", err)
	}
	// The late watch has at most its one unsent batch before it learns that it is too late.
	for b := range late {
		if b.Err != nil && !errors.Is(b.Err, storage.ErrCompacted) {
			t.Errorf("the late watch ended with %v", b.Err)
		}
	}
	// The quiet one has missed nothing, however much happened elsewhere.
	want := write(t, s, "/quiet/a", 0)
	if b := <-quiet; b.Err != nil || len(b.Events) != 1 || b.Events[0].Revision != want {
		t.Errorf("the quiet watch got %+v", b)
	}
}
