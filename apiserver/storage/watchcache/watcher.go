package watchcache

import (
	"context"
	"fmt"
	"sync"
)

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

// String returns the type as the wire spells it; Synced has no spelling there.
func (t EventType) String() string {
	return [...]string{"ADDED", "MODIFIED", "DELETED", "SYNCED"}[t]
}

// Event is one change, shared by all watchers. The Item of a deletion is the object as it
// last was, at the revision of the deletion. Prev is nil for Added.
type Event struct {
	Type     EventType
	Item     *Item
	Prev     *Item
	Revision int64

	departed *departed
}

// Departed returns Prev at the revision of the event: what a watcher is told is deleted when
// its selector matched Prev and does not match Item. It is made once for all watchers.
func (e Event) Departed() *Item {
	if e.Type == Deleted || e.Prev == nil {
		return e.Item
	}
	d := e.departed
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.item == nil {
		it := e.Prev.at(e.Revision)
		if d.dropped {
			it.retire() // nobody would ever take it out of the budget
			return it
		}
		d.item = it
	}
	return d.item
}

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
// opts.After are no longer kept. It waits for the cache to be ready. It starts no goroutine
// and keeps no buffer: a watcher reads the events that the cache keeps.
func (c *Cache) Watch(ctx context.Context, opts WatchOptions) (*Watcher, error) {
	w := &Watcher{cache: c, prefix: opts.Prefix, index: byKey, value: opts.Value, after: opts.After, done: make(chan struct{})}
	if w.prefix == "" {
		w.prefix = c.cfg.Prefix
	}
	if !covers(c.cfg.Prefix, w.prefix) {
		return nil, fmt.Errorf("watchcache: %s is not below %s", w.prefix, c.cfg.Prefix)
	}
	w.topicKey = topicKey{byKey, w.prefix}
	if opts.Index != "" {
		if w.index = c.indexNamed(opts.Index); w.index < 0 {
			return nil, fmt.Errorf("watchcache: no index %q", opts.Index)
		}
		w.topicKey = topicKey{w.index, w.value}
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.ready:
	}
	if opts.Initial {
		if err := c.WaitFor(ctx, opts.After); err != nil {
			return nil, err
		}
		w.after = 0
	}
	if err := c.place(ctx, w, opts.Initial); err != nil {
		return nil, err
	}
	// Assigned under the lock: a context that has ended already ends w on another goroutine.
	w.mu.Lock()
	w.unhook = context.AfterFunc(ctx, func() { w.end(ctx.Err()) })
	w.mu.Unlock()
	return w, nil
}

// place puts w at its first cell, recalling older events if it comes to that.
func (c *Cache) place(ctx context.Context, w *Watcher, initial bool) error {
	recall, err := c.tryPlace(w, initial)
	if recall == nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-recall.done:
	}
	_, err = c.tryPlace(w, initial)
	return err
}

func (c *Cache) tryPlace(w *Watcher, initial bool) (*recall, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return nil, ErrStopped
	}
	if w.after != 0 && w.after < c.floor {
		return c.mayRecall(), ErrGone
	}
	w.topic = c.join(w.topicKey)
	w.at = w.topic.tail
	if i := c.since(w.after); w.after != 0 && i < len(c.history) {
		w.at, w.backlogEnd, w.afterBacklog = c.history[i].cells[0], c.all.tail, w.topic.tail
	}
	if initial {
		w.startRevision = c.revision.Load()
		w.initial = &initialState{Snapshot: Snapshot{w.startRevision, c.frozen()}}
		c.starting[w] = struct{}{}
	}
	return nil, nil
}

// Watcher reads the events of one watch. Its methods but Stop and Err are for one goroutine.
type Watcher struct {
	cache    *Cache
	prefix   string
	index    int // byKey: not narrowed
	value    string
	after    int64
	topicKey topicKey
	topic    *topic

	at *cell // what is waited for
	// A watch from the past first reads the whole resource's chain, and goes over to its
	// own topic's where that began to concern it.
	backlogEnd, afterBacklog *cell
	startRevision            int64

	mu      sync.Mutex
	initial *initialState // guarded by mu; nil when it has been read
	err     error         // guarded by mu
	left    bool          // guarded by mu; the topic has been left
	unhook  func() bool   // guarded by mu; nobody waits for the context any more
	done    chan struct{} // closed when err is set
}

