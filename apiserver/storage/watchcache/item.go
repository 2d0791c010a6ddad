package watchcache

import (
	"sync"
	"sync/atomic"

	"github.com/miniorch/miniorch/pkg/api"
)

// Format numbers one wire form of an object. The cache does not know what the numbers
// mean beyond the two here: a resource that is served in other forms as well (another
// API version's view of it, for instance) numbers them from FormatOther.
type Format uint8

// The forms that every resource has.
const (
	FormatJSON Format = iota
	FormatProtobuf
	FormatOther
)

// Item is one object at one revision, shared by everybody who reads it: it and its Object
// must not be changed. It carries the object's encodings, each made on first use.
type Item struct {
	Key      string
	Object   api.Object
	Revision int64

	budget  *Budget
	retired atomic.Bool              // the cache has forgotten the item: keep no more encodings
	encoded atomic.Pointer[encoding] // immutable list, newest first
	mu      sync.Mutex               // held while encoding, so that it is done once
}

// encoding is one kept wire form. The list links that the budget needs are its own.
type encoding struct {
	item   *Item
	format Format
	bytes  []byte
	older  *encoding   // next in Item.encoded
	used   atomic.Bool // since the budget last looked

	prev, next *encoding // guarded by Budget.mu
}

// NewItem makes an item that belongs to no cache, for the result of a write. Its encodings
// are kept as long as it lives and are charged to nobody.
func NewItem(key string, obj api.Object, revision int64) *Item {
	return &Item{Key: key, Object: obj, Revision: revision}
}

// Encoded returns the object's bytes in the format, calling encode if nobody has needed
// them before or they did not stay in the memory budget. The bytes are shared: read only.
func (it *Item) Encoded(format Format, encode func(api.Object) ([]byte, error)) ([]byte, error) {
	if b := it.kept(format); b != nil {
		return b, nil
	}
	it.mu.Lock()
	defer it.mu.Unlock()
	if b := it.kept(format); b != nil {
		return b, nil
	}
	b, err := encode(it.Object)
	if err != nil {
		return nil, err
	}
	if !it.retired.Load() {
		it.keep(&encoding{item: it, format: format, bytes: b})
	}
	return b, nil
}

func (it *Item) kept(format Format) []byte {
	for e := it.encoded.Load(); e != nil; e = e.older {
		if e.format == format {
			// Many readers share this flag: writing it only when it changes keeps the line clean.
			if !e.used.Load() {
				e.used.Store(true)
			}
			return e.bytes
		}
	}
	return nil
}

// keep publishes e. The caller holds it.mu.
func (it *Item) keep(e *encoding) {
	for {
		e.older = it.encoded.Load()
		if it.encoded.CompareAndSwap(e.older, e) {
			break
		}
	}
	if it.budget != nil {
		it.budget.add(e)
	}
}

// retire is called when the cache forgets the item. Those who still hold it can go on
// encoding it, at their own cost.
func (it *Item) retire() {
	it.retired.Store(true)
	if it.budget != nil {
		it.budget.drop(it)
	}
}
