package storagetest

import (
	"context"
	"fmt"
	"math/rand"
	"sync"

	"github.com/miniorch/miniorch/apiserver/storage"
)

func watchChanges(f *fixture) {
	start := f.revision()
	watch := f.store.Watch(f.ctx, "/w/", start)
	a := f.write("/w/a", "1", 0)
	f.write("/v/a", "elsewhere", 0)
	a2 := f.write("/w/a", "2", a)
	gone := f.remove("/w/a", a2)
	again := f.write("/w/a", "3", 0)
	var got []string
	for _, e := range f.collect(watch, "/w/", start, again) {
		got = append(got, showEvent(e))
	}
	f.same("events", []string{
		fmt.Sprintf("/w/a=1@%d was - created", a),
		fmt.Sprintf("/w/a=2@%d was /w/a=1@%d", a2, a),
		fmt.Sprintf("/w/a gone@%d was /w/a=2@%d", gone, a2),
		fmt.Sprintf("/w/a=3@%d was - created", again),
	}, got)
}

func watchResumes(f *fixture) {
	const n = 700 // more than anybody sends in one batch
	start := f.revision()
	for i := range n {
		f.write(fmt.Sprintf("/%d/%d", i%2, i), "v", 0)
	}
	end := f.revision()
	all := f.collect(f.store.Watch(f.ctx, "/1/", start), "/1/", start, end)
	if len(all) != n/2 {
		f.Fatalf("%d events, want %d", len(all), n/2)
	}
	for _, skip := range []int{1, n / 4, n/2 - 1} {
		after := all[skip-1].Revision
		f.same(fmt.Sprintf("events after %d", after), all[skip:], f.collect(f.store.Watch(f.ctx, "/1/", after), "/1/", after, end))
	}
}

func watchFuture(f *fixture) {
	start := f.revision()
	watch := f.store.Watch(f.ctx, "/", start+2)
	for i := range 4 {
		f.write(fmt.Sprintf("/%d", i), "v", 0)
	}
	events := f.collect(watch, "/", start+2, start+4)
	if len(events) != 2 || events[0].Key != "/2" {
		f.Errorf("got %v", events)
	}
}

func progress(f *fixture) {
	start := f.revision()
	quiet, busy := f.store.Watch(f.ctx, "/quiet/", start), f.store.Watch(f.ctx, "/busy/", start)
	var last int64
	for i := range 10 {
		last = f.write(fmt.Sprintf("/busy/%d", i), "v", 0)
	}
	if events := f.collect(quiet, "/quiet/", start, last); len(events) != 0 {
		f.Errorf("the quiet watch got %v", events)
	}
	if events := f.collect(busy, "/busy/", start, last); len(events) != 10 {
		f.Errorf("the busy watch got %d events", len(events))
	}
}

// A watch that has nothing to wait for, or much to catch up with, does not keep the others
// from learning how far they are.
func progressApart(f *fixture) {
	start := f.revision()
	old := f.store.Watch(f.ctx, "/old/", start)
	last := f.write("/x", "v", 0)
	f.store.Watch(f.ctx, "/new/", last)
	f.store.Watch(f.ctx, "/future/", last+100)
	f.collect(old, "/old/", start, last)
}

func watchEnds(f *fixture) {
	ctx, cancel := context.WithCancel(f.ctx)
	watch := f.store.Watch(ctx, "/", f.revision())
	cancel()
	for b := range watch { // is closed, or the test's patience ends
		if b.Err != nil {
			f.Errorf("the watch told of its own end: %v", b.Err)
		}
	}
}

func watchUnread(f *fixture) {
	start := f.revision()
	ctx, cancel := context.WithCancel(f.ctx)
	defer cancel()
	unread := f.store.Watch(ctx, "/", start)
	reading := f.store.Watch(f.ctx, "/", start)
	const n = 2000
	for i := range n {
		f.write(fmt.Sprintf("/%d", i), "v", 0)
	}
	if events := f.collect(reading, "/", start, start+n); len(events) != n {
		f.Errorf("%d events, want %d", len(events), n)
	}
	// It may have been ended, but what it tells must be the truth from the beginning.
	if b := <-unread; b.Err == nil && len(b.Events) > 0 && b.Events[0].Revision != start+1 {
		f.Errorf("the unread watch begins with %s", showEvent(b.Events[0]))
	}
}

// writersAgree lets 16 writers compete for few keys, and checks that the history which a
// watch tells is exactly what the writers were told, each write being on top of what it expected.
func writersAgree(f *fixture) {
	const writers, writes, keys = 16, 60, 5
	start := f.revision()
	watch := f.store.Watch(f.ctx, "/k/", start)
	var mu sync.Mutex
	done := map[int64]storage.Write{}
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			rnd := rand.New(rand.NewSource(int64(w)))
			for i := range writes {
				write, rev, err := compete(f.ctx, f.store, rnd, fmt.Sprintf("/k/%d", rnd.Intn(keys)), fmt.Sprintf("%d.%d", w, i))
				if err != nil {
					f.Errorf("writer %d: %v", w, err)
					return
				}
				mu.Lock()
				if other, taken := done[rev]; taken {
					f.Errorf("revision %d was given to %+v and %+v", rev, other, write)
				}
				done[rev] = write
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if f.Failed() {
		return
	}
	model := map[string]*storage.KV{}
	for _, e := range f.collect(watch, "/k/", start, start+writers*writes) {
		f.replay(model, done, e)
	}
	if len(done) > 0 {
		f.Errorf("%d writes are missing from the history", len(done))
	}
	var want []string
	for k := range keys {
		if kv := model[fmt.Sprintf("/k/%d", k)]; kv != nil {
			want = append(want, show(kv))
		}
	}
	got, _ := f.list("/k/", 0)
	f.same("the state that the history leads to", want, got)
}

// compete writes or deletes the key over whatever it is, until it wins.
func compete(ctx context.Context, store storage.Store, rnd *rand.Rand, key, value string) (storage.Write, int64, error) {
	w := storage.Write{Key: key, Value: []byte(value)}
	for {
		if w.Expect != 0 && rnd.Intn(3) == 0 {
			w.Value = nil
		} else {
			w.Value = []byte(value)
		}
		r, err := store.Write(ctx, w)
		if err != nil || r.Done {
			return w, r.Revision, err
		}
		w.Expect = 0
		if r.Current != nil {
			w.Expect = r.Current.Revision
		}
	}
}

// replay checks one event against the model and what its writer was told, and applies it.
func (f *fixture) replay(model map[string]*storage.KV, done map[int64]storage.Write, e storage.Event) {
	f.Helper()
	old := model[e.Key]
	if show(old) != show(e.Prev) || e.Created != (old == nil) {
		f.Errorf("%s happened to %s", showEvent(e), show(old))
	}
	w, ok := done[e.Revision]
	delete(done, e.Revision)
	switch {
	case !ok:
		f.Errorf("nobody wrote %s", showEvent(e))
	case w.Key != e.Key || string(w.Value) != string(e.Value) || (w.Value == nil) != (e.Value == nil):
		f.Errorf("%s was written as %+v", showEvent(e), w)
	case old == nil && w.Expect != 0 || old != nil && w.Expect != old.Revision:
		f.Errorf("%s was written over %s, expecting %d", showEvent(e), show(old), w.Expect)
	}
	model[e.Key] = nil
	if e.Value != nil {
		kv := e.KV
		model[e.Key] = &kv
	}
}
