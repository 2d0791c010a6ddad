package children

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// firstWait is how long a failed pod stays the second time; it doubles.
const firstWait = time.Second

// Failures remembers where pods failed again and again: a failed pod is replaced at once the first
// time, and then 1s, 2s, 4s … after the replacement before.
type Failures struct {
	most time.Duration

	mu sync.Mutex
	at map[place]failure // guarded by mu
}

// place is where one pod of an owner runs at a time: a node, an ordinal.
type place struct {
	owner types.UID
	name  string
}

type failure struct {
	last time.Time // when a failed pod was replaced
	wait time.Duration
}

// NewFailures returns an empty memory. No wait is longer than most; a place where none failed for
// twice as long starts anew.
func NewFailures(most time.Duration) *Failures {
	return &Failures{most: most, at: map[place]failure{}}
}

// Wait tells how long the failed pod of a place is to be left there.
func (f *Failures) Wait(owner types.UID, name string, now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	was, ok := f.at[place{owner, name}]
	if !ok || now.Sub(was.last) > 2*f.most {
		return 0
	}
	return max(0, was.wait-now.Sub(was.last))
}

// Note remembers that a failed pod is being replaced.
func (f *Failures) Note(owner types.UID, name string, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, next := place{owner, name}, failure{now, firstWait}
	if was := f.at[p]; was.wait > 0 && now.Sub(was.last) <= 2*f.most {
		next.wait = min(2*was.wait, f.most)
	}
	f.at[p] = next
}

// Forget drops what is remembered of an owner.
func (f *Failures) Forget(owner types.UID) {
	f.drop(func(p place) bool { return p.owner == owner })
}

// Leave drops what is remembered of a place, whosever.
func (f *Failures) Leave(name string) {
	f.drop(func(p place) bool { return p.name == name })
}

func (f *Failures) drop(gone func(place) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for p := range f.at {
		if gone(p) {
			delete(f.at, p)
		}
	}
}
