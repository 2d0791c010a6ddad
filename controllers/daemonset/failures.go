package daemonset

import (
	"sync"
	"time"
)

// A failed pod is replaced at once the first time, and then 1s, 2s, 4s … after the replacement
// before, up to 15 minutes.
const (
	firstWait = time.Second
	lastWait  = 15 * time.Minute
)

// failures remembers where pods failed again and again. The zero value is ready to use.
type failures struct {
	mu sync.Mutex
	at map[place]failure // guarded by mu
}

type failure struct {
	last time.Time // when a failed pod was replaced
	wait time.Duration
}

// wait tells how long a place must be left alone.
func (f *failures) wait(p place, now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	was, ok := f.at[p]
	if !ok || now.Sub(was.last) > 2*lastWait {
		return 0
	}
	return max(0, was.wait-now.Sub(was.last))
}

// note remembers that a failed pod is being replaced. A place without one for long starts anew.
func (f *failures) note(p place, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.at == nil {
		f.at = map[place]failure{}
	}
	was, next := f.at[p], failure{now, firstWait}
	if was.wait > 0 && now.Sub(was.last) <= 2*lastWait {
		next.wait = min(2*was.wait, lastWait)
	}
	f.at[p] = next
}

// forget drops what is remembered of a set.
func (f *failures) forget(set string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for p := range f.at {
		if p.set == set {
			delete(f.at, p)
		}
	}
}

// leave drops what is remembered of a node.
func (f *failures) leave(node string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for p := range f.at {
		if p.node == node {
			delete(f.at, p)
		}
	}
}
