package rest

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/miniorch/miniorch/apiserver/resource"
	"github.com/miniorch/miniorch/apiserver/storage/watchcache"
	"github.com/miniorch/miniorch/pkg/api"
)

// Get returns one object: as it is now, or with a resourceVersion as the cache has it, at
// least that new.
func (s *Store) Get(ctx context.Context, ns, name string, opts metav1.GetOptions) (*watchcache.Item, error) {
	if err := s.checkName(ns, name); err != nil {
		return nil, err
	}
	if s.desc.Virtual != nil {
		return s.getVirtual(ctx, ns, name)
	}
	if err := s.waitReady(ctx); err != nil {
		return nil, err
	}
	if opts.ResourceVersion != "" {
		if err := s.catchUp(ctx, opts.ResourceVersion); err != nil {
			return nil, err
		}
		if it, ok := s.cache.Get(s.key(ns, name)); ok {
			return s.view(it)
		}
		return nil, s.notFound(name)
	}
	// One read of the key says which revision is the newest; the cache nearly always has it.
	it, _, err := s.current(ctx, s.key(ns, name))
	if err != nil {
		return nil, err
	}
	if it == nil {
		return nil, s.notFound(name)
	}
	return s.view(it)
}

// GetSubresource reads what a subresource shows of an object: the object itself (status),
// or a body made from it (scale).
func (s *Store) GetSubresource(ctx context.Context, ns, name, subresource string, opts metav1.GetOptions) (*watchcache.Item, error) {
	sub, err := s.subresource(subresource, "get")
	if err != nil {
		return nil, err
	}
	it, err := s.Get(ctx, ns, name, opts)
	if err != nil {
		return nil, err
	}
	return project(sub, it)
}

// subresource finds a subresource of the descriptor that serves the verb. Empty is the
// object itself.
func (s *Store) subresource(name, verb string) (*resource.Subresource, error) {
	if name == "" {
		return nil, nil
	}
	for i, sub := range s.desc.Subresources {
		if sub.Name != name {
			continue
		}
		if !slices.Contains(sub.Verbs, verb) {
			return nil, apierrors.NewMethodNotSupported(s.desc.GroupResource(), verb)
		}
		return &s.desc.Subresources[i], nil
	}
	return nil, apierrors.NewGenericServerResponse(404, verb, s.desc.GroupResource(), "", "", 0, true)
}

// project returns the item as the subresource shows it.
func project(sub *resource.Subresource, it *watchcache.Item) (*watchcache.Item, error) {
	if sub == nil || sub.Project == nil {
		return it, nil
	}
	body, err := projectObject(sub, it.Object)
	if err != nil {
		return nil, err
	}
	return watchcache.NewItem(it.Key, body, it.Revision), nil
}

func projectObject(sub *resource.Subresource, obj api.Object) (api.Object, error) {
	body, err := sub.Project(obj)
	if err != nil {
		return nil, apierrors.NewInternalError(fmt.Errorf("making %s of %s: %w", sub.Name, obj.GetName(), err))
	}
	return asObject(body)
}

// asObject is for bodies of subresources, all of which have metadata.
func asObject(body runtime.Object) (api.Object, error) {
	obj, ok := body.(api.Object)
	if !ok {
		return nil, apierrors.NewInternalError(fmt.Errorf("%T has no metadata", body))
	}
	return obj, nil
}
