package model

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/miniorch/miniorch/pkg/api"
)

// event is one line of a watch, or one that the history leads us to expect.
type event struct {
	kind     watch.EventType
	revision int64
	name     string
	raw      string
}

func (e event) String() string { return fmt.Sprintf("%s %s@%d %s", e.kind, e.name, e.revision, e.raw) }

// watching is one watch from its beginning to its end.
type watching struct {
	selection selection
	from      int64
	initial   bool // the state came first
	plain     bool // nobody says where the state ends: it is that of some revision from begun on
	begun     int64
	options   string

	mu     sync.Mutex
	events []event // guarded by mu
	// synced is the revision of the bookmark after the initial state, and position where it
	// stood among the events.
	synced   int64 // guarded by mu; 0: not yet
	position int   // guarded by mu
	reached  int64 // guarded by mu; what the last event or bookmark said
	ended    bool  // guarded by mu
}

func (wt *watching) String() string {
	return fmt.Sprintf("watch of %+v from %d %s", wt.selection, wt.from, wt.options)
}

// follow watches until ctx ends, beginning anew wherever a watch ends.
func (c *client) follow(ctx context.Context, s selection, from int64) {
	for ctx.Err() == nil {
		wt := &watching{selection: s, from: from, reached: from, initial: from == 0, plain: from == 0 && c.r.IntN(3) == 0}
		gone := c.watchOnce(ctx, wt)
		switch {
		case gone:
			from = 0 // start with the state
		case wt.initial && wt.synced == 0:
			from = 0
		default:
			from = wt.reached
		}
	}
}

// watchOnce records one watch and reports whether it ended because its past is gone.
func (c *client) watchOnce(ctx context.Context, wt *watching) (gone bool) {
	opts := wt.selection.options()
	opts.Watch, opts.AllowWatchBookmarks = true, true
	switch {
	case wt.plain && c.r.IntN(2) == 0:
		opts.ResourceVersion, wt.options = "0", "plain"
	case wt.plain:
		wt.begun, wt.options = c.revision(), "plain"
	case wt.initial:
		opts.SendInitialEvents, opts.ResourceVersionMatch = new(bool), metav1.ResourceVersionMatchNotOlderThan
		*opts.SendInitialEvents = true
	default:
		opts.ResourceVersion = strconv.FormatInt(wt.from, 10)
	}
	if c.w.short(&opts) {
		wt.options += " for a second"
	}
	req := c.rest(wt.selection.kind).Get().Resource(wt.selection.kind.Name)
	if wt.selection.namespace != "" {
		req = req.Namespace(wt.selection.namespace)
	}
	stream, err := req.MaxRetries(0).VersionedParams(&opts, scheme.ParameterCodec).Watch(ctx)
	if err != nil {
		if apierrors.IsResourceExpired(err) {
			return true
		}
		if c.w.calm && ctx.Err() == nil && !busy(err) {
			c.w.Errorf("%v: %v", wt, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
		return false
	}
	defer stream.Stop()
	c.w.mu.Lock()
	c.w.watches = append(c.w.watches, wt)
	c.w.mu.Unlock()
	defer func() { wt.mu.Lock(); wt.ended = true; wt.mu.Unlock() }()
	for e := range stream.ResultChan() {
		if e.Type == watch.Error {
			err := apierrors.FromObject(e.Object)
			if !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) && ctx.Err() == nil && c.w.calm && !busy(err) {
				c.w.Errorf("%v ended with %v", wt, err)
			}
			return apierrors.IsResourceExpired(err) || apierrors.IsGone(err)
		}
		c.record(wt, e)
	}
	return false
}

// short makes every third watch end by itself soon.
func (w *world) short(opts *metav1.ListOptions) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.number++
	if w.number%3 > 0 {
		return false
	}
	second := int64(1)
	opts.TimeoutSeconds = &second
	return true
}

