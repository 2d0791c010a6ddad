package watchcache

import "context"

// EventType says what happened to an event's item.
type EventType uint8

// The types of events. Synced comes once, after the initial items of a watch that asked
// for them; it has no Item.
const (
	Added EventType = iota
	Modified
	Deleted
	Synced
)

// Event is one change, shared by all watchers. The Item of a deletion is the object as it
// last was, at the revision of the deletion. Prev is nil for Added.
type Event struct {
	Type     EventType
	Item     *Item
	Prev     *Item
	Revision int64
}

// Departed returns Prev at the revision of the event: what a watcher is told is deleted when
// its selector matched Prev and does not match Item. It is made once for all watchers.
func (e Event) Departed() *Item { panic("stub") }

// WatchOptions say what to watch and from where.
type WatchOptions struct {
	// Prefix selects what is at or below it; one that does not end in "/" is one object's
	// key. Empty: the whole resource.
	Prefix string
	// Index and Value narrow the watch to objects that have, or just had, this value in
	// one of Config.Indexes. Empty: no narrowing.
	Index, Value string
	// After is the revision whose successors are wanted; 0 means from now on.
	After int64
	// Initial sends the present state first, as Added, and then a Synced event that
	// carries the state's revision. The state is then at least as new as After.
	Initial bool
}

// Watch starts a watch; it ends when ctx ends. It returns ErrGone when the events after
// opts.After are no longer kept. It starts no goroutine and keeps no buffer: a watcher reads
// the events that the cache keeps.
func (c *Cache) Watch(ctx context.Context, opts WatchOptions) (*Watcher, error) { panic("stub") }

// Watcher reads the events of one watch. Its methods but Stop and Err are for one goroutine.
type Watcher struct{}

// Next waits for the next event. It returns an error when ctx ends (ctx's), and when the
// watch has ended (Err's).
func (w *Watcher) Next(ctx context.Context) (Event, error) { panic("stub") }

// TryNext returns the next event if there is one now: with it a writer sends all there
// is before it flushes.
func (w *Watcher) TryNext() (Event, bool) { panic("stub") }

// Ready returns a channel that is closed once TryNext has something or the watch has ended.
// Ask anew after every TryNext.
func (w *Watcher) Ready() <-chan struct{} { panic("stub") }

// Events returns a channel of the events, closed when the watch has ended (see Err). It costs a
// goroutine: servers of many watches use Next, or Ready and TryNext.
func (w *Watcher) Events() <-chan Event { panic("stub") }

// Progress returns the revision up to which the watcher has been given everything, for a
// bookmark. ok is false while events are waiting to be read.
func (w *Watcher) Progress() (rev int64, ok bool) { panic("stub") }

// Err returns why the watch ended, or nil: ErrSlow, ErrGone (the cache had to start anew),
// ErrStopped, or the error of Watch's context.
func (w *Watcher) Err() error { panic("stub") }

// Stop ends the watch.
func (w *Watcher) Stop() { panic("stub") }
