package rest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/miniorch/miniorch/apiserver/managedfields"
	"github.com/miniorch/miniorch/apiserver/resource"
	"github.com/miniorch/miniorch/apiserver/storage"
	"github.com/miniorch/miniorch/apiserver/storage/codec"
	"github.com/miniorch/miniorch/apiserver/storage/watchcache"
	"github.com/miniorch/miniorch/pkg/api"
)

// Store serves the verbs of one resource at one version. All methods are safe for
// concurrent use. Items that it returns are shared: read only.
type Store struct {
	reg   *Registry
	desc  resource.Descriptor
	of    api.Resource // what is stored: the resource, or what it is a view of
	root  string       // "/registry/<group>/<resource>/"
	codec *codec.Codec
	cache *watchcache.Cache // nil if the resource is virtual
	// keepers know who owns which field, one for each door; none for what is not tracked.
	keepers map[string]*managedfields.Keeper
}

func newStore(r *Registry, d resource.Descriptor) *Store {
	s := &Store{reg: r, desc: d, of: d.Resource}
	if d.Virtual != nil {
		return s
	}
	s.keepers = s.newKeepers(d)
	if d.View != nil {
		return s.over(r, d.View.Of)
	}
	group := d.Group
	if group == "" {
		group = "core"
	}
	s.root = "/registry/" + group + "/" + d.Name + "/"
	s.codec = codec.New(d.Resource, r.cfg.Encryption)
	s.cache = watchcache.New(r.storage, watchcache.Config{
		Prefix: s.root, Decode: s.codec.Decode, Indexes: indexes(d), History: r.cfg.CacheHistory,
		Budget: r.cfg.EncodedBudget, Logger: r.cfg.Logger, Clock: r.cfg.Clock,
	})
	return s
}

// over makes s a view: it reads and writes the base resource's keys through its cache.
func (s *Store) over(r *Registry, base api.Resource) *Store {
	b, ok := r.stores[base.GVR()]
	if !ok {
		panic(fmt.Sprintf("rest: %v is a view of %v, which must be described before it", s.desc.GVR(), base.GVR()))
	}
	s.of, s.root, s.codec, s.cache = b.of, b.root, b.codec, b.cache
	return s
}

func indexes(d resource.Descriptor) []watchcache.Index {
	if d.View != nil || d.Fields == nil || !slices.Contains(d.FieldNames, fieldNodeName) {
		return nil
	}
	return []watchcache.Index{{Name: fieldNodeName, Value: func(obj api.Object) string {
		return (&lazyFields{obj: obj, values: d.Fields}).Get(fieldNodeName)
	}}}
}

// Descriptor returns what the store was made from.
func (s *Store) Descriptor() resource.Descriptor { return s.desc }

// prefix is where the keys of a namespace (or of all, if empty) are.
func (s *Store) prefix(ns string) string {
	if ns == "" || !s.desc.Namespaced {
		return s.root
	}
	return s.root + ns + "/"
}

func (s *Store) key(ns, name string) string { return s.prefix(ns) + name }

// checkName refuses what can be no object's name, before a key is made of it.
func (s *Store) checkName(ns, name string) error {
	switch {
	case s.desc.Namespaced && ns == "":
		return apierrors.NewBadRequest("namespace is required")
	case !s.desc.Namespaced && ns != "":
		return apierrors.NewBadRequest("namespace may not be set")
	case name == "":
		return apierrors.NewBadRequest("name is required")
	case name == "." || name == ".." || strings.ContainsAny(name, "/%") || strings.ContainsAny(ns, "/%"):
		return apierrors.NewBadRequest(fmt.Sprintf("invalid name: %q in namespace %q", name, ns))
	}
	return nil
}

func (s *Store) waitReady(ctx context.Context) error {
	if s.cache == nil {
		return nil
	}
	select {
	case <-s.cache.Ready():
		return nil
	default:
	}
	select {
	case <-s.cache.Ready():
		return nil
	case <-ctx.Done():
		return contextError(ctx.Err(), "the "+s.desc.String()+" cache is not filled yet")
	}
}

// cached returns what the cache has, as this version sees it.
func (s *Store) cached(ns, name string) (*watchcache.Item, bool) {
	if s.cache == nil {
		return nil, false
	}
	it, ok := s.cache.Get(s.key(ns, name))
	if !ok {
		return nil, false
	}
	it, err := s.view(it)
	return it, err == nil
}

// current returns the stored object straight from the store, nil if there is none. What the
// cache already holds at the same revision is shared.
func (s *Store) current(ctx context.Context, key string) (*watchcache.Item, int64, error) {
	kv, revision, err := s.reg.storage.Get(ctx, key)
	if err != nil {
		return nil, 0, s.storageError(err)
	}
	it, err := s.itemOf(kv)
	return it, revision, err
}

// itemOf makes the item of what the store holds.
func (s *Store) itemOf(kv *storage.KV) (*watchcache.Item, error) {
	if kv == nil {
		return nil, nil
	}
	if it, ok := s.cache.Get(kv.Key); ok && it.Revision == kv.Revision {
		return it, nil
	}
	obj, err := s.codec.Decode(kv.Key, kv.Value, kv.Revision)
	if err != nil {
		return nil, apierrors.NewInternalError(fmt.Errorf("decoding %s: %w", kv.Key, err))
	}
	return watchcache.NewItem(kv.Key, obj, kv.Revision), nil
}

// storageError words the failure of the store for the client.
func (s *Store) storageError(err error) error {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return contextError(err, "storage did not answer in time")
	}
	s.reg.cfg.Logger.Error("storage failed", "resource", s.desc.String(), "error", err)
	return apierrors.NewInternalError(fmt.Errorf("storage: %w", err))
}

func contextError(err error, text string) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return apierrors.NewTimeoutError(text, 1)
	}
	return apierrors.NewTimeoutError("request was cancelled: "+text, 0)
}

func (s *Store) groupKind() schema.GroupKind {
	return schema.GroupKind{Group: s.desc.Group, Kind: s.desc.Kind}
}

func (s *Store) notFound(name string) error {
	return apierrors.NewNotFound(s.desc.GroupResource(), name)
}
