package watchcache

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/miniorch/miniorch/apiserver/storage/memory"
)

// scene is a small history that shows every kind of change, and what each way of watching it
// must tell. Revisions are relative to the scene's beginning.
func scene(f *fixture) (start int64) {
	start = f.cache.Revision()
	f.put("n1/a", "")      // 1
	f.put("n2/b", "node1") // 2
	f.put("n1/a", "node1") // 3
	f.put("n1/a", "node2") // 4
	f.remove("n2/b")       // 5
	f.put("n12/c", "")     // 6
	f.remove("n1/a")       // 7
	f.waitFor(start + 7)
	return start
}

var scenes = []struct {
	name string
	opts WatchOptions // After is relative
	want []string     // %d is each event's revision
}{
	{"everything", WatchOptions{}, []string{
		"ADDED n1/a@1", "ADDED n2/b on node1@2", "MODIFIED n1/a on node1@3 was n1/a", "MODIFIED n1/a on node2@4 was n1/a on node1",
		"DELETED n2/b on node1@5 was n2/b on node1", "ADDED n12/c@6", "DELETED n1/a on node2@7 was n1/a on node2",
	}},
	{"one namespace, not another that begins alike", WatchOptions{Prefix: prefix + "n1/"}, []string{
		"ADDED n1/a@1", "MODIFIED n1/a on node1@3 was n1/a", "MODIFIED n1/a on node2@4 was n1/a on node1", "DELETED n1/a on node2@7 was n1/a on node2",
	}},
	{"one key", WatchOptions{Prefix: prefix + "n2/b"}, []string{
		"ADDED n2/b on node1@2", "DELETED n2/b on node1@5 was n2/b on node1",
	}},
	{"one value of an index: coming, being and going", WatchOptions{Index: "spec.nodeName", Value: "node1"}, []string{
		"ADDED n2/b on node1@2", "MODIFIED n1/a on node1@3 was n1/a", "MODIFIED n1/a on node2@4 was n1/a on node1",
		"DELETED n2/b on node1@5 was n2/b on node1",
	}},
	{"an index's value in one namespace", WatchOptions{Prefix: prefix + "n2/", Index: "spec.nodeName", Value: "node1"}, []string{
		"ADDED n2/b on node1@2", "DELETED n2/b on node1@5 was n2/b on node1",
	}},
	{"nothing that happens", WatchOptions{Prefix: prefix + "n3/"}, nil},
}

func TestWatchFromNow(t *testing.T) {
	for _, tt := range scenes {
		t.Run(tt.name, func(t *testing.T) {
			f := withMemory(t)
			w := f.watch(tt.opts)
			if start := scene(f); start != 1 {
				t.Fatalf("the scene began at %d", start)
			}
			checkScene(f, w, tt.want, 0)
		})
	}
}

// A watch from any earlier revision tells exactly the rest, and then what is new.
func TestWatchFromThePast(t *testing.T) {
	for _, tt := range scenes {
		t.Run(tt.name, func(t *testing.T) {
			for skip := range 8 {
				f := withMemory(t)
				opts := tt.opts
				opts.After = scene(f) + int64(skip)
				w := f.watch(opts)
				checkScene(f, w, tt.want, skip)
				f.put("n1/late", "node1")
				f.waitFor(f.remove("n1/late"))
				want := 2
				if opts.Prefix != "" && opts.Prefix != prefix+"n1/" {
					want = 0
				}
				if late := f.read(w); len(late) != want {
					t.Errorf("after %d: late events %v, want %d", skip, late, want)
				}
			}
		})
	}
}

// checkScene compares a watcher's events with those wanted after the first skip revisions.
// A scene begins at revision 1.
func checkScene(f *fixture, w *Watcher, want []string, skip int) {
	f.Helper()
	var wanted []string
	for _, s := range want {
		var rev int
		for i := range s {
			if s[i] == '@' {
				rev = int(s[i+1] - '0')
				s = s[:i+1] + fmt.Sprint(rev+1) + s[i+2:]
				break
			}
		}
		if rev > skip {
			wanted = append(wanted, s)
		}
	}
	if diff := cmp.Diff(wanted, f.read(w)); diff != "" {
		f.Errorf("events after %d (-want +got):\n%s", skip, diff)
	}
}

