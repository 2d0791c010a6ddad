// Package client is how every component talks to the API: a typed, generic client
// over a Transport, informers that keep a local view up to date, an event recorder and
// leader election. Two transports exist: HTTP (this package) and in-process (made by the
// API server, which implements Transport without serializing anything).
package client

import (
	"context"
	"net/url"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/miniorch/miniorch/pkg/api"
)

// Request says what a call is about. Name is empty for collections, Subresource for the
// object itself.
type Request struct {
	Resource    api.Resource
	Namespace   string
	Name        string
	Subresource string
}

// List is one page of a collection, at one resourceVersion.
type List struct {
	metav1.ListMeta
	Items []api.Object
}

// Transport carries API calls. Objects that it returns may be shared with others (the
// in-process transport hands out the watch cache's own): they are read-only. Objects
// that are passed in belong to the transport from then on. Errors are
// *apierrors.StatusError wherever the API server answered. All methods are safe for
// concurrent use.
type Transport interface {
	Get(ctx context.Context, req Request, opts metav1.GetOptions) (api.Object, error)
	List(ctx context.Context, req Request, opts metav1.ListOptions) (*List, error)
	// Watch honours opts.SendInitialEvents and bookmarks. The stream ends (its channel is
	// closed) when ctx ends, when Stop is called, or when the watcher was too slow.
	Watch(ctx context.Context, req Request, opts metav1.ListOptions) (watch.Interface, error)
	// Create with a Subresource posts obj there (pods/binding, pods/eviction,
	// serviceaccounts/token); obj and the result are then of the subresource's kind,
	// and runtime.Object may be what is returned, so it is wrapped by the caller.
	Create(ctx context.Context, req Request, obj api.Object, opts metav1.CreateOptions) (api.Object, error)
	Update(ctx context.Context, req Request, obj api.Object, opts metav1.UpdateOptions) (api.Object, error)
	Patch(ctx context.Context, req Request, pt types.PatchType, data []byte, opts metav1.PatchOptions) (api.Object, error)
	Delete(ctx context.Context, req Request, opts metav1.DeleteOptions) error
	DeleteCollection(ctx context.Context, req Request, opts metav1.DeleteOptions, list metav1.ListOptions) error
	// Raw reads a path that is no resource known here, as JSON: of groups that others serve behind the API server.
	Raw(ctx context.Context, path string, query url.Values) ([]byte, error)
	// Resources lists every resource that is stored once, at its preferred version, with those
	// added at run time. Subresources, and what is computed on demand, are not listed.
	Resources(ctx context.Context) ([]api.Resource, error)
}
