package names

import (
	"maps"
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// Register remembers, per owner, which ordinals were ever seen in use, so that the name of a
// child that is gone is not given again. What was created but not seen yet is left out
// on purpose: asking for its name again is what makes a stale view lose. For the same reason
// gaps are filled first: of children that were made at once, later ones may be seen earlier.
// The zero value is ready to use.
type Register struct {
	mu     sync.Mutex
	owners map[types.UID]*used // guarded by mu, with what it holds
}

// used is the set of ordinals in use: all below floor, and some above.
type used struct {
	floor uint64
	above map[uint64]bool
}

// See records that a child of owner by this name exists. Children that were there before we
// began to look (initial) tell nothing of the gaps between them, so these count as used.
func (r *Register) See(s Sequence, owner types.UID, name string, initial bool) {
	n, ok := s.Ordinal(name)
	if !ok {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	u := r.of(owner)
	if initial {
		u.floor = max(u.floor, n+1)
	} else if n >= u.floor {
		u.above[n] = true
	}
	for u.above[u.floor] {
		delete(u.above, u.floor)
		u.floor++
	}
}

// Unused is what a Register knew of one owner at one moment.
type Unused struct {
	seq   Sequence
	floor uint64
	above map[uint64]bool
}

// Snapshot returns what is known of owner now. Take it before reading which children there are:
// a child that is seen between the two must not count as used and absent, or it is
// replaced.
func (r *Register) Snapshot(s Sequence, owner types.UID) Unused {
	r.mu.Lock()
	defer r.mu.Unlock()
	u := r.of(owner)
	return Unused{s, u.floor, maps.Clone(u.above)}
}

// Next returns the first count names that had never been seen in use.
func (u Unused) Next(count int) []string {
	var out []string
	for n := u.floor; len(out) < count && n < u.floor+space; n++ {
		if !u.above[n%space] {
			out = append(out, u.seq.Name(n))
		}
	}
	return out
}

func (r *Register) of(owner types.UID) *used {
	if r.owners == nil {
		r.owners = map[types.UID]*used{}
	}
	u, ok := r.owners[owner]
	if !ok {
		u = &used{above: map[uint64]bool{}}
		r.owners[owner] = u
	}
	return u
}

// Forget drops an owner that is gone.
func (r *Register) Forget(owner types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.owners, owner)
}

// ForgetAll drops the owners of whom gone says so.
func (r *Register) ForgetAll(gone func(owner types.UID) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.owners, func(owner types.UID, _ *used) bool { return gone(owner) })
}
