package storagetest

import (
	"context"
	"errors"
	"fmt"

	"github.com/miniorch/miniorch/apiserver/storage"
)

func compareAndSwap(f *fixture) {
	start := f.revision()
	one := f.write("/a", "1", 0)
	two := f.write("/a", "2", one)
	if one != start+1 || two != one+1 {
		f.Errorf("revisions %d, %d after %d: each write takes one", one, two, start)
	}
	steps := []struct {
		name    string
		write   storage.Write
		done    bool
		current string // shown; the conflicting key, or what was written
	}{
		{"create what exists", storage.Write{Key: "/a", Value: []byte("x")}, false, fmt.Sprintf("/a=2@%d", two)},
		{"update over an old revision", storage.Write{Key: "/a", Value: []byte("x"), Expect: one}, false, fmt.Sprintf("/a=2@%d", two)},
		{"update what does not exist", storage.Write{Key: "/b", Value: []byte("x"), Expect: two}, false, "-"},
		{"delete over an old revision", storage.Write{Key: "/a", Expect: one}, false, fmt.Sprintf("/a=2@%d", two)},
		{"delete what does not exist", storage.Write{Key: "/b", Expect: two}, false, "-"},
		{"delete nothing, expecting nothing", storage.Write{Key: "/b"}, true, "-"},
	}
	for _, s := range steps {
		r, err := f.store.Write(f.ctx, s.write)
		if err != nil {
			f.Fatalf("%s: %v", s.name, err)
		}
		if r.Done != s.done || show(r.Current) != s.current || r.Revision != two {
			f.Errorf("%s: done %v, current %s, revision %d; want %v, %s, %d", s.name, r.Done, show(r.Current), r.Revision, s.done, s.current, two)
		}
	}
	gone := f.remove("/a", two)
	if kv, at, err := f.store.Get(f.ctx, "/a"); kv != nil || at != gone || err != nil {
		f.Errorf("after the deletion: %s at %d, %v", show(kv), at, err)
	}
	again := f.write("/a", "3", 0)
	kv, at, err := f.store.Get(f.ctx, "/a")
	if show(kv) != fmt.Sprintf("/a=3@%d", again) || at != again || err != nil {
		f.Errorf("after creating again: %s at %d, %v", show(kv), at, err)
	}
	canceled, cancel := context.WithCancel(f.ctx)
	cancel()
	if _, _, err := f.store.Get(canceled, "/a"); !errors.Is(err, context.Canceled) {
		f.Errorf("a canceled Get returned %v", err)
	}
}

// writesTogether: several keys change at one revision or not at all, and each prefix's
// watch tells of its own.
func writesTogether(f *fixture) {
	a := f.write("/a/1", "1", 0)
	watches := map[string]<-chan storage.Batch{}
	for _, prefix := range []string{"/a/", "/b/", "/"} {
		watches[prefix] = f.store.Watch(f.ctx, prefix, a)
	}
	put := func(key string, expect int64) storage.Write {
		return storage.Write{Key: key, Value: []byte("v"), Expect: expect}
	}
	for _, refused := range []storage.Write{
		{Key: "/a/2", Value: []byte("v"), With: []storage.Write{put("/b/1", 0), put("/a/1", 0)}},
		{Key: "/a/1", Value: []byte("v"), With: []storage.Write{put("/b/1", 0), put("/b/2", a)}},
		{Key: "/a/2", Value: []byte("v"), With: []storage.Write{{Key: "/b/1"}, {Key: "/b/2", Expect: a}}},
	} {
		r, err := f.store.Write(f.ctx, refused)
		if err != nil || r.Done || r.Revision != a || len(r.With) != 2 {
			f.Errorf("a write whose expectations do not hold: %+v, %v", r, err)
		}
		if r.With[0] != nil || refused.Key == "/a/1" && show(r.Current) != fmt.Sprintf("/a/1=1@%d", a) {
			f.Errorf("what is there instead: %s, %s", show(r.Current), show(r.With[0]))
		}
	}
	both := f.mustWrite(storage.Write{Key: "/a/2", Value: []byte("v"), With: []storage.Write{put("/b/1", 0), put("/a/1", a), {Key: "/b/none"}}})
	got, _ := f.list("/", 0)
	f.same("all keys", []string{
		fmt.Sprintf("/a/1=v@%d", both), fmt.Sprintf("/a/2=v@%d", both), fmt.Sprintf("/b/1=v@%d", both),
	}, got)
	gone := f.mustWrite(storage.Write{Key: "/a/2", Expect: both, With: []storage.Write{{Key: "/b/1", Expect: both}}})
	if both != a+1 || gone != both+1 {
		f.Errorf("revisions %d, %d, %d: each write takes one", a, both, gone)
	}
	for prefix, want := range map[string]int{"/a/": 3, "/b/": 2, "/": 5} {
		if events := f.collect(watches[prefix], prefix, a, gone); len(events) != want {
			f.Errorf("%s: %d events, want %d: %v", prefix, len(events), want, events)
		}
	}
}

func emptyValues(f *fixture) {
	rev := f.mustWrite(storage.Write{Key: "/e", Value: []byte{}})
	kv, _, err := f.store.Get(f.ctx, "/e")
	if err != nil || kv == nil || kv.Value == nil || len(kv.Value) != 0 {
		f.Errorf("got %+v, %v; want an empty value", kv, err)
	}
	f.remove("/e", rev)
}

