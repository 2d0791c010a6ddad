package rest

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/clock"

	"github.com/miniorch/miniorch/apiserver/storage/watchcache"
)

// bookmarkInterval is how often an idle watch says how far it is.
const bookmarkInterval = time.Minute

// ErrWatchEnded is what Next returns after the last event of a watch whose time was up
// or that was stopped.
var ErrWatchEnded = errors.New("the watch has ended")

// Watch is one running watch. It has no goroutine and no buffer of its own: it reads the
// events that the cache keeps, and ends when it has fallen too far behind. Read it with Next
// (and TryNext), or with Events; one goroutine at a time.
type Watch struct {
	store *Store
	cache *watchcache.Watcher // nil when failed is all there is to say
	sel   selector

	bookmarks clock.Ticker // nil: none wanted
	deadline  clock.Timer  // nil: none
	// markInitial is whether the end of the initial events is announced.
	markInitial bool
	failed      *apierrors.StatusError // sent as the only event
	err         error                  // why it ended
}

// Watch streams the changes of a collection (see Kubernetes' API concepts, "Efficient
// detection of changes"). A resourceVersion that is too old is not an error here: the
// stream's only event then says so, as clients expect. The watch ends with ctx.
func (s *Store) Watch(ctx context.Context, ns string, opts metav1.ListOptions) (*Watch, error) {
	if err := s.notVirtual("watch"); err != nil {
		return nil, err
	}
	if err := checkListOptions(opts, true); err != nil {
		return nil, err
	}
	sel, err := s.selector(opts)
	if err != nil {
		return nil, err
	}
	from, err := s.watchFrom(ctx, opts)
	if errors.Is(err, errNeverWas) {
		return &Watch{store: s, failed: apierrors.NewResourceExpired(fmt.Sprintf(
			"resource version %s is newer than the store, which may have been restored from a backup: list again", opts.ResourceVersion))}, nil
	}
	if err != nil {
		return nil, err
	}
	from.Prefix = s.prefixFor(ns, sel)
	if value, ok := sel.exact(fieldNodeName); ok && len(indexes(s.desc)) > 0 {
		from.Index, from.Value = fieldNodeName, value
	}
	w := &Watch{store: s, sel: sel}
	w.cache, err = s.cache.Watch(ctx, from)
	if errors.Is(err, watchcache.ErrGone) {
		w.failed = apierrors.NewResourceExpired(fmt.Sprintf("too old resource version: %s (%d)", opts.ResourceVersion, s.cache.Revision()))
		return w, nil
	}
	if err != nil {
		return nil, s.storageError(err)
	}
	w.arm(opts)
	return w, nil
}

// watchFrom turns the options into where the cache shall start.
func (s *Store) watchFrom(ctx context.Context, opts metav1.ListOptions) (watchcache.WatchOptions, error) {
	rev, err := parseRevision(opts.ResourceVersion)
	if err != nil {
		return watchcache.WatchOptions{}, err
	}
	initial := rev == 0
	if opts.SendInitialEvents != nil {
		initial = *opts.SendInitialEvents
	}
	if initial || rev == 0 {
		return watchcache.WatchOptions{After: rev, Initial: initial}, s.catchUp(ctx, opts.ResourceVersion)
	}
	if err := s.waitReady(ctx); err != nil {
		return watchcache.WatchOptions{}, err
	}
	return watchcache.WatchOptions{After: rev}, s.reached(ctx, rev)
}

// errNeverWas says that the store has not come as far as a client says that it has.
var errNeverWas = errors.New("revision is of another history")

// reached finds out whether the store has been at rev. A client that has seen more than there is
// knows a history that has been undone; it would wait in silence until there are as many revisions
// again, and then go on with what does not follow from what it knows.
func (s *Store) reached(ctx context.Context, rev int64) error {
	if rev <= s.cache.Revision() {
		return nil
	}
	now, err := s.reg.storage.Revision(ctx)
	if err != nil {
		return s.storageError(err)
	}
	if rev > now {
		return errNeverWas
	}
	return nil
}

func (w *Watch) arm(opts metav1.ListOptions) {
	w.markInitial = opts.AllowWatchBookmarks && opts.SendInitialEvents != nil && *opts.SendInitialEvents
	if opts.AllowWatchBookmarks {
		w.bookmarks = w.store.reg.cfg.Clock.NewTicker(bookmarkInterval)
	}
	if opts.TimeoutSeconds != nil && *opts.TimeoutSeconds > 0 {
		w.deadline = w.store.reg.cfg.Clock.NewTimer(time.Duration(*opts.TimeoutSeconds) * time.Second)
	}
}

