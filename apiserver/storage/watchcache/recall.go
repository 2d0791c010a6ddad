package watchcache

import (
	"context"
	"errors"
	"time"

	"github.com/miniorch/miniorch/apiserver/storage"
)

// recall is the fetch of what happened before the cache was filled, so that clients'
// watches survive a restart of the server. It is made once, for the first who asks.
type recall struct {
	to   int64 // the cache's revision when it was filled
	done chan struct{}
}

// recallSpan is how many revisions of the whole store are looked through for each
// event that is kept of the resource.
const recallSpan = 4

// mayRecall returns the fetch that could make events after the revision available; nil if
// there is nothing to hope for. The caller holds c.mu.
func (c *Cache) mayRecall() *recall {
	if c.floor != c.filled {
		return nil
	}
	if c.recall == nil {
		c.recall = &recall{to: c.filled, done: make(chan struct{})}
		select {
		case c.recalls <- c.recall:
		default: // one of an earlier filling was never taken up
			return nil
		}
	}
	select {
	case <-c.recall.done:
		return nil
	default:
		return c.recall
	}
}

// answer fetches the events and puts them in front of the history.
func (c *Cache) answer(ctx context.Context, r *recall) {
	defer close(r.done)
	from := max(1, r.to-int64(recallSpan*c.cfg.History))
	events, after, err := c.fetch(ctx, from, r.to)
	var compacted *storage.CompactedError
	for tries := 0; errors.As(err, &compacted) && tries < 3; tries++ {
		if from = compacted.Oldest; from >= r.to {
			return
		}
		events, after, err = c.fetch(ctx, from, r.to)
	}
	if err != nil {
		c.cfg.Logger.Warn("events from before the start are not available", "prefix", c.cfg.Prefix, "from", from, "err", err)
		return
	}
	c.prepend(r, after, c.recalled(events))
}

// fetch collects the events after from up to to: as many of the last ones as may be kept,
// which are all after the returned revision.
func (c *Cache) fetch(ctx context.Context, from, to int64) (events []storage.Event, after int64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	batches := c.store.Watch(ctx, c.cfg.Prefix, from)
	ticker := c.cfg.Clock.NewTicker(progressRetry)
	defer ticker.Stop()
	deadline := c.cfg.Clock.NewTimer(10 * time.Second)
	defer deadline.Stop()
	size := 0
	for after = from; ; {
		select {
		case batch, ok := <-batches:
			if !ok {
				return nil, 0, context.Cause(ctx)
			}
			if batch.Err != nil {
				return nil, 0, batch.Err
			}
			for _, e := range batch.Events {
				if e.Revision <= to {
					events, size = append(events, e), size+len(e.Value)
				}
			}
			for len(events) > 0 && (len(events) > c.cfg.History || size > c.cfg.HistoryBytes) {
				after, size = events[0].Revision, size-len(events[0].Value)
				events = events[1:]
			}
			if batch.Progress >= to {
				return events, after, nil
			}
		case <-ticker.C():
			if err := c.store.RequestProgress(ctx, c.cfg.Prefix); err != nil {
				return nil, 0, err
			}
		case <-deadline.C():
			return nil, 0, context.DeadlineExceeded
		}
	}
}

// recalled makes changes of old events: what was before each is either the event
// before it or what the store says.
func (c *Cache) recalled(events []storage.Event) []*change {
	changes := make([]*change, 0, len(events))
	known := make(map[string]*Item)
	for i := range events {
		e := &events[i]
		old, seen := known[e.Key]
		if !seen && e.Prev != nil {
			old = c.decode(e.Key, e.Prev.Value, e.Prev.Revision, nil)
		}
		var item *Item
		if now, ok := c.Get(e.Key); ok && now.Revision == e.Revision {
			item = now
		} else if e.Value != nil {
			item = c.decode(e.Key, e.Value, e.Revision, old)
		}
		known[e.Key] = item
		if ch := c.changeOf(old, item, e.Revision); ch != nil {
			changes = append(changes, ch)
		}
	}
	return changes
}

// prepend puts changes in front of the history, as far as there is room, and chains them
// to it.
func (c *Cache) prepend(r *recall, from int64, changes []*change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.recall != r || c.floor != c.filled {
		return // begun anew, or the history no longer begins where these end
	}
	first := len(changes) // of those for which there is room
	for room := c.cfg.History - len(c.history); first > 0 && len(changes)-first < room; first-- {
		if size := changes[first-1].Item.size; c.bytes+size <= c.cfg.HistoryBytes {
			c.bytes += size
		} else {
			break
		}
	}
	if first > 0 {
		from, changes = changes[first-1].Revision, changes[first:]
	}
	next := c.all.tail
	if len(c.history) > 0 {
		next = c.history[0].cells[0]
	}
	for i := len(changes) - 1; i >= 0; i-- {
		at := &cell{}
		at.filled.Store(&delivery{change: changes[i], next: next})
		changes[i].cells = []*cell{at}
		next = at
	}
	c.history = append(changes, c.history...)
	c.floor = from
}