func (c *client) record(wt *watching, e watch.Event) {
	obj := e.Object.(api.Object)
	revision, err := strconv.ParseInt(obj.GetResourceVersion(), 10, 64)
	if err != nil {
		c.w.Errorf("%v: an event without a revision: %v", wt, e)
	}
	wt.mu.Lock()
	defer wt.mu.Unlock()
	initial := wt.initial && wt.synced == 0
	if !initial && (revision < wt.reached || revision == wt.reached && e.Type != watch.Bookmark) {
		c.w.Errorf("%v: %s of %d after %d", wt, e.Type, revision, wt.reached)
	}
	if e.Type == watch.Bookmark {
		if obj.GetAnnotations()[metav1.InitialEventsAnnotationKey] == "true" {
			if !initial || wt.plain {
				c.w.Errorf("%v: the end of the initial events is announced twice, or to who did not ask", wt)
			}
			wt.synced, wt.position = revision, len(wt.events)
		} else if initial {
			return // on the way through the state, a bookmark says nothing
		}
		wt.reached = revision
		return
	}
	if !initial {
		wt.reached = revision
	}
	wt.events = append(wt.events, event{e.Type, revision, obj.GetNamespace() + "/" + obj.GetName(), rawOf(obj)})
}

// expected is what a watch from a revision must have been told up to another.
func (h *history) expected(s selection, from, to int64) (out []event) {
	for _, c := range h.changes {
		if c.revision <= from || c.revision > to || !s.about(c.place) {
			continue
		}
		before, now := s.matches(c.place, c.before), s.matches(c.place, c.after)
		e := event{revision: c.revision, name: c.place.namespace + "/" + c.place.name}
		switch {
		case before && now:
			e.kind, e.raw = watch.Modified, c.after.raw
		case now:
			e.kind, e.raw = watch.Added, c.after.raw
		case before: // the object as it last was, at the revision of its end
			last := c.before.obj.DeepCopyObject().(api.Object)
			last.SetResourceVersion(strconv.FormatInt(c.revision, 10))
			e.kind, e.raw = watch.Deleted, rawOf(last)
		default:
			continue
		}
		out = append(out, e)
	}
	return out
}

// initial is what a watch is told of the state that it begins with.
func (h *history) initial(s selection, revision int64) (out []event) {
	for _, v := range h.collection(s, revision) {
		written, _ := strconv.ParseInt(v.Revision, 10, 64)
		out = append(out, event{watch.Added, written, v.obj.GetNamespace() + "/" + v.obj.GetName(), v.raw})
	}
	return out
}

// follows: whether there is a state from which all follows that a plain watch was told; whole: and after
// which nothing else has happened.
func (wt *watching) follows(h *history, whole bool) bool {
	at := []int64{wt.begun}
	for _, c := range h.changes {
		if c.revision > wt.begun {
			at = append(at, c.revision)
		}
	}
	last := at[len(at)-1]
	return slices.ContainsFunc(at, func(revision int64) bool {
		want := append(h.initial(wt.selection, revision), h.expected(wt.selection, revision, last)...)
		return len(want) >= len(wt.events) && (!whole || len(want) == len(wt.events)) && slices.Equal(wt.events, want[:len(wt.events)])
	})
}

// check compares a watch with the history. to is how far it must have come, at least.
func (wt *watching) check(w *world, h *history) {
	wt.mu.Lock()
	defer wt.mu.Unlock()
	from, told := wt.from, wt.events
	switch {
	case wt.plain:
		if !wt.follows(h, false) {
			w.Errorf("%v was told what follows from no state:\n%v", wt, told)
		}
		return
	case wt.initial:
		if wt.synced == 0 {
			return // it ended on its way through the state
		}
		compare(w, wt.String()+", initial state", told[:wt.position], h.initial(wt.selection, wt.synced))
		from, told = wt.synced, told[wt.position:]
	}
	compare(w, wt.String(), told, h.expected(wt.selection, from, wt.reached))
}

func compare(w *world, what string, got, want []event) {
	if slices.Equal(got, want) {
		return
	}
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			w.Errorf("%s: event %d is missing: %v", what, i, want[i])
		case i >= len(want):
			w.Errorf("%s: event %d is too much: %v", what, i, got[i])
		case got[i] != want[i]:
			w.Errorf("%s: event %d is\n%v, want\n%v", what, i, got[i], want[i])
		default:
			continue
		}
		return
	}
}

// caughtUp waits until a watch that still runs has been told all that it must.
func (wt *watching) caughtUp(h *history, last int64) bool {
	for deadline := time.Now().Add(5 * time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		wt.mu.Lock()
		begun := !wt.initial || wt.synced > 0
		if wt.plain && wt.follows(h, true) {
			wt.mu.Unlock()
			return true
		}
		ended, from := wt.ended, wt.reached
		wt.mu.Unlock()
		if ended || begun && len(h.expected(wt.selection, from, last)) == 0 {
			return true
		}
	}
	return false
}
