package scheduler

import "slices"

// recent keeps what was used last, by key; the longest unused goes first.
type recent[T any] struct {
	most  int
	byKey map[string]T
	order []string // the longest unused first
}

func newRecent[T any](most int) recent[T] { return recent[T]{most: most, byKey: make(map[string]T)} }

// use returns what is kept for a key, which is used now.
func (r *recent[T]) use(key string) (kept T, ok bool) {
	if kept, ok = r.byKey[key]; ok && r.order[len(r.order)-1] != key {
		at := slices.Index(r.order, key)
		r.order = append(slices.Delete(r.order, at, at+1), key)
	}
	return kept, ok
}

// keep remembers something under a key that is used now, and returns what has to go for it.
func (r *recent[T]) keep(key string, v T) (gone T, full bool) {
	if old, ok := r.use(key); ok {
		r.byKey[key] = v
		return old, false
	}
	r.byKey[key] = v
	r.order = append(r.order, key)
	if len(r.order) > r.most {
		oldest := r.order[0]
		gone = r.byKey[oldest]
		delete(r.byKey, oldest)
		r.order = slices.Delete(r.order, 0, 1)
		return gone, true
	}
	return gone, false
}