func list(f *fixture) {
	var revs []int64
	for _, key := range []string{"/p/b", "/p/a/x", "/pq", "/p/a", "/o/z"} {
		revs = append(revs, f.write(key, "v", 0))
	}
	got, at := f.list("/p/", 0)
	f.same("keys below /p/", []string{
		fmt.Sprintf("/p/a=v@%d", revs[3]), fmt.Sprintf("/p/a/x=v@%d", revs[1]), fmt.Sprintf("/p/b=v@%d", revs[0]),
	}, got)
	f.same("revision of the list", revs[4], at)
	if all, _ := f.list("", 0); len(all) != 5 {
		f.Errorf("all keys: %v", all)
	}
	if none, at := f.list("/nothing/", 0); len(none) != 0 || at != revs[4] {
		f.Errorf("listed %v at %d", none, at)
	}
}

// Every list is of one revision although keys come and go between its pages: the same list
// at that revision, made later, is equal.
func listPages(f *fixture) {
	const n = 4500
	revs := make(map[string]int64, n)
	key := func(i int) string { return fmt.Sprintf("/l/%05d", i) }
	for i := range n {
		revs[key(i)] = f.write(key(i), "v", 0)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			from, to := key(i%n), key((i*7919)%n)+"x"
			if _, err := f.store.Write(f.ctx, storage.Write{Key: from, Expect: revs[from]}); err != nil {
				f.Errorf("deleting %s: %v", from, err)
				return
			}
			delete(revs, from)
			_, _ = f.store.Write(f.ctx, storage.Write{Key: to, Value: []byte("w")})
		}
	}()
	for range 3 {
		kvs, at, err := f.store.List(f.ctx, "/l/", 0)
		if err != nil {
			f.Fatal(err)
		}
		again, _, err := f.store.List(f.ctx, "/l/", at)
		if err != nil {
			f.Fatal(err)
		}
		f.same("the same list again", again, kvs)
		for i := 1; i < len(kvs); i++ {
			if kvs[i-1].Key >= kvs[i].Key || kvs[i].Revision > at {
				f.Fatalf("%s after %s in a list at %d", show(&kvs[i]), show(&kvs[i-1]), at)
			}
		}
	}
	close(stop)
	<-stopped
}

func listAtRevision(f *fixture) {
	a := f.write("/a", "1", 0)
	b := f.write("/b", "1", 0)
	a2 := f.write("/a", "2", a)
	gone := f.remove("/b", b)
	tests := []struct {
		revision int64
		want     []string
	}{
		{a, []string{fmt.Sprintf("/a=1@%d", a)}},
		{b, []string{fmt.Sprintf("/a=1@%d", a), fmt.Sprintf("/b=1@%d", b)}},
		{a2, []string{fmt.Sprintf("/a=2@%d", a2), fmt.Sprintf("/b=1@%d", b)}},
		{gone, []string{fmt.Sprintf("/a=2@%d", a2)}},
	}
	for _, tt := range tests {
		got, at := f.list("/", tt.revision)
		f.same(fmt.Sprintf("keys at %d", tt.revision), tt.want, got)
		f.same("revision of the list", tt.revision, at)
	}
	if _, _, err := f.store.List(f.ctx, "/", gone+100); err == nil || errors.Is(err, storage.ErrCompacted) {
		f.Errorf("listing the future: %v", err)
	}
}

func compaction(f *fixture) {
	revs := []int64{f.write("/a", "1", 0)}
	for i := range 9 {
		revs = append(revs, f.write("/a", "x", revs[i]))
	}
	if err := f.store.Compact(f.ctx, revs[5]); err != nil {
		f.Fatal(err)
	}
	if _, _, err := f.store.List(f.ctx, "/", revs[4]); !errors.Is(err, storage.ErrCompacted) {
		f.Errorf("listing before the compaction: %v", err)
	}
	got, _ := f.list("/", revs[5])
	f.same("list at the compacted revision", []string{fmt.Sprintf("/a=x@%d", revs[5])}, got)
	f.compacted(f.store.Watch(f.ctx, "/", revs[3]))
	if events := f.collect(f.store.Watch(f.ctx, "/", revs[5]), "/", revs[5], revs[9]); len(events) != 4 {
		f.Errorf("%d events after the compacted revision, want 4", len(events))
	}
	if err := f.store.Compact(f.ctx, revs[4]); !errors.Is(err, storage.ErrCompacted) {
		f.Errorf("compacting what is compacted: %v", err)
	}
	gone := f.remove("/a", revs[9])
	if err := f.store.Compact(f.ctx, gone); err != nil {
		f.Fatal(err)
	}
	// Whether the compacted revision's own events are there is the back end's choice, but
	// they come whole or not at all.
	select {
	case b := <-f.store.Watch(f.ctx, "/", gone-1):
		if b.Err == nil && (len(b.Events) != 1 || b.Events[0].Prev == nil) || b.Err != nil && !errors.Is(b.Err, storage.ErrCompacted) {
			f.Errorf("the deletion at the compacted revision: %+v", b)
		}
	case <-f.ctx.Done():
		f.Fatal("nothing came of the watch")
	}
	if err := f.store.Compact(f.ctx, revs[9]+100); err == nil {
		f.Error("the future was compacted")
	}
}
