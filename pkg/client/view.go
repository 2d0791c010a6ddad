package client

import (
	"fmt"
	"slices"
	"sync"

	"github.com/google/btree"
	"github.com/google/go-cmp/cmp"
	apiequality "k8s.io/apimachinery/pkg/api/equality"

	"github.com/miniorch/miniorch/pkg/api"
)

// entry is one object of a view. The order of entries is the order of lists.
type entry struct {
	ns, name string
	obj      api.Object
	copy     api.Object // private, only when mutations are detected
}

func (a entry) less(b entry) bool {
	if a.ns != b.ns {
		return a.ns < b.ns
	}
	return a.name < b.name
}

func (a entry) compare(b entry) int {
	if a.less(b) {
		return -1
	} else if b.less(a) {
		return 1
	}
	return 0
}

// bucket is what one index value holds, in order. It is a tree because some values (a
// namespace, for instance) have thousands of objects.
type bucket = btree.BTreeG[entry]

// degree is the width of the trees' nodes.
const degree = 32

type indexer struct {
	of      func(api.Object) []string
	buckets map[string]*bucket
	nodes   *btree.FreeListG[entry] // shared: there may be very many small buckets
}

// view holds the objects of one informer. Only its reflector changes it; anybody reads.
type view struct {
	id     viewID
	cfg    Config
	synced chan struct{} // closed when the first complete view is there
	part   bool          // fed by another view, not by a reflector

	// delivery serializes handler calls with the registration of handlers, so that a new
	// handler sees every object exactly once as new. It is taken before mu.
	delivery sync.Mutex
	handlers []func(old, obj api.Object) // guarded by delivery
	complete bool                        // guarded by delivery: synced is closed
	// completed is guarded by delivery: it is called once, before synced is closed.
	completed []func()

	mu      sync.RWMutex
	tree    *btree.BTreeG[entry] // guarded by mu
	indexes map[string]*indexer  // guarded by mu
}

func newView(id viewID, cfg Config) *view {
	return &view{
		id: id, cfg: cfg, synced: make(chan struct{}),
		tree: btree.NewG(degree, entry.less), indexes: make(map[string]*indexer),
	}
}

func (v *view) handle(h func(old, obj api.Object)) {
	v.delivery.Lock()
	defer v.delivery.Unlock()
	v.handlers = append(v.handlers, h)
	v.ascend("", func(o api.Object) bool {
		h(nil, o)
		return true
	})
}

func (v *view) index(name string, of func(api.Object) []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.indexes[name] != nil {
		return
	}
	ix := &indexer{of: of, buckets: make(map[string]*bucket), nodes: btree.NewFreeListG[entry](btree.DefaultFreeListSize)}
	v.tree.Ascend(func(e entry) bool {
		ix.add(e)
		return true
	})
	v.indexes[name] = ix
}

func (v *view) get(ns, name string) (api.Object, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	e, ok := v.tree.Get(entry{ns: ns, name: name})
	return e.obj, ok
}

func (v *view) len() int {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.tree.Len()
}

// ascend visits a snapshot, so that yield may take its time and read the view.
func (v *view) ascend(ns string, yield func(api.Object) bool) {
	v.mu.Lock()
	snapshot := v.tree.Clone()
	v.mu.Unlock()
	snapshot.AscendGreaterOrEqual(entry{ns: ns}, func(e entry) bool {
		if ns != "" && e.ns != ns {
			return false
		}
		return yield(e.obj)
	})
}

func (v *view) byIndex(name, value string) []api.Object {
	v.mu.RLock()
	defer v.mu.RUnlock()
	ix := v.indexes[name]
	if ix == nil {
		panic(fmt.Sprintf("client: the informer for %s has no index %q", v.id.resource, name))
	}
	b := ix.buckets[value]
	if b == nil {
		return nil
	}
	found := make([]api.Object, 0, b.Len())
	b.Ascend(func(e entry) bool {
		found = append(found, e.obj)
		return true
	})
	return found
}

func (v *view) isSynced() bool {
	select {
	case <-v.synced:
		return true
	default:
		return false
	}
}

// set stores obj and tells the handlers, unless the view has this version already.
func (v *view) set(obj api.Object) {
	v.delivery.Lock()
	defer v.delivery.Unlock()
	v.setLocked(obj)
}

