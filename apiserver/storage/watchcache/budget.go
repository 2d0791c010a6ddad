package watchcache

import "sync"

// Budget bounds the memory that kept encodings take, over all caches that share it. When
// it is spent, the oldest encodings that nobody has used since they were last looked at go.
type Budget struct {
	limit int64

	mu   sync.Mutex
	used int64    // guarded by mu
	ring encoding // guarded by mu; sentinel of a circular list, newest at ring.next
}

// encodingOverhead is what keeping an encoding costs besides its bytes, roughly.
const encodingOverhead = 96

// NewBudget returns a budget of so many bytes; 0 keeps no encodings.
func NewBudget(bytes int64) *Budget {
	b := &Budget{limit: bytes}
	b.ring.next, b.ring.prev = &b.ring, &b.ring
	return b
}

// Used returns the bytes that are kept now.
func (b *Budget) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

func (e *encoding) cost() int64 { return int64(len(e.bytes)) + encodingOverhead }

// chances is how many encodings that are in use may be found when room is looked for. After
// that the new one is not kept: a list that is larger than the whole budget must not empty it
// again and again for encodings that will be gone before anybody asks for them.
const chances = 2

// add keeps an encoding and charges it, if there is room or some that nobody has used lately.
func (b *Budget) add(e *encoding) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e.item.retired || !b.makeRoom(e.cost()) {
		return
	}
	e.item.with(e)
	b.pushFront(e)
	b.used += e.cost()
}

// makeRoom evicts what nobody has used since it was last looked at, and reports whether
// so many bytes fit now. The caller holds mu.
func (b *Budget) makeRoom(bytes int64) bool {
	if bytes > b.limit {
		return false
	}
	for used := 0; b.used+bytes > b.limit; {
		last := b.ring.prev
		if used == chances {
			return false
		}
		if last.used.Swap(false) {
			b.unlink(last)
			b.pushFront(last)
			used++
			continue
		}
		b.release(last)
		last.item.without(last)
	}
	return true
}

// drop gives back what the item's encodings were charged, for good.
func (b *Budget) drop(it *Item) {
	b.mu.Lock()
	defer b.mu.Unlock()
	it.retired = true
	if list := it.encoded.Swap(nil); list != nil {
		for _, e := range *list {
			b.release(e)
		}
	}
}

// The caller of these holds mu.

func (b *Budget) release(e *encoding) {
	b.unlink(e)
	b.used -= e.cost()
}

func (b *Budget) pushFront(e *encoding) {
	e.prev, e.next = &b.ring, b.ring.next
	e.prev.next, e.next.prev = e, e
}

func (b *Budget) unlink(e *encoding) {
	e.prev.next, e.next.prev = e.next, e.prev
	e.prev, e.next = nil, nil
}
