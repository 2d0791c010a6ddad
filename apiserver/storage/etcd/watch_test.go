package etcd_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/miniorch/miniorch/apiserver/storage"
	"github.com/miniorch/miniorch/apiserver/storage/etcd"
)

// A lean watch tells the same changes as any other, from the past and from now on, also
// those whose past has been compacted.
func TestLeanWatch(t *testing.T) {
	ctx := t.Context()
	store := etcd.New(start(t, etcd.EmbeddedConfig{NoSync: true}).Client(), etcd.Config{})
	write := func(key, value string, expect int64) int64 {
		t.Helper()
		w := storage.Write{Key: key, Expect: expect}
		if value != "" {
			w.Value = []byte(value)
		}
		r, err := store.Write(ctx, w)
		if err != nil || !r.Done {
			t.Fatalf("writing %s: %+v, %v", key, r, err)
		}
		return r.Revision
	}
	created := write("/a/x", "1", 0)
	if err := store.Compact(ctx, created); err != nil {
		t.Fatal(err)
	}
	changed := write("/a/x", "2", created)
	batches := store.WatchLean(ctx, "/a/", created)
	write("/b/x", "elsewhere", 0)
	other := write("/a/y", "1", 0)
	deleted := write("/a/x", "", changed)
	var got []string
	for len(got) < 3 {
		batch, ok := <-batches
		if !ok || batch.Err != nil {
			t.Fatalf("the watch ended: %v", batch.Err)
		}
		for _, e := range batch.Events {
			if e.Prev != nil {
				t.Errorf("%s at %d tells what was before", e.Key, e.Revision)
			}
			got = append(got, fmt.Sprintf("%s %q created=%v deleted=%v %d", e.Key, e.Value, e.Created, e.Value == nil, e.Revision))
		}
	}
	want := []string{
		fmt.Sprintf(`/a/x "2" created=false deleted=false %d`, changed),
		fmt.Sprintf(`/a/y "1" created=true deleted=false %d`, other),
		fmt.Sprintf(`/a/x "" created=false deleted=true %d`, deleted),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// Who gives up asking for the progress of several watches holds up the end of none of them.
func TestProgressGivenUp(t *testing.T) {
	store := etcd.New(start(t, etcd.EmbeddedConfig{NoSync: true}).Client(), etcd.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	watches := []<-chan storage.Batch{store.Watch(ctx, "/a/", 0), store.Watch(ctx, "/a/", 0), store.Watch(ctx, "/a/", 0)}
	late, giveUp := context.WithCancel(t.Context())
	giveUp()
	if err := store.RequestProgress(late, "/a/"); err == nil {
		t.Error("there was no time to ask, and no error")
	}
	cancel()
	for i, batches := range watches {
		for ended := false; !ended; {
			select {
			case _, more := <-batches:
				ended = !more
			case <-time.After(2 * time.Minute):
				t.Fatalf("watch %d does not end", i)
			}
		}
	}
}
