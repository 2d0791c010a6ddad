package client

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/miniorch/miniorch/pkg/api"
)

// Client reads and writes one resource as the Go type T. It is a small value: make one
// where it is needed.
type Client[T api.Object] struct {
	transport Transport
	resource  api.Resource
}

// Of returns the client for T's resource: client.Of[*corev1.Pod](transport).
func Of[T api.Object](t Transport) Client[T] {
	return Client[T]{transport: t, resource: api.ResourceFor[T]()}
}

// Dynamic returns a client for a resource that is only known at run time.
func Dynamic(t Transport, r api.Resource) Client[api.Object] {
	return Client[api.Object]{transport: t, resource: r}
}

// Resource returns the resource that c speaks about.
func (c Client[T]) Resource() api.Resource { return c.resource }

// Get reads one object. The zero ResourceVersion asks for a consistent read.
func (c Client[T]) Get(ctx context.Context, ns, name string) (T, error) {
	return as[T](c.transport.Get(ctx, c.request(ns, name, ""), metav1.GetOptions{}))
}

// List reads a collection page by page and returns all of it, with the
// resourceVersion of its first page.
func (c Client[T]) List(ctx context.Context, ns string, opts metav1.ListOptions) ([]T, string, error) {
	var items []T
	var rv string
	for {
		page, err := c.transport.List(ctx, c.request(ns, "", ""), opts)
		if err != nil {
			return nil, "", err
		}
		if rv == "" {
			rv = page.ResourceVersion
		}
		for _, it := range page.Items {
			obj, err := as[T](it, nil)
			if err != nil {
				return nil, "", err
			}
			items = append(items, obj)
		}
		if page.Continue == "" {
			return items, rv, nil
		}
		opts.Continue, opts.ResourceVersion, opts.ResourceVersionMatch = page.Continue, "", ""
	}
}

// Watch streams changes of a collection.
func (c Client[T]) Watch(ctx context.Context, ns string, opts metav1.ListOptions) (watch.Interface, error) {
	return c.transport.Watch(ctx, c.request(ns, "", ""), opts)
}

// Create stores a new object in obj's namespace.
func (c Client[T]) Create(ctx context.Context, obj T) (T, error) {
	return as[T](c.transport.Create(ctx, c.request(obj.GetNamespace(), "", ""), obj, metav1.CreateOptions{}))
}

// Update replaces an object; obj's resourceVersion is the precondition.
func (c Client[T]) Update(ctx context.Context, obj T) (T, error) {
	return as[T](c.transport.Update(ctx, c.request(obj.GetNamespace(), obj.GetName(), ""), obj, metav1.UpdateOptions{}))
}

// UpdateStatus replaces an object's status; obj's resourceVersion is the precondition.
func (c Client[T]) UpdateStatus(ctx context.Context, obj T) (T, error) {
	return as[T](c.transport.Update(ctx, c.request(obj.GetNamespace(), obj.GetName(), "status"), obj, metav1.UpdateOptions{}))
}

// Patch changes part of an object; subresource is "" or, for instance, "status".
func (c Client[T]) Patch(ctx context.Context, ns, name string, pt types.PatchType, data []byte, subresource string) (T, error) {
	return as[T](c.transport.Patch(ctx, c.request(ns, name, subresource), pt, data, metav1.PatchOptions{}))
}

// Delete removes an object, or starts its graceful deletion.
func (c Client[T]) Delete(ctx context.Context, ns, name string, opts metav1.DeleteOptions) error {
	return c.transport.Delete(ctx, c.request(ns, name, ""), opts)
}

// DeleteCollection removes what list selects.
func (c Client[T]) DeleteCollection(ctx context.Context, ns string, opts metav1.DeleteOptions, list metav1.ListOptions) error {
	return c.transport.DeleteCollection(ctx, c.request(ns, "", ""), opts, list)
}

func (c Client[T]) request(ns, name, subresource string) Request {
	return Request{Resource: c.resource, Namespace: ns, Name: name, Subresource: subresource}
}

func as[T api.Object](obj api.Object, err error) (T, error) {
	var zero T
	if err != nil {
		return zero, err
	}
	t, ok := obj.(T)
	if !ok {
		return zero, fmt.Errorf("the transport returned %T where %T was asked for", obj, zero)
	}
	return t, nil
}
