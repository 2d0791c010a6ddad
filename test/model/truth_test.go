package model

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miniorch/miniorch/apiserver/storage"
	"github.com/miniorch/miniorch/apiserver/storage/codec"
	"github.com/miniorch/miniorch/pkg/api"
)

// change is one step of the store's history.
type change struct {
	revision int64
	place    place
	before   *version // nil: there was nothing
	after    *version // nil: it is gone
}

// version is an object as it was stored.
type version struct {
	*state
	key string
	obj api.Object
	raw string
}

// truth is the store's own history of the two kinds, seen through a watch that never rests.
type truth struct {
	mu      sync.Mutex
	changes []change            // guarded by mu
	now     map[string]*version // guarded by mu; by key
	reached int64               // guarded by mu
}

// observe records what happens in the store until the test's end.
func (w *world) observe() *truth {
	t := &truth{now: map[string]*version{}}
	began, err := w.store.Revision(w.ctx)
	if err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.ctx))
	watch := w.store.Watch
	if lean, ok := w.store.(storage.LeanWatcher); ok {
		watch = lean.WatchLean
	}
	var all sync.WaitGroup
	all.Go(func() {
		for batch := range watch(ctx, "/registry/", began) {
			if batch.Err != nil {
				w.Errorf("the truth is lost: %v", batch.Err)
				return
			}
			for _, e := range batch.Events {
				t.add(w, e)
			}
			t.mu.Lock()
			t.reached = max(t.reached, batch.Progress)
			t.mu.Unlock()
		}
	})
	w.Cleanup(func() { cancel(); all.Wait() })
	return t
}

func (t *truth) add(w *world, e storage.Event) {
	parts := strings.Split(strings.TrimPrefix(e.Key, "/registry/"), "/")
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.Name == parts[1] })
	if i < 0 || len(parts) != 4 {
		return
	}
	if parts[3] == "kube-root-ca.crt" {
		return
	}
	k := kinds[i]
	c := change{revision: e.Revision, place: place{k, parts[2], parts[3]}}
	if e.Value != nil {
		obj, err := codec.New(k.Resource, nil).Decode(e.Key, e.Value, e.Revision)
		if err != nil {
			w.Errorf("%s at %d cannot be decoded: %v", e.Key, e.Revision, err)
			return
		}
		c.after = &version{state: stateOf(obj), key: e.Key, obj: obj, raw: rawOf(obj)}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	c.before = t.now[e.Key]
	t.now[e.Key] = c.after
	t.changes = append(t.changes, c)
}

func (t *truth) progress() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.reached
}

// settle waits until everything that has been written is recorded.
func (t *truth) settle(w *world) []change {
	now, err := w.store.Revision(w.ctx)
	if err != nil {
		w.Fatal(err)
	}
	deadline := time.Now().Add(5 * time.Minute)
	for t.progress() < now {
		if time.Now().After(deadline) {
			w.Fatalf("the truth stands at %d, the store at %d", t.progress(), now)
		}
		if err := w.store.RequestProgress(w.ctx, "/registry/"); err != nil {
			w.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.changes)
}

// history answers questions about the past.
type history struct {
	changes []change           // in order of revision
	byPlace map[place][]change // the same
}

func newHistory(changes []change) *history {
	h := &history{changes: changes, byPlace: map[place][]change{}}
	for _, c := range changes {
		h.byPlace[c.place] = append(h.byPlace[c.place], c)
	}
	return h
}

// at is what an object was at a revision; nil if there was none.
func (h *history) at(p place, revision int64) (v *version) {
	for _, c := range h.byPlace[p] {
		if c.revision > revision {
			break
		}
		v = c.after
	}
	return v
}

// during returns every version that a place had at some time from one revision to another, nil
// standing for nothing.
func (h *history) during(p place, from, to int64) []*version {
	out := []*version{h.at(p, from)}
	for _, c := range h.byPlace[p] {
		if c.revision > from && c.revision <= to {
			out = append(out, c.after)
		}
	}
	return out
}

// collection is the state that a list shows, in the order of keys.
func (h *history) collection(s selection, revision int64) []*version {
	found := map[string]*version{}
	for p := range h.byPlace {
		if v := h.at(p, revision); s.about(p) && s.matches(p, v) {
			found[v.key] = v
		}
	}
	var out []*version
	for _, key := range slices.Sorted(maps.Keys(found)) {
		out = append(out, found[key])
	}
	return out
}

// selection is what a list or a watch asks for.
type selection struct {
	kind             kind
	namespace        string // empty: all
	color, colorless string // label selectors: equal to, not equal to
	name, anonymous  string // field selectors: equal to, not equal to
	within           string // field selector of the namespace
}

func (s selection) about(p place) bool {
	return p.kind == s.kind && (s.namespace == "" || s.namespace == p.namespace) && (s.within == "" || s.within == p.namespace) &&
		(s.name == "" || s.name == p.name) && (s.anonymous == "" || s.anonymous != p.name)
}

// filtered: whether there is a selector.
func (s selection) filtered() bool {
	s.kind, s.namespace = kind{}, ""
	return s != selection{}
}

func (s selection) matches(p place, v *version) bool {
	return v != nil && (s.color == "" || v.Color == s.color) && (s.colorless == "" || v.Color != s.colorless)
}
