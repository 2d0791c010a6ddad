package garbagecollector

import (
	"slices"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/pkg/api"
)

// identity says where an object is found.
type identity struct {
	Resource  api.Resource
	Namespace string
	Name      string
	UID       types.UID
}

// vertex is one object in the graph. A vertex that is not seen stands for an owner that was
// referred to and never observed, or is gone.
type vertex struct {
	identity
	seen       bool
	owners     []metav1.OwnerReference
	finalizers []string
	deleting   bool
	dependents map[types.UID]*vertex
}

func (v *vertex) has(finalizer string) bool {
	return v.deleting && slices.Contains(v.finalizers, finalizer)
}

// foreground tells whether the object waits for its dependents to go.
func (v *vertex) foreground() bool { return v.has(metav1.FinalizerDeleteDependents) }

// orphaning tells whether the object waits for its dependents to be released.
func (v *vertex) orphaning() bool { return v.has(metav1.FinalizerOrphanDependents) }

// graph is who owns whom, of all objects of all resources, as the informers tell it.
type graph struct {
	mu       sync.Mutex
	vertices map[types.UID]*vertex // guarded by mu, with all that they hold
}

func newGraph() *graph { return &graph{vertices: map[types.UID]*vertex{}} }

// set notes an object as it is now, and returns whom that concerns.
func (g *graph) set(r api.Resource, obj api.Object) (concerned []types.UID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	v := g.vertex(obj.GetUID())
	deleting := obj.GetDeletionTimestamp() != nil
	if v.seen && deleting == v.deleting && slices.Equal(v.finalizers, obj.GetFinalizers()) && sameOwners(v.owners, obj.GetOwnerReferences()) {
		return nil // most updates change nothing here
	}
	before := v.owners
	v.identity = identity{r, obj.GetNamespace(), obj.GetName(), obj.GetUID()}
	v.seen, v.owners, v.finalizers, v.deleting = true, obj.GetOwnerReferences(), obj.GetFinalizers(), deleting
	for _, ref := range v.owners {
		g.vertex(ref.UID).dependents[v.UID] = v
	}
	if len(v.owners) > 0 || v.foreground() || v.orphaning() {
		concerned = append(concerned, v.UID)
	}
	if v.foreground() {
		concerned = append(concerned, v.children()...)
	}
	concerned = append(concerned, g.waiting(before)...)
	return append(concerned, g.unlink(v, before, v.owners)...)
}

// remove notes that an object is gone, and returns whom that concerns.
func (g *graph) remove(uid types.UID) (concerned []types.UID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	v, ok := g.vertices[uid]
	if !ok {
		return nil
	}
	concerned = append(v.children(), g.waiting(v.owners)...)
	owners := v.owners
	v.seen, v.owners, v.finalizers, v.deleting = false, nil, nil, false
	g.unlink(v, owners, nil)
	g.drop(v)
	return concerned
}

// waiting returns the owners that wait for dependents.
func (g *graph) waiting(refs []metav1.OwnerReference) (uids []types.UID) {
	for _, ref := range refs {
		if o, ok := g.vertices[ref.UID]; ok && o.foreground() {
			uids = append(uids, o.UID)
		}
	}
	return uids
}

// unlink takes v away from those that own it no longer.
func (g *graph) unlink(v *vertex, before, now []metav1.OwnerReference) (concerned []types.UID) {
	for _, ref := range before {
		if slices.ContainsFunc(now, func(n metav1.OwnerReference) bool { return n.UID == ref.UID }) {
			continue
		}
		if o, ok := g.vertices[ref.UID]; ok {
			delete(o.dependents, v.UID)
			if o.orphaning() {
				concerned = append(concerned, o.UID)
			}
			g.drop(o)
		}
	}
	return concerned
}

// drop forgets a vertex that stands for nothing any more.
func (g *graph) drop(v *vertex) {
	if !v.seen && len(v.dependents) == 0 {
		delete(g.vertices, v.UID)
	}
}

func (g *graph) vertex(uid types.UID) *vertex {
	v, ok := g.vertices[uid]
	if !ok {
		v = &vertex{identity: identity{UID: uid}, dependents: map[types.UID]*vertex{}}
		g.vertices[uid] = v
	}
	return v
}

func (v *vertex) children() []types.UID {
	uids := make([]types.UID, 0, len(v.dependents))
	for uid := range v.dependents {
		uids = append(uids, uid)
	}
	slices.Sort(uids) // the order of a map must not show
	return uids
}

// item returns what is decided about an object from; ok is false if it is gone.
func (g *graph) item(uid types.UID) (it item, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	v, ok := g.vertices[uid]
	if !ok || !v.seen {
		return item{}, false
	}
	it = item{identity: v.identity, Deleting: v.deleting, Foreground: v.foreground(), Orphaning: v.orphaning(), Finalizers: v.finalizers}
	for _, ref := range v.owners {
		it.Owners = append(it.Owners, owner{Ref: ref, State: g.state(v, ref)})
	}
	for _, child := range v.children() {
		d := v.dependents[child]
		it.Dependents = append(it.Dependents, dependent{identity: d.identity, Blocking: blocks(d.owners, uid), Foreground: d.foreground()})
	}
	return it, true
}

// state tells what the graph knows of an owner. A reference counts only if it names the
// owner rightly: kind, name and a namespace that the dependent may refer to.
func (g *graph) state(v *vertex, ref metav1.OwnerReference) state {
	o, ok := g.vertices[ref.UID]
	switch {
	case !ok || !o.seen || !names(ref, o.identity) || o.Resource.Namespaced && o.Namespace != v.Namespace:
		return unknown
	case o.foreground():
		return waiting
	}
	return solid
}

// names tells whether a reference names this object: any version of its group will do.
func names(ref metav1.OwnerReference, id identity) bool {
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	return err == nil && gv.Group == id.Resource.Group && ref.Kind == id.Resource.Kind && ref.Name == id.Name
}

// namespaceOf tells where an object is that was seen.
func (g *graph) namespaceOf(uid types.UID) (ns string, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	v, ok := g.vertices[uid]
	if !ok || !v.seen {
		return "", false
	}
	return v.Namespace, true
}

func blocks(refs []metav1.OwnerReference, owner types.UID) bool {
	return slices.ContainsFunc(refs, func(r metav1.OwnerReference) bool {
		return r.UID == owner && r.BlockOwnerDeletion != nil && *r.BlockOwnerDeletion
	})
}

func sameOwners(a, b []metav1.OwnerReference) bool {
	return slices.EqualFunc(a, b, func(x, y metav1.OwnerReference) bool {
		return x.UID == y.UID && x.Name == y.Name && x.Kind == y.Kind && x.APIVersion == y.APIVersion &&
			(x.BlockOwnerDeletion != nil && *x.BlockOwnerDeletion) == (y.BlockOwnerDeletion != nil && *y.BlockOwnerDeletion)
	})
}