// Next waits for the next event. It returns ctx's error when ctx ends, and ErrWatchEnded or
// the reason of the end (Err) after the last event.
func (w *Watch) Next(ctx context.Context) (Event, error) {
	for {
		if e, ok := w.TryNext(); ok {
			return e, nil
		}
		if w.err != nil {
			return Event{}, w.err
		}
		select {
		case <-w.cache.Ready():
		case <-w.cache.Done():
		case <-tick(w.bookmarks):
			if rev, ok := w.cache.Progress(); ok {
				return bookmark(rev), nil
			}
		case <-expiry(w.deadline):
			return w.last()
		case <-ctx.Done():
			return Event{}, ctx.Err()
		}
	}
}

// last ends the watch whose time is up; its bookmark spares the client a step back.
func (w *Watch) last() (Event, error) {
	rev, ok := w.cache.Progress()
	tell := ok && w.bookmarks != nil
	w.end(ErrWatchEnded)
	if tell {
		return bookmark(rev), nil
	}
	return Event{}, w.err
}

// TryNext returns the next event if there is one now. With it a server sends what there is
// before it flushes.
func (w *Watch) TryNext() (Event, bool) {
	if w.err != nil {
		return Event{}, false
	}
	if w.failed != nil {
		w.end(w.failed)
		return Event{Type: watch.Error, Err: w.failed}, true
	}
	for {
		e, ok := w.cache.TryNext()
		if !ok {
			if err := w.cache.Err(); err != nil {
				w.end(err)
			}
			return Event{}, false
		}
		out, wanted, err := w.translate(e)
		if err != nil {
			w.failed = apierrors.NewInternalError(err)
			return w.TryNext()
		}
		if wanted {
			return out, true
		}
	}
}

// translate turns a change of the collection into what this watcher sees of it: an object
// that begins to match is added, one that ceases to is deleted.
func (w *Watch) translate(e watchcache.Event) (Event, bool, error) {
	if e.Type == watchcache.Synced {
		return Event{Type: watch.Bookmark, ResourceVersion: formatRevision(e.Revision), InitialEventsEnd: true}, w.markInitial, nil
	}
	now, err := w.look(e.Item)
	if err != nil {
		return Event{}, false, err
	}
	switch e.Type {
	case watchcache.Added:
		return changed(watch.Added, now, e.Revision), now != nil, nil
	case watchcache.Deleted:
		return changed(watch.Deleted, now, e.Revision), now != nil, nil
	}
	before, err := w.look(e.Prev)
	switch {
	case err != nil:
		return Event{}, false, err
	case now != nil && before != nil:
		return changed(watch.Modified, now, e.Revision), true, nil
	case now != nil:
		return changed(watch.Added, now, e.Revision), true, nil
	case before != nil:
		gone, err := w.store.view(e.Departed())
		return changed(watch.Deleted, gone, e.Revision), err == nil, err
	}
	return Event{}, false, nil
}

// look returns the item as this version shows it, nil if the selector does not match it.
func (w *Watch) look(it *watchcache.Item) (*watchcache.Item, error) {
	it, err := w.store.view(it)
	if err != nil || it == nil || w.sel.everything() || w.sel.matches(it.Object) {
		return it, err
	}
	return nil, nil
}

// Events returns a channel of the events, closed when the watch has ended (see Err). It
// costs a goroutine, which ends with ctx or Stop of the watch.
func (w *Watch) Events(ctx context.Context) <-chan Event {
	ch := make(chan Event)
	go func() {
		defer close(ch)
		for {
			e, err := w.Next(ctx)
			if err != nil {
				w.end(err)
				return
			}
			select {
			case ch <- e:
			case <-ctx.Done():
				w.end(ctx.Err())
				return
			}
		}
	}()
	return ch
}

// Err returns why the watch ended: ErrWatchEnded, the status of its Error event, or
// what the cache says (watchcache.ErrSlow, for instance). It is for the goroutine that reads.
func (w *Watch) Err() error { return w.err }

// Stop ends the watch; it must be called when the watch is no longer read.
func (w *Watch) Stop() { w.end(ErrWatchEnded) }

func (w *Watch) end(err error) {
	if w.err != nil {
		return
	}
	w.err = err
	if w.cache != nil {
		w.cache.Stop()
	}
	if w.bookmarks != nil {
		w.bookmarks.Stop()
	}
	if w.deadline != nil {
		w.deadline.Stop()
	}
}

func changed(t watch.EventType, it *watchcache.Item, rev int64) Event {
	return Event{Type: t, Item: it, ResourceVersion: formatRevision(rev)}
}

func bookmark(rev int64) Event {
	return Event{Type: watch.Bookmark, ResourceVersion: formatRevision(rev)}
}

func tick(t clock.Ticker) <-chan time.Time {
	if t == nil {
		return nil
	}
	return t.C()
}

func expiry(t clock.Timer) <-chan time.Time {
	if t == nil {
		return nil
	}
	return t.C()
}
