// Package watchcache keeps one resource's objects in memory, fed by one watch on the
// store: a copy-on-write B-tree (snapshots cost nothing), the recent events, and any
// number of watchers. Reads and watches of the API are served from here; the store sees
// writes, and the question how far it is.
package watchcache

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/btree"
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
	// Decode makes the object of a stored value and sets its resourceVersion from rev. It
	// is called by several goroutines.
	Decode func(key string, value []byte, rev int64) (api.Object, error)
	// Indexes are the values that a watch can be narrowed to.
	Indexes []Index
	// History is how many events are kept for watches from the past, and so how far a
	// watcher may fall behind (default 8192); and HistoryBytes is how large their objects may be
	// in the store, together (default 16 MiB).
	History      int
	HistoryBytes int
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

func (cfg *Config) setDefaults() {
	if cfg.History <= 0 {
		cfg.History = 8192
	}
	if cfg.HistoryBytes <= 0 {
		cfg.HistoryBytes = 16 << 20
	}
	if cfg.Snapshots <= 0 {
		cfg.Snapshots = 32
	}
	if cfg.SnapshotAge <= 0 {
		cfg.SnapshotAge = 5 * time.Minute
	}
	if cfg.ProgressInterval <= 0 {
		cfg.ProgressInterval = 10 * time.Second
	}
	if cfg.Budget == nil {
		cfg.Budget = NewBudget(64 << 20)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.RealClock{}
	}
}

type tree = btree.BTreeG[*Item]

// Cache is one resource's objects in memory. One goroutine, Run's, changes it.
type Cache struct {
	store storage.Store
	cfg   Config

	ready    chan struct{} // closed when filled for the first time
	revision atomic.Int64  // everything up to it has been seen; stored last, under mu

	mu       sync.RWMutex
	items    *tree                 // guarded by mu
	snapshot *tree                 // guarded by mu; a clone of items, nil once items has changed
	changed  int64                 // guarded by mu; revision of the last change to items
	kept     []keptSnapshot        // guarded by mu; oldest first
	history  []*change             // guarded by mu; in order of revision
	bytes    int                   // guarded by mu; of the objects in history, as stored
	floor    int64                 // guarded by mu; all events after it are in history
	filled   int64                 // guarded by mu; floor when history began
	evicted  uint64                // guarded by mu
	recall   *recall               // guarded by mu; the fetch of events before filled, once asked for
	all      *topic                // guarded by mu; the whole resource
	topics   map[topicKey]*topic   // guarded by mu
	starting map[*Watcher]struct{} // guarded by mu; watchers that still read their initial state
	advanced chan struct{}         // guarded by mu; closed at the next progress, nil if nobody waits
	stopped  bool                  // guarded by mu

	recalls  chan *recall // to Run
	progress progressAsker
}

// New makes a cache of what is stored below cfg.Prefix. Run fills it.
func New(store storage.Store, cfg Config) *Cache {
	cfg.setDefaults()
	return &Cache{
		store:    store,
		cfg:      cfg,
		ready:    make(chan struct{}),
		items:    newTree(),
		all:      &topic{tail: &cell{}},
		topics:   map[topicKey]*topic{},
		starting: map[*Watcher]struct{}{},
		recalls:  make(chan *recall, 1),
	}
}

func newTree() *tree {
	return btree.NewG(32, func(a, b *Item) bool { return a.Key < b.Key })
}

// Ready is closed when the cache holds the resource for the first time.
func (c *Cache) Ready() <-chan struct{} { return c.ready }

// Revision returns the store revision up to which the cache has seen everything.
func (c *Cache) Revision() int64 { return c.revision.Load() }

// Get returns the key's newest item that the cache has.
func (c *Cache) Get(key string) (*Item, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.items.Get(&Item{Key: key})
}

// Stats describe a cache for metrics.
type Stats struct {
	Items, Events, Snapshots, Watchers int
	Revision                           int64
}

// Stats counts what the cache holds.
func (c *Cache) Stats() Stats {
	c.mu.RLock()
	defer c.mu.RUnlock()
	s := Stats{
		Items: c.items.Len(), Events: len(c.history), Snapshots: len(c.kept),
		Watchers: c.all.watchers, Revision: c.revision.Load(),
	}
	for _, t := range c.topics {
		s.Watchers += t.watchers
	}
	return s
}
