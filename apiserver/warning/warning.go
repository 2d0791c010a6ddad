// Package warning carries the warnings of one request from wherever they are found
// (decoding, validation, admission) to whoever answers the request. It knows nothing of
// HTTP and decides nothing: it only collects.
package warning

import (
	"context"
	"slices"
	"sync"
)

// Bounds on what one answer carries, so that warnings cannot outgrow the headers that
// clients and proxies accept.
const (
	maxWarnings = 64
	maxBytes    = 4 << 10
)

// Recorder collects the warnings of one request, each once, in the order of their
// arrival. It is safe for concurrent use.
type Recorder struct {
	mu    sync.Mutex
	texts []string // guarded by mu
	bytes int      // guarded by mu
}

type key struct{}

// With returns a context whose warnings the returned Recorder collects.
func With(ctx context.Context) (context.Context, *Recorder) {
	r := &Recorder{}
	return context.WithValue(ctx, key{}, r), r
}

// Add hands a warning to the request's Recorder. Without one the warning has no reader
// and is dropped.
func Add(ctx context.Context, text string) {
	if r, ok := ctx.Value(key{}).(*Recorder); ok && text != "" {
		r.add(text)
	}
}

func (r *Recorder) add(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.Contains(r.texts, text) || len(r.texts) >= maxWarnings || r.bytes+len(text) > maxBytes {
		return
	}
	r.texts = append(r.texts, text)
	r.bytes += len(text)
}

// Warnings returns what has been collected so far.
func (r *Recorder) Warnings() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.texts)
}
