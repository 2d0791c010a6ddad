package rest

import (
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/miniorch/miniorch/apiserver/storage/watchcache"
	"github.com/miniorch/miniorch/pkg/api"
)

// view returns it as this version shows it: itself, unless the resource is a view.
func (s *Store) view(it *watchcache.Item) (*watchcache.Item, error) {
	if s.desc.View == nil || it == nil {
		return it, nil
	}
	obj, err := s.desc.View.From(it.Object)
	if err != nil {
		return nil, apierrors.NewInternalError(fmt.Errorf("converting %s to %s: %w", it.Key, s.desc.GVK(), err))
	}
	clearType(obj)
	return watchcache.NewItem(it.Key, obj, it.Revision), nil
}

// stored returns what is stored for obj, which is of this version.
func (s *Store) stored(obj api.Object) (api.Object, error) {
	if s.desc.View == nil {
		return obj, nil
	}
	to, err := s.desc.View.To(obj)
	if err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("converting %s %q for storage: %v", s.desc.Kind, obj.GetName(), err))
	}
	return to, nil
}
