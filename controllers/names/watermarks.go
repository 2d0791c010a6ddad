package names

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// Watermarks remembers, per owner, the ordinal after the greatest one that was ever seen
// to be in use. It keeps the name of a child that is gone from being given again. What
// was created but not seen yet is left out on purpose: asking for its name again is what
// makes a stale view lose. The zero value is ready to use.
type Watermarks struct {
	mu   sync.Mutex
	next map[types.UID]uint64 // guarded by mu
}

// See records that a child of owner by this name exists.
func (w *Watermarks) See(s Sequence, owner types.UID, name string) {
	if n, ok := s.Ordinal(name); ok {
		w.raise(owner, n+1)
	}
}

func (w *Watermarks) raise(owner types.UID, next uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.next == nil {
		w.next = map[types.UID]uint64{}
	}
	w.next[owner] = max(w.next[owner], next)
}

// Next returns the first ordinal that was never seen in use.
func (w *Watermarks) Next(owner types.UID) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.next[owner]
}

// Forget drops an owner that is gone.
func (w *Watermarks) Forget(owner types.UID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.next, owner)
}
