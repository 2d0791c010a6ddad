package client

import (
	"context"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/miniorch/miniorch/pkg/api"
)

// Handler is told of every change that an informer sees, in order, one call at a time.
// old is T's zero value for an object that is new, obj is zero for one that is gone.
// Handlers must not block: they put keys into queues.
type Handler[T api.Object] func(old, obj T)

// IndexFunc returns the values under which obj is found in an index.
type IndexFunc[T api.Object] func(obj T) []string

// Informers is the set of informers of one process: one per resource, shared by all
// who ask for it. Get them with InformerFor before Run.
type Informers struct {
	transport Transport
}

// Informer keeps the local view of one resource: all objects, by namespace and name and
// by index, updated by a watch.
type Informer[T api.Object] struct{}

// Stub signatures; the bodies follow.

func InformerFor[T api.Object](f *Informers) *Informer[T]      { panic("stub") }
func (f *Informers) Run(ctx context.Context) error             { panic("stub") }
func (f *Informers) WaitForSync(ctx context.Context) error     { panic("stub") }
func (i *Informer[T]) Handle(h Handler[T])                     { panic("stub") }
func (i *Informer[T]) Index(name string, f IndexFunc[T])       { panic("stub") }
func (i *Informer[T]) Get(ns, name string) (T, bool)           { panic("stub") }
func (i *Informer[T]) List(ns string, sel labels.Selector) []T { panic("stub") }
func (i *Informer[T]) ByIndex(name, value string) []T          { panic("stub") }
func (i *Informer[T]) Synced() bool                            { panic("stub") }
