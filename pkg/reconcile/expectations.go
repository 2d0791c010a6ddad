package reconcile

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
)

// expectationsTTL is how long an expectation is believed. A watch event that has not come
// by then was not seen or will never come; acting on the cache again is the lesser evil.
const expectationsTTL = 5 * time.Minute

// Expectations remembers what a controller has just asked for and not yet seen in its
// informer. A controller whose children have random names must not act on a key before
// its expectations are met, or a stale cache makes it create or delete twice.
//
// Call ExpectCreations or ExpectDeletions before the API calls, Created or Deleted for every
// watch event and for every call that failed.
type Expectations struct {
	clock clock.PassiveClock

	mu    sync.Mutex
	byKey map[Key]*expectation // guarded by mu
}

type expectation struct {
	creations int
	deletions map[types.UID]bool
	expires   time.Time
}

// NewExpectations returns an empty set. A nil clock is the real one.
func NewExpectations(c clock.PassiveClock) *Expectations {
	if c == nil {
		c = clock.RealClock{}
	}
	return &Expectations{clock: c, byKey: make(map[Key]*expectation)}
}

// Satisfied reports whether everything expected of key was seen, or waited for too long.
func (e *Expectations) Satisfied(key Key) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	x := e.byKey[key]
	return x == nil || !e.clock.Now().Before(x.expires)
}

// ExpectCreations says that n children of key are about to be created.
func (e *Expectations) ExpectCreations(key Key, n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if n > 0 {
		e.of(key).creations += n
	}
}

// ExpectDeletions says that these children of key are about to be deleted.
func (e *Expectations) ExpectDeletions(key Key, uids ...types.UID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, uid := range uids {
		e.of(key).deletions[uid] = true
	}
}

// Created says that a child of key was seen, or that its creation failed.
func (e *Expectations) Created(key Key) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if x := e.byKey[key]; x != nil {
		x.creations = max(0, x.creations-1)
		e.dropIfMet(key, x)
	}
}

// Deleted says that a child of key was seen to go (or to have a deletion time), or that its
// deletion failed.
func (e *Expectations) Deleted(key Key, uid types.UID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if x := e.byKey[key]; x != nil {
		delete(x.deletions, uid)
		e.dropIfMet(key, x)
	}
}

// Forget drops what is expected of key: it is gone.
func (e *Expectations) Forget(key Key) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.byKey, key)
}

// of returns key's expectation, fresh if there is none that still counts. mu is held.
func (e *Expectations) of(key Key) *expectation {
	x := e.byKey[key]
	if x == nil || !e.clock.Now().Before(x.expires) {
		x = &expectation{deletions: make(map[types.UID]bool)}
		e.byKey[key] = x
	}
	x.expires = e.clock.Now().Add(expectationsTTL)
	return x
}

func (e *Expectations) dropIfMet(key Key, x *expectation) {
	if x.creations == 0 && len(x.deletions) == 0 {
		delete(e.byKey, key)
	}
}
