package client

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/miniorch/miniorch/pkg/api"
)

// Selection narrows what an informer holds. The zero value selects everything.
type Selection struct {
	Namespace string
	Labels    labels.Selector
	Fields    fields.Selector
}

// viewID identifies a view: informers with the same selection share it.
type viewID struct {
	resource              api.Resource
	namespace, label, fld string
}

func (s Selection) id(r api.Resource) viewID {
	id := viewID{resource: r, namespace: s.Namespace}
	if s.Labels != nil {
		id.label = s.Labels.String()
	}
	if s.Fields != nil {
		id.fld = s.Fields.String()
	}
	return id
}

// Informers is the set of informers of one process: one per resource and selection, shared
// by all who ask for it. Get them with InformerFor, then Run; an informer that is asked for
// while Run runs starts at once.
type Informers struct {
	transport Transport
	cfg       Config
	wake      chan struct{} // tells Run that views were added

	mu     sync.Mutex
	views  []*view            // guarded by mu; in the order they were asked for
	byID   map[viewID]*view   // guarded by mu
	splits map[splitID]*split // guarded by mu
}

// NewInformers returns an empty set that reads through t.
func NewInformers(t Transport, cfg Config) *Informers {
	return &Informers{
		transport: t, cfg: cfg.withDefaults(),
		wake: make(chan struct{}, 1), byID: make(map[viewID]*view), splits: make(map[splitID]*split),
	}
}

func (f *Informers) view(r api.Resource, s Selection) *view {
	f.mu.Lock()
	defer f.mu.Unlock()
	id := s.id(r)
	if v, ok := f.byID[id]; ok {
		return v
	}
	v := newView(id, f.cfg)
	f.byID[id] = v
	f.views = append(f.views, v)
	if from, value := f.splitFor(r, s); from != nil {
		v.part = true
		from.add(value, v)
		return v
	}
	select {
	case f.wake <- struct{}{}:
	default:
	}
	return v
}

func (f *Informers) from(n int) []*view {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.views[n:len(f.views):len(f.views)]
}

// Run keeps every informer up to date until ctx ends. Failures to reach the API are logged
// and retried; Run returns ctx's error.
func (f *Informers) Run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	started := 0
	for {
		added := f.from(started)
		started += len(added)
		for _, v := range added {
			if v.part {
				continue
			}
			r := &reflector{transport: f.transport, view: v, cfg: f.cfg}
			running.Go(func() { r.run(ctx) })
		}
		select {
		case <-ctx.Done():
			running.Wait()
			for _, v := range f.from(0) {
				v.checkMutations()
			}
			return ctx.Err()
		case <-f.wake:
		}
	}
}

// WaitForSync blocks until every informer that was asked for before the call holds a
// complete view, or ctx ends.
func (f *Informers) WaitForSync(ctx context.Context) error {
	for _, v := range f.from(0) {
		select {
		case <-v.synced:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
