package watchcache

import (
	"slices"
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
	size     int // of the stored value

	encoding sync.Mutex                  // held while encoding, so that it is done once
	encoded  atomic.Pointer[[]*encoding] // the slice never changes; replaced under budget.mu
	budget   *Budget
	retired  bool // guarded by budget.mu: the cache has forgotten the item, keep nothing more
}

// encoding is one kept wire form.
type encoding struct {
	item   *Item
	format Format
	bytes  []byte
	used   atomic.Bool // since the budget last looked

	prev, next *encoding // the budget's list; guarded by Budget.mu
}

// NewItem makes an item that belongs to no cache, for the result of a write. Its encodings
// are kept as long as it lives and are charged to nobody.
func NewItem(key string, obj api.Object, revision int64) *Item {
	return &Item{Key: key, Object: obj, Revision: revision, budget: NewBudget(1 << 62)}
}

// Encoded returns the object's bytes in the format, calling encode if nobody has needed
// them before or they did not stay in the memory budget. The bytes are shared: read only.
func (it *Item) Encoded(format Format, encode func(api.Object) ([]byte, error)) ([]byte, error) {
	if b := it.kept(format); b != nil {
		return b, nil
	}
	it.encoding.Lock()
	defer it.encoding.Unlock()
	if b := it.kept(format); b != nil {
		return b, nil
	}
	b, err := encode(it.Object)
	if err != nil {
		return nil, err
	}
	it.budget.add(&encoding{item: it, format: format, bytes: b})
	return b, nil
}

// EncodedSize returns how long the bytes in the format are, or will be: size knows without
// making them.
func (it *Item) EncodedSize(format Format, size func(api.Object) int) int {
	if b := it.kept(format); b != nil {
		return len(b)
	}
	return size(it.Object)
}

func (it *Item) kept(format Format) []byte {
	list := it.encoded.Load()
	if list == nil {
		return nil
	}
	for _, e := range *list {
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

// retire is called when the cache forgets the item. Those who still hold it can go on
// encoding it, at their own cost.
func (it *Item) retire() { it.budget.drop(it) }

// with and without replace the published list. The caller holds budget.mu.
func (it *Item) with(e *encoding) {
	list := []*encoding{e}
	if old := it.encoded.Load(); old != nil {
		list = append(list, *old...)
	}
	it.encoded.Store(&list)
}

func (it *Item) without(gone *encoding) {
	list := slices.Clone(*it.encoded.Load())
	list = slices.DeleteFunc(list, func(e *encoding) bool { return e == gone })
	if len(list) == 0 {
		it.encoded.Store(nil)
		return
	}
	it.encoded.Store(&list)
}