func (v *view) setLocked(obj api.Object) {
	e := entry{ns: obj.GetNamespace(), name: obj.GetName(), obj: obj}
	old, found := v.get(e.ns, e.name)
	if found && old.GetResourceVersion() == obj.GetResourceVersion() && obj.GetResourceVersion() != "" {
		return
	}
	if found && old.GetUID() != obj.GetUID() {
		// The old object was deleted and another took its name while nobody watched.
		v.removeLocked(e.ns, e.name)
		old = nil
	}
	if v.cfg.DetectMutations {
		e.copy = obj.DeepCopyObject().(api.Object)
	}
	v.mu.Lock()
	prev, replaced := v.tree.ReplaceOrInsert(e)
	for _, ix := range v.indexes {
		if replaced {
			ix.remove(prev)
		}
		ix.add(e)
	}
	v.mu.Unlock()
	v.checkEntry(prev)
	v.tell(old, obj)
}

// remove forgets an object and tells the handlers, if the view has it.
func (v *view) remove(ns, name string) {
	v.delivery.Lock()
	defer v.delivery.Unlock()
	v.removeLocked(ns, name)
}

func (v *view) removeLocked(ns, name string) {
	v.mu.Lock()
	gone, ok := v.tree.Delete(entry{ns: ns, name: name})
	if ok {
		for _, ix := range v.indexes {
			ix.remove(gone)
		}
	}
	v.mu.Unlock()
	if ok {
		v.checkEntry(gone)
		v.tell(gone.obj, nil)
	}
}

// replace makes the view hold exactly objs. Handlers see only the differences, deletions
// first, each in the order of namespace and name.
func (v *view) replace(objs []api.Object) {
	v.delivery.Lock()
	defer v.delivery.Unlock()
	slices.SortFunc(objs, func(a, b api.Object) int {
		return entry{ns: a.GetNamespace(), name: a.GetName()}.compare(entry{ns: b.GetNamespace(), name: b.GetName()})
	})
	wanted := make(map[[2]string]bool, len(objs))
	for _, o := range objs {
		wanted[[2]string{o.GetNamespace(), o.GetName()}] = true
	}
	v.ascend("", func(o api.Object) bool {
		if !wanted[[2]string{o.GetNamespace(), o.GetName()}] {
			v.removeLocked(o.GetNamespace(), o.GetName())
		}
		return true
	})
	for _, o := range objs {
		v.setLocked(o)
	}
	v.completeLocked()
}

// completeLocked announces that the view holds everything, the first time.
func (v *view) completeLocked() {
	if v.complete {
		return
	}
	v.complete = true
	for _, tell := range v.completed {
		tell()
	}
	close(v.synced)
}

func (v *view) tell(old, obj api.Object) {
	for _, h := range v.handlers {
		h(old, obj)
	}
}

func (ix *indexer) add(e entry) {
	for _, value := range ix.of(e.obj) {
		b := ix.buckets[value]
		if b == nil {
			b = btree.NewWithFreeListG(degree, entry.less, ix.nodes)
			ix.buckets[value] = b
		}
		b.ReplaceOrInsert(e)
	}
}

func (ix *indexer) remove(e entry) {
	for _, value := range ix.of(e.obj) {
		b := ix.buckets[value]
		if b == nil {
			continue // the function named the value twice
		}
		if b.Delete(e); b.Len() == 0 {
			delete(ix.buckets, value)
		}
	}
}

// checkEntry reports if the shared object is no longer what it was when it came.
func (v *view) checkEntry(e entry) {
	if e.copy == nil || apiequality.Semantic.DeepEqual(e.obj, e.copy) {
		return
	}
	report := fmt.Sprintf("a shared object was changed: %s %s/%s (-as it came +as it is):\n%s",
		v.id.resource, e.ns, e.name, cmp.Diff(e.copy, e.obj))
	if v.cfg.OnMutation == nil {
		panic("client: " + report)
	}
	v.cfg.OnMutation(report)
}

func (v *view) checkMutations() {
	v.mu.RLock()
	defer v.mu.RUnlock()
	v.tree.Ascend(func(e entry) bool {
		v.checkEntry(e)
		return true
	})
}
