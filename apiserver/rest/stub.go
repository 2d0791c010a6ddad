package rest

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/apiserver/storage/watchcache"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
)

// Watch is a running watch; read it with Next or Events.
type Watch struct{}

func (w *Watch) Next(ctx context.Context) (Event, error) { panic("stub") }
func (w *Watch) Events() <-chan Event                    { panic("stub") }
func (w *Watch) Err() error                              { panic("stub") }
func (w *Watch) Stop()                                   { panic("stub") }

func (s *Store) Get(ctx context.Context, ns, name string, opts metav1.GetOptions) (*watchcache.Item, error) {
	panic("stub")
}

// GetSubresource reads what a subresource shows of an object: the object itself for
// status, a projection of it for scale.
func (s *Store) GetSubresource(ctx context.Context, ns, name, subresource string, opts metav1.GetOptions) (*watchcache.Item, error) {
	panic("stub")
}
func (s *Store) List(ctx context.Context, ns string, opts metav1.ListOptions) (*ListResult, error) {
	panic("stub")
}
func (s *Store) Watch(ctx context.Context, ns string, opts metav1.ListOptions) (*Watch, error) {
	panic("stub")
}
func (s *Store) Create(ctx context.Context, ns string, obj api.Object, opts metav1.CreateOptions) (*watchcache.Item, error) {
	panic("stub")
}

// CreateSubresource posts body to an object's subresource: binding, token.
func (s *Store) CreateSubresource(ctx context.Context, ns, name, subresource string, body api.Object, opts metav1.CreateOptions) (api.Object, error) {
	panic("stub")
}

// Update on a subresource with a body of its own (scale) gives update that body and
// returns an item with that body.
func (s *Store) Update(ctx context.Context, ns, name, subresource string, update UpdateFunc, opts UpdateOptions) (item *watchcache.Item, created bool, err error) {
	panic("stub")
}
func (s *Store) Patch(ctx context.Context, ns, name, subresource string, pt types.PatchType, data []byte, opts metav1.PatchOptions) (*watchcache.Item, error) {
	panic("stub")
}
func (s *Store) Delete(ctx context.Context, ns, name string, opts metav1.DeleteOptions) (item *watchcache.Item, deleted bool, err error) {
	panic("stub")
}
func (s *Store) DeleteCollection(ctx context.Context, ns string, opts metav1.DeleteOptions, list metav1.ListOptions) ([]*watchcache.Item, error) {
	panic("stub")
}
func (r *Registry) Client(user auth.User) client.Transport          { panic("stub") }
func (s *Store) sweep(ctx context.Context) error                    { panic("stub") }
func (s *Store) view(it *watchcache.Item) (*watchcache.Item, error) { panic("stub") }
