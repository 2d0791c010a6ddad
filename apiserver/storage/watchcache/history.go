package watchcache

import (
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
)

// Events reach watchers through chains. A chain belongs to a topic (the whole resource, a
// namespace, one key, one value of an index) and is made of cells, each a promise of
// the topic's next event. A watcher holds the cell that it waits for, and nothing else: it has
// no buffer, and what it has not read yet is kept once for all, for as long as the
// cache keeps the event. When the cache drops an event it cuts the chains in front of
// it; a watcher that is still there finds out that it was too slow.

// cell is the promise of the next event of a topic.
type cell struct {
	filled atomic.Pointer[delivery]
	wait   atomic.Pointer[chan struct{}] // made by the first who waits
}

// delivery is what a cell turns into: an event and the cell after it, or the end.
type delivery struct {
	change *change
	next   *cell
	err    error
}

// slow is the end of those who are cut off.
var slow = &delivery{err: ErrSlow}

// closed is what those are given who need not wait.
var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// fill delivers, and returns the channel to close, if any: waking many watchers takes time,
// so it is done when no lock is held.
func (c *cell) fill(d *delivery) *chan struct{} {
	c.filled.Store(d)
	return c.wait.Swap(nil)
}

// ready returns a channel that is closed when the cell is filled.
func (c *cell) ready() <-chan struct{} {
	ch := c.wait.Load()
	if ch == nil {
		made := make(chan struct{})
		if ch = &made; !c.wait.CompareAndSwap(nil, ch) {
			if ch = c.wait.Load(); ch == nil {
				return closed // filled meanwhile
			}
		}
	}
	// The filler may have looked for a channel before this one was there.
	if c.filled.Load() != nil {
		return closed
	}
	return *ch
}

// change is an event as the cache keeps it.
type change struct {
	Event
	departed departed
	cells    []*cell // that it was delivered to; the first is the whole resource's
}

// departed is the item that Event.Departed makes.
type departed struct {
	mu      sync.Mutex
	item    *Item // guarded by mu
	dropped bool  // guarded by mu
}

// topicKey names a topic: an index (its position in Config.Indexes) and a value, or
// byKey and a key or a prefix that ends in "/".
type topicKey struct {
	index int
	value string
}

const byKey = -1

// topic is one chain that has watchers.
type topic struct {
	tail     *cell // the one empty cell
	watchers int
}

// topicsOf calls f for the existing topics that an event concerns, the whole resource
// first. The caller holds c.mu.
func (c *Cache) topicsOf(e Event, f func(*topic)) {
	f(c.all)
	if len(c.topics) == 0 {
		return
	}
	seek := func(k topicKey) {
		if t := c.topics[k]; t != nil {
			f(t)
		}
	}
	key := e.Item.Key
	for i := len(c.cfg.Prefix); i < len(key); i++ {
		if key[i] == '/' {
			seek(topicKey{byKey, key[:i+1]})
		}
	}
	seek(topicKey{byKey, key})
	for i, index := range c.cfg.Indexes {
		value := index.Value(e.Item.Object)
		seek(topicKey{i, value})
		if e.Prev != nil && e.Type != Deleted {
			if was := index.Value(e.Prev.Object); was != value {
				seek(topicKey{i, was})
			}
		}
	}
}

// join returns the topic, making it if need be. The caller holds c.mu.
func (c *Cache) join(k topicKey) *topic {
	if k == (topicKey{byKey, c.cfg.Prefix}) {
		c.all.watchers++
		return c.all
	}
	t := c.topics[k]
	if t == nil {
		t = &topic{tail: &cell{}}
		c.topics[k] = t
	}
	t.watchers++
	return t
}

// leave undoes join.
func (c *Cache) leave(w *Watcher) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.starting, w)
	w.topic.watchers--
	if w.topic != c.all && w.topic.watchers == 0 && c.topics[w.topicKey] == w.topic {
		delete(c.topics, w.topicKey)
	}
}

// publish keeps the change and delivers it, and returns the channels to close. The caller
// holds c.mu.
func (c *Cache) publish(ch *change) (wake []*chan struct{}) {
	c.topicsOf(ch.Event, func(t *topic) {
		at := t.tail
		t.tail = &cell{}
		ch.cells = append(ch.cells, at)
		if w := at.fill(&delivery{change: ch, next: t.tail}); w != nil {
			wake = append(wake, w)
		}
	})
	c.history = append(c.history, ch)
	c.bytes += ch.Item.size
	for len(c.history) > c.cfg.History || c.bytes > c.cfg.HistoryBytes && len(c.history) > leastHistory {
		c.evict()
	}
	return wake
}

// leastHistory is how many events are kept however large their objects are: a watcher needs
// time to read.
const leastHistory = 32

// evict drops the oldest change. The caller holds c.mu.
func (c *Cache) evict() {
	oldest := c.history[0]
	c.bytes -= oldest.Item.size
	c.history[0] = nil // the array lives on until append moves it
	c.history = c.history[1:]
	c.floor = oldest.Revision
	c.evicted++
	for _, cell := range oldest.cells {
		cell.filled.Store(slow)
	}
	oldest.forget()
	// Watchers that are still reading the state they began with hold it in memory, so those
	// that cannot finish any more are ended here. Looking at each eviction would be dear.
	if c.evicted%256 == 0 {
		for w := range c.starting {
			if w.startRevision < c.floor {
				w.fail(ErrSlow)
				delete(c.starting, w)
			}
		}
	}
}

// forget retires the items that only the change still needed.
func (ch *change) forget() {
	if ch.Prev != nil {
		ch.Prev.retire()
	}
	if ch.Type == Deleted {
		ch.Item.retire()
	}
	ch.departed.mu.Lock()
	defer ch.departed.mu.Unlock()
	ch.departed.dropped = true
	if ch.departed.item != nil {
		ch.departed.item.retire()
	}
}

// since returns the position in history of the first event after the revision. The caller
// holds c.mu.
func (c *Cache) since(revision int64) int {
	return sort.Search(len(c.history), func(i int) bool { return c.history[i].Revision > revision })
}

// endChains ends all watchers with err and forgets the history. The caller holds c.mu.
func (c *Cache) endChains(err error) (wake []*chan struct{}) {
	end := &delivery{err: err}
	topics := []*topic{c.all}
	for _, t := range c.topics {
		topics = append(topics, t)
	}
	for _, t := range topics {
		if w := t.tail.fill(end); w != nil {
			wake = append(wake, w)
		}
	}
	for _, ch := range c.history {
		for _, cell := range ch.cells {
			cell.filled.Store(end)
		}
		ch.forget()
	}
	c.history, c.bytes = nil, 0
	c.topics = map[topicKey]*topic{}
	c.all = &topic{tail: &cell{}}
	return wake
}

func wakeAll(wake []*chan struct{}) {
	for _, w := range wake {
		close(*w)
	}
}

// covers tells whether the key is at or below prefix.
func covers(prefix, key string) bool {
	if prefix == "" || strings.HasSuffix(prefix, "/") {
		return strings.HasPrefix(key, prefix)
	}
	return key == prefix
}

// indexNamed returns the position of an index in the configuration, or -1.
func (c *Cache) indexNamed(name string) int {
	return slices.IndexFunc(c.cfg.Indexes, func(i Index) bool { return i.Name == name })
}