func TestInitialEvents(t *testing.T) {
	f := withMemory(t)
	for i := range 3 * initialPage {
		f.put(fmt.Sprintf("n1/%03d", i), fmt.Sprintf("node%d", i%2))
	}
	f.put("n2/x", "node1")
	last := f.put("other", "")
	w := f.watch(WatchOptions{Prefix: prefix + "n1/", Index: "spec.nodeName", Value: "node1", Initial: true, After: last})
	// What happens while the initial state is read comes after it.
	later := f.put("n1/001", "node1")
	f.waitFor(later)
	events := f.read(w)
	if n := len(events); n != 3*initialPage/2+2 {
		t.Fatalf("%d events: %v", n, events)
	}
	want := []string{fmt.Sprintf("SYNCED@%d", last), fmt.Sprintf("MODIFIED n1/001 on node1@%d was n1/001 on node1", later)}
	if diff := cmp.Diff(want, events[len(events)-2:]); diff != "" {
		t.Error(diff)
	}
	if events[0] != "ADDED n1/001 on node1@3" {
		t.Errorf("the first event is %s", events[0])
	}
	if rev, ok := w.Progress(); rev != later || !ok {
		t.Errorf("progress is %d, %v; want %d", rev, ok, later)
	}
}

func TestInitialEventsOfNothing(t *testing.T) {
	f := withMemory(t)
	w := f.watch(WatchOptions{Initial: true})
	if diff := cmp.Diff([]string{"SYNCED@1"}, f.read(w)); diff != "" {
		t.Error(diff)
	}
}

// A watch with initial events that asks for more than the cache has waits for it.
func TestInitialEventsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := withMemory(t)
		got := make(chan []string)
		go func() {
			w := f.watch(WatchOptions{Initial: true, After: 3})
			got <- f.read(w)
		}()
		synctest.Wait()
		f.put("a", "")
		f.put("b", "")
		if events := <-got; len(events) != 3 || events[2] != "SYNCED@3" {
			t.Errorf("got %v", events)
		}
		f.stop()
	})
}

func TestWatchFromTheFuture(t *testing.T) {
	f := withMemory(t)
	w := f.watch(WatchOptions{After: 3})
	if _, ok := w.Progress(); ok {
		t.Error("a watch that has not begun has progress")
	}
	for _, name := range []string{"a", "b", "c"} {
		f.waitFor(f.put(name, ""))
	}
	if diff := cmp.Diff([]string{"ADDED c@4"}, f.read(w)); diff != "" {
		t.Error(diff)
	}
}

func TestSlowWatchersAreCutOff(t *testing.T) {
	cfg := config()
	cfg.History = 16
	f := begin(t, memory.New(memory.Config{}), cfg)
	f.put("n1/a", "")
	f.waitFor(f.put("n2/b", ""))
	unread := f.watch(WatchOptions{})
	quiet := f.watch(WatchOptions{Prefix: prefix + "n2/"})
	starting := f.watch(WatchOptions{Initial: true})
	reading := f.watch(WatchOptions{})
	var last int64
	for i := range 600 {
		last = f.put("n1/a", fmt.Sprint(i))
		f.waitFor(last)
		if n := len(f.read(reading)); n != 1 {
			t.Fatalf("the reading watcher got %d events", n)
		}
	}
	if events := f.read(unread); len(events) > 0 || !errors.Is(unread.Err(), ErrSlow) {
		t.Errorf("the unread watcher got %v and %v", events, unread.Err())
	}
	// It holds the state it began with, so it must be ended although it never asks.
	if !errors.Is(starting.Err(), ErrSlow) {
		t.Errorf("the watcher that never read its initial state has error %v", starting.Err())
	}
	if _, err := starting.Next(t.Context()); !errors.Is(err, ErrSlow) {
		t.Errorf("Next returned %v", err)
	}
	if events := f.read(quiet); len(events) > 0 || quiet.Err() != nil {
		t.Errorf("the quiet watcher, which has missed nothing, got %v and %v", events, quiet.Err())
	}
	f.waitFor(f.put("n2/b", "x"))
	if events := f.read(quiet); len(events) != 1 {
		t.Errorf("the quiet watcher got %v", events)
	}
	if _, err := f.cache.Watch(t.Context(), WatchOptions{After: last - 100}); !errors.Is(err, ErrGone) {
		t.Errorf("a watch from beyond the history: %v", err)
	}
}

func TestWatchersEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := withMemory(t)
		for _, tt := range []struct {
			name string
			end  func(w *Watcher, cancel context.CancelFunc)
			want error
		}{
			{"by Stop", func(w *Watcher, _ context.CancelFunc) { w.Stop() }, ErrStopped},
			{"by the context of Watch", func(_ *Watcher, cancel context.CancelFunc) { cancel() }, context.Canceled},
			{"by the end of the cache", func(*Watcher, context.CancelFunc) { f.stop() }, ErrStopped},
		} {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			w, err := f.cache.Watch(ctx, WatchOptions{Prefix: prefix + "n1/"})
			if err != nil {
				t.Fatal(err)
			}
			got := make(chan error)
			go func() {
				_, err := w.Next(context.Background())
				got <- err
			}()
			synctest.Wait()
			tt.end(w, cancel)
			if err := <-got; !errors.Is(err, tt.want) || !errors.Is(w.Err(), tt.want) {
				t.Errorf("%s: Next returned %v, Err %v; want %v", tt.name, err, w.Err(), tt.want)
			}
			synctest.Wait()
			if n := f.cache.Stats().Watchers; n != 0 {
				t.Errorf("%s: %d watchers are left", tt.name, n)
			}
		}
		if len(f.cache.topics) != 0 {
			t.Errorf("topics are left: %v", f.cache.topics)
		}
		if _, err := f.cache.Watch(t.Context(), WatchOptions{}); !errors.Is(err, ErrStopped) {
			t.Errorf("watching a stopped cache: %v", err)
		}
	})
}

