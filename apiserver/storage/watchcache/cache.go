// Package watchcache keeps one resource's objects in memory, fed by one watch on the
// store: a copy-on-write B-tree (snapshots cost nothing), the recent events, and any
// number of watchers. Reads and watches of the API are served from here; the store sees
// writes, and the question how far it is.
package watchcache

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"k8s.io/utils/clock"

	"github.com/miniorch/miniorch/apiserver/storage"
	"github.com/miniorch/miniorch/pkg/api"
)

var (
	// ErrGone says that the revision asked for is older than what the cache keeps.
	ErrGone = errors.New("watchcache: revision is too old")
	// ErrFuture says that the cache has not reached the revision asked for: WaitFor it first.
	ErrFuture = errors.New("watchcache: revision has not been reached")
	// ErrSlow says that a watcher was closed because it fell further behind than the
	// cache keeps events.
	ErrSlow = errors.New("watchcache: watcher is too slow")
	// ErrStopped says that the watcher or the cache has been stopped.
	ErrStopped = errors.New("watchcache: stopped")
)

// Index finds objects by one derived value, so that a watch on it (the pods of a node)
// is woken by these objects only.
type Index struct {
	Name  string // the field selector's name: "spec.nodeName"
	Value func(api.Object) string
}

// Config says what to cache and how much of it. Zero fields have defaults.
type Config struct {
	// Prefix is where the resource's keys are; it ends in "/".
	Prefix string
	// Decode makes the object of a stored value and sets its resourceVersion from rev.
	Decode func(key string, value []byte, rev int64) (api.Object, error)
	// Indexes are the values that a watch can be narrowed to.
	Indexes []Index
	// History is how many events are kept for watches from the past, and so how far a
	// watcher may fall behind. Default 8192.
	History int
	// Snapshots is how many snapshots Keep and SnapshotAt hold (default 32), and
	// SnapshotAge for how long (default 5 minutes).
	Snapshots   int
	SnapshotAge time.Duration
	// ProgressInterval is how often the cache asks how far the store is when nothing
	// happens, so that bookmarks are fresh. Default 10 s.
	ProgressInterval time.Duration
	// Budget bounds the memory of encodings; caches may share one. Default: 64 MiB of its own.
	Budget *Budget
	Logger *slog.Logger
	Clock  clock.WithTicker
}

// Cache is one resource's objects in memory.
type Cache struct {
	store storage.Store
	cfg   Config
}

// New makes a cache of what is stored below cfg.Prefix. Run fills it.
func New(store storage.Store, cfg Config) *Cache { panic("stub") }

// Run lists and watches the store until ctx ends.
func (c *Cache) Run(ctx context.Context) error { panic("stub") }

// Ready is closed when the cache holds the resource for the first time.
func (c *Cache) Ready() <-chan struct{} { panic("stub") }

// Revision returns the store revision up to which the cache has seen everything.
func (c *Cache) Revision() int64 { panic("stub") }

// WaitFor returns when the cache has reached the revision.
func (c *Cache) WaitFor(ctx context.Context, rev int64) error { panic("stub") }

// Get returns the key's newest item that the cache has.
func (c *Cache) Get(key string) (*Item, bool) { panic("stub") }
