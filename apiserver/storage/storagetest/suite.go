// Package storagetest is the suite of tests that every storage.Store must pass.
package storagetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/miniorch/miniorch/apiserver/storage"
)

// patience bounds the wait for something that must happen.
const patience = 5 * time.Minute

// Run runs the suite; open returns an empty store for one test.
func Run(t *testing.T, open func(t *testing.T) storage.Store) {
	for _, tt := range []struct {
		name string
		run  func(*fixture)
	}{
		{"compare and swap", compareAndSwap},
		{"writes of several keys are all or none", writesTogether},
		{"empty values are values", emptyValues},
		{"list is ordered, bounded by its prefix and at one revision", list},
		{"list many pages while others write", listPages},
		{"list at earlier revisions", listAtRevision},
		{"compaction ends lists and watches of the past", compaction},
		{"watch tells every change with what was before", watchChanges},
		{"watch begins after any revision", watchResumes},
		{"watch from the future tells only of the future", watchFuture},
		{"progress comes when asked for", progress},
		{"progress of one watch does not depend on others", progressApart},
		{"watch ends with its context", watchEnds},
		{"a watch that nobody reads blocks nobody", watchUnread},
		{"16 writers agree with the history", writersAgree},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			tt.run(&fixture{T: t, ctx: ctx, store: open(t)})
		})
	}
}

// fixture is a store under test with helpers that fail the test.
type fixture struct {
	*testing.T
	ctx   context.Context
	store storage.Store
}

// write performs a write that must be done, and returns its revision.
func (f *fixture) write(key, value string, expect int64) int64 {
	f.Helper()
	return f.mustWrite(storage.Write{Key: key, Value: []byte(value), Expect: expect})
}

func (f *fixture) remove(key string, expect int64) int64 {
	f.Helper()
	return f.mustWrite(storage.Write{Key: key, Expect: expect})
}

func (f *fixture) mustWrite(w storage.Write) int64 {
	f.Helper()
	r, err := f.store.Write(f.ctx, w)
	if err != nil || !r.Done {
		f.Fatalf("writing %s over %d: %+v, %v", w.Key, w.Expect, r, err)
	}
	return r.Revision
}

func (f *fixture) revision() int64 {
	f.Helper()
	rev, err := f.store.Revision(f.ctx)
	if err != nil {
		f.Fatal(err)
	}
	return rev
}

// list returns "key=value@revision" of each key.
func (f *fixture) list(prefix string, revision int64) ([]string, int64) {
	f.Helper()
	kvs, at, err := f.store.List(f.ctx, prefix, revision)
	if err != nil {
		f.Fatalf("listing %s at %d: %v", prefix, revision, err)
	}
	var out []string
	for _, kv := range kvs {
		out = append(out, show(&kv))
	}
	return out, at
}

func (f *fixture) same(what string, want, got any) {
	f.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		f.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func show(kv *storage.KV) string {
	if kv == nil {
		return "-"
	}
	if kv.Value == nil {
		return fmt.Sprintf("%s gone@%d", kv.Key, kv.Revision)
	}
	return fmt.Sprintf("%s=%s@%d", kv.Key, kv.Value, kv.Revision)
}

func showEvent(e storage.Event) string {
	s := show(&e.KV) + " was " + show(e.Prev)
	if e.Created {
		s += " created"
	}
	return s
}

// collect reads a watch until it has told everything up to the revision, asking for progress
// as long as it takes, and checks the order of what it reads.
func (f *fixture) collect(watch <-chan storage.Batch, prefix string, after, upTo int64) []storage.Event {
	f.Helper()
	var events []storage.Event
	last := after
	ask := time.NewTicker(20 * time.Millisecond)
	defer ask.Stop()
	for last < upTo {
		select {
		case b, ok := <-watch:
			if !ok || b.Err != nil {
				f.Fatalf("the watch ended at %d: %v", last, b.Err)
			}
			for _, e := range b.Events {
				if e.Revision <= last {
					f.Fatalf("%s came after revision %d", showEvent(e), last)
				}
				events = append(events, e)
			}
			if n := len(b.Events); n > 0 && b.Progress < b.Events[n-1].Revision || b.Progress < last {
				f.Fatalf("progress %d after %d, with %d events", b.Progress, last, n)
			}
			last = b.Progress
		case <-ask.C:
			if err := f.store.RequestProgress(f.ctx, prefix); err != nil {
				f.Fatal(err)
			}
		case <-f.ctx.Done():
			f.Fatalf("waiting for revision %d at %d: %v", upTo, last, f.ctx.Err())
		}
	}
	return events
}

// compacted checks that a watch ends with ErrCompacted and then is closed.
func (f *fixture) compacted(watch <-chan storage.Batch) {
	f.Helper()
	for {
		select {
		case b, ok := <-watch:
			switch {
			case !ok:
				f.Fatal("the watch was closed without an error")
			case b.Err == nil && len(b.Events) == 0:
				continue
			case !errors.Is(b.Err, storage.ErrCompacted):
				f.Fatalf("got %d events and error %v, want ErrCompacted", len(b.Events), b.Err)
			}
		case <-f.ctx.Done():
			f.Fatal("nothing came of the watch")
		}
		if b, ok := <-watch; ok {
			f.Errorf("%+v came after the error", b)
		}
		return
	}
}