func TestEventsChannel(t *testing.T) {
	f := withMemory(t)
	w := f.watch(WatchOptions{})
	events := w.Events()
	f.put("a", "")
	f.put("b", "")
	for _, want := range []string{"ADDED a@2", "ADDED b@3"} {
		if got := showEvent(<-events); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	w.Stop()
	if e, open := <-events; open {
		t.Errorf("got %v after Stop", e)
	}
}

func TestWatchRefuses(t *testing.T) {
	f := withMemory(t)
	for _, opts := range []WatchOptions{{Prefix: "/registry/core/nodes/"}, {Index: "spec.color", Value: "red"}} {
		if _, err := f.cache.Watch(t.Context(), opts); err == nil {
			t.Errorf("%+v was accepted", opts)
		}
	}
}

func TestWatchersHaveNoGoroutines(t *testing.T) {
	f := withMemory(t)
	before := runtime.NumGoroutine()
	for i := range 1000 {
		f.watch(WatchOptions{Prefix: fmt.Sprintf("%sn%d/", prefix, i%10)})
	}
	if n := runtime.NumGoroutine(); n > before+5 {
		t.Errorf("%d goroutines for 1000 watchers", n-before)
	}
}

func TestDepartedIsShared(t *testing.T) {
	f := withMemory(t)
	f.put("a", "node1")
	f.waitFor(2)
	w1, w2 := f.watch(WatchOptions{}), f.watch(WatchOptions{})
	f.waitFor(f.put("a", "node2"))
	e1, _ := w1.TryNext()
	e2, _ := w2.TryNext()
	if got := show(e1.Departed()); got != "a on node1" || e1.Departed().Revision != 3 {
		t.Errorf("departed: %s at %d", got, e1.Departed().Revision)
	}
	if e1.Departed() != e2.Departed() || show(e1.Prev) != "a on node1" {
		t.Error("departed is made for each watcher, or in Prev's place")
	}
}

// Watchers that come and go while much is written see no gap and no repetition.
func TestWatchersUnderLoad(t *testing.T) {
	f := withMemory(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	const writes = 3000
	first := f.cache.Revision()
	errs := make(chan error)
	const watchers = 8
	for i := range watchers {
		go func() { errs <- followInPieces(ctx, f.cache, rand.New(rand.NewSource(int64(i))), first, first+writes) }()
	}
	rnd := rand.New(rand.NewSource(99))
	live := map[string]bool{}
	for range writes {
		name := fmt.Sprintf("n%d/%d", rnd.Intn(3), rnd.Intn(10))
		if live[name] && rnd.Intn(3) == 0 {
			f.remove(name)
			delete(live, name)
			continue
		}
		f.put(name, fmt.Sprintf("node%d", rnd.Intn(3)))
		live[name] = true
	}
	for range watchers {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// followInPieces watches from where it was, again and again, for a random number of events,
// and checks that the events make a history without holes.
func followInPieces(ctx context.Context, c *Cache, rnd *rand.Rand, at, end int64) error {
	model := map[string]int64{} // key → revision
	for at < end {
		w, err := c.Watch(ctx, WatchOptions{After: at})
		if err != nil {
			return err
		}
		for range rnd.Intn(200) + 1 {
			e, err := w.Next(ctx)
			if err != nil {
				return fmt.Errorf("at %d: %w", at, err)
			}
			var prev int64
			if e.Prev != nil {
				prev = e.Prev.Revision
			}
			if e.Revision != at+1 || model[e.Item.Key] != prev || e.Item.Revision != e.Revision {
				return fmt.Errorf("%s came after %d, of an object that was at %d", showEvent(e), at, model[e.Item.Key])
			}
			at = e.Revision
			model[e.Item.Key] = e.Revision
			if e.Type == Deleted {
				delete(model, e.Item.Key)
			}
			if at == end {
				break
			}
		}
		w.Stop()
	}
	return nil
}

// After a restart watches go on from revisions that the new cache has not seen itself.
func TestWatchSurvivesRestart(t *testing.T) {
	for _, tt := range scenes {
		t.Run(tt.name, func(t *testing.T) {
			store := memory.New(memory.Config{})
			first := begin(t, store, config())
			start := scene(first)
			first.stop()
			f := begin(t, store, config())
			for skip := range 8 {
				opts := tt.opts
				opts.After = start + int64(skip)
				checkScene(f, f.watch(opts), tt.want, skip)
			}
			w := f.watch(WatchOptions{After: start + 6})
			f.waitFor(f.put("n9/new", ""))
			if got := f.read(w); len(got) != 2 || got[1] != "ADDED n9/new@9" {
				t.Errorf("got %v", got)
			}
			if at, err := f.cache.SnapshotAt(start + 4); err != nil || len(showAll(at, prefix)) != 2 {
				t.Errorf("the state at 4: %v, %v", showAll(at, prefix), err)
			}
		})
	}
}

// What is recalled is bounded like the rest of the history, and what is newest counts.
func TestRecallIsBounded(t *testing.T) {
	store := memory.New(memory.Config{})
	for i := range 10 {
		put(t, store, "a", fmt.Sprint(i))
	}
	cfg := config()
	cfg.History = 4
	f := begin(t, store, cfg)
	for after, want := range map[int64]error{6: ErrGone, 7: nil} {
		w, err := f.cache.Watch(t.Context(), WatchOptions{After: after})
		if !errors.Is(err, want) {
			t.Errorf("after %d: %v, want %v", after, err, want)
		}
		if err == nil {
			if events := f.read(w); len(events) != 4 {
				t.Errorf("after %d: %v", after, events)
			}
			w.Stop()
		}
	}
	if n := f.cache.Stats().Events; n != 4 {
		t.Errorf("%d events are kept, want 4", n)
	}
}

// Large objects leave room for fewer events: of the present, and of before a restart.
func TestHistoryIsBoundedInBytes(t *testing.T) {
	large := strings.Repeat("x", 10_000)
	cfg := config()
	cfg.HistoryBytes = 50 * len(large)
	f := begin(t, memory.New(memory.Config{}), cfg)
	for i := range 200 {
		f.waitFor(f.put("a", fmt.Sprint(large, i)))
	}
	if n := f.cache.Stats().Events; n != 49 { // a pod has some bytes more
		t.Errorf("%d events are kept", n)
	}
	again := begin(t, f.store, cfg)
	w := again.watch(WatchOptions{After: again.cache.Revision() - 49})
	if events := again.read(w); len(events) != 49 {
		t.Errorf("%d events are recalled", len(events))
	}
	if _, err := again.cache.Watch(t.Context(), WatchOptions{After: again.cache.Revision() - 50}); !errors.Is(err, ErrGone) {
		t.Errorf("a watch from beyond what is kept: %v", err)
	}
	for range 2 * leastHistory {
		f.waitFor(f.put("a", strings.Repeat("y", cfg.HistoryBytes)))
	}
	if n := f.cache.Stats().Events; n != leastHistory {
		t.Errorf("%d events of the largest objects are kept, want %d", n, leastHistory)
	}
}

// Whoever waits for a cell while it is being filled is woken.
func TestCellWakes(t *testing.T) {
	for range 20_000 {
		c := &cell{}
		go func() {
			if w := c.fill(slow); w != nil {
				close(*w)
			}
		}()
		select {
		case <-c.ready():
		case <-time.After(time.Minute):
			t.Fatal("nobody woke the waiter")
		}
	}
}

func TestRestartAfterCompaction(t *testing.T) {
	store := memory.New(memory.Config{})
	first := begin(t, store, config())
	scene(first)
	first.stop()
	if err := store.Compact(t.Context(), 5); err != nil {
		t.Fatal(err)
	}
	f := begin(t, store, config())
	if _, err := f.cache.Watch(t.Context(), WatchOptions{After: 3}); !errors.Is(err, ErrGone) {
		t.Errorf("a watch whose events are compacted: %v", err)
	}
	checkScene(f, f.watch(WatchOptions{After: 5}), scenes[0].want, 4)
}
