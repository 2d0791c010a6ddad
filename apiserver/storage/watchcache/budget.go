package watchcache

// Budget bounds the memory that kept encodings take, over all caches that share it.
type Budget struct{}

// NewBudget returns a budget of so many bytes; 0 keeps no encodings.
func NewBudget(bytes int64) *Budget { panic("stub") }

// Used returns the bytes that are kept now.
func (b *Budget) Used() int64 { panic("stub") }

func (b *Budget) add(e *encoding) {}
func (b *Budget) drop(it *Item)   {}
