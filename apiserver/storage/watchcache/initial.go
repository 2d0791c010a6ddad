package watchcache

// initialPage is how many items of the initial state a watcher looks ahead.
const initialPage = 64

// initialState is the state that a watch begins with, read bit by bit as the watcher's
// consumer asks.
type initialState struct {
	Snapshot
	page []*Item // read ahead
	from string  // key to go on from
	last bool    // there is nothing after page
}

// nextInitial returns the next event of the initial state. over is true when the watch has
// ended.
func (w *Watcher) nextInitial() (e Event, ok, over bool) {
	w.mu.Lock()
	s := w.initial
	if w.err != nil || s == nil {
		defer w.mu.Unlock()
		return Event{}, false, w.err != nil
	}
	if len(s.page) == 0 && !s.last {
		w.readPage(s)
	}
	if len(s.page) > 0 {
		it := s.page[0]
		s.page = s.page[1:]
		w.mu.Unlock()
		return Event{Type: Added, Item: it, Revision: it.Revision}, true, false
	}
	w.initial = nil
	w.mu.Unlock()
	w.cache.started(w)
	return Event{Type: Synced, Revision: s.Revision}, true, false
}

// readPage fills the page with the next items that the watch is about. The caller holds w.mu.
func (w *Watcher) readPage(s *initialState) {
	s.page, s.last = make([]*Item, 0, initialPage), true
	s.Ascend(w.prefix, s.from, func(it *Item) bool {
		if len(s.page) == initialPage {
			s.from, s.last = it.Key, false
			return false
		}
		if w.index == byKey || w.cache.cfg.Indexes[w.index].Value(it.Object) == w.value {
			s.page = append(s.page, it)
		}
		return true
	})
}

// started notes that w has read its initial state.
func (c *Cache) started(w *Watcher) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.starting, w)
}