// Next waits for the next event. It returns an error when ctx ends (ctx's), and when the
// watch has ended (Err's).
func (w *Watcher) Next(ctx context.Context) (Event, error) {
	for {
		if e, ok := w.TryNext(); ok {
			return e, nil
		}
		if err := w.Err(); err != nil {
			return Event{}, err
		}
		select {
		case <-w.at.ready():
		case <-w.done:
		case <-ctx.Done():
			return Event{}, ctx.Err()
		}
	}
}

// TryNext returns the next event if there is one now: with it a writer sends all there
// is before it flushes.
func (w *Watcher) TryNext() (Event, bool) {
	if e, ok, over := w.nextInitial(); ok || over {
		return e, ok
	}
	for {
		if w.at == w.backlogEnd {
			w.at, w.backlogEnd, w.afterBacklog = w.afterBacklog, nil, nil
		}
		d := w.at.filled.Load()
		if d == nil {
			return Event{}, false
		}
		if d.err != nil {
			w.end(d.err)
			return Event{}, false
		}
		w.at = d.next
		if e := d.change.Event; w.wants(e) {
			return e, true
		}
	}
}

// wants filters what the topic does not.
func (w *Watcher) wants(e Event) bool {
	if e.Revision <= w.after || !covers(w.prefix, e.Item.Key) {
		return false
	}
	if w.index == byKey || w.backlogEnd == nil {
		return true
	}
	value := w.cache.cfg.Indexes[w.index].Value
	return value(e.Item.Object) == w.value || e.Prev != nil && value(e.Prev.Object) == w.value
}

// Ready returns a channel that is closed once TryNext may have something or the cache has
// ended the watch. Ask anew after every TryNext. Stop and the end of Watch's context do not
// close it but Done.
func (w *Watcher) Ready() <-chan struct{} {
	w.mu.Lock()
	initial := w.initial != nil
	w.mu.Unlock()
	if initial || w.at == w.backlogEnd {
		return closed
	}
	return w.at.ready()
}

// Done is closed when the watch has ended; Err says why.
func (w *Watcher) Done() <-chan struct{} { return w.done }

// Events returns a channel of the events, closed when the watch has ended (see Err). It costs a
// goroutine: servers of many watches use Next, or Ready and TryNext. Call it once and
// then none of these; Stop ends the goroutine.
func (w *Watcher) Events() <-chan Event {
	out := make(chan Event)
	go func() {
		defer close(out)
		for {
			e, err := w.Next(context.Background())
			if err != nil {
				return
			}
			select {
			case out <- e:
			case <-w.done:
				return
			}
		}
	}()
	return out
}

// Progress returns the revision up to which the watcher has been given everything, for a
// bookmark. ok is false while events are waiting to be read.
func (w *Watcher) Progress() (rev int64, ok bool) {
	w.mu.Lock()
	initial := w.initial != nil
	w.mu.Unlock()
	// The order matters: what the cache has seen is in the chains before it says so.
	rev = w.cache.Revision()
	if initial || w.backlogEnd != nil && w.at != w.backlogEnd || rev < w.after {
		return 0, false
	}
	at := w.at
	if w.backlogEnd != nil {
		at = w.afterBacklog
	}
	return rev, at.filled.Load() == nil
}

// Err returns why the watch ended, or nil: ErrSlow, ErrGone (the cache had to start anew),
// ErrStopped, or the error of Watch's context.
func (w *Watcher) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Stop ends the watch.
func (w *Watcher) Stop() { w.end(ErrStopped) }

// end ends the watch for a reason, the first of which counts.
func (w *Watcher) end(err error) {
	w.fail(err)
	w.mu.Lock()
	leave, unhook := !w.left, w.unhook
	w.left = true
	w.mu.Unlock()
	if leave {
		w.cache.leave(w)
	}
	if unhook != nil {
		unhook()
	}
}

// fail is end without leaving the topic, for those who hold the cache's lock.
func (w *Watcher) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err, w.initial = err, nil
		close(w.done)
	}
}
