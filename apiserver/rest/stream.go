package rest

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/miniorch/miniorch/pkg/api"
)

// stream is a Watch as clients in the process see it.
type stream struct {
	cancel context.CancelFunc
	events chan watch.Event
}

// ResultChan implements watch.Interface.
func (s *stream) ResultChan() <-chan watch.Event { return s.events }

// Stop implements watch.Interface.
func (s *stream) Stop() { s.cancel() }

// run passes events on until the watch or ctx ends.
func (s *stream) run(ctx context.Context, w *Watch) {
	defer s.cancel()
	defer close(s.events)
	defer w.Stop()
	for {
		e, err := w.Next(ctx)
		if err != nil {
			return
		}
		select {
		case s.events <- w.store.clientEvent(e):
		case <-ctx.Done():
			return
		}
	}
}

// clientEvent gives an event the object that clients expect in it.
func (s *Store) clientEvent(e Event) watch.Event {
	switch e.Type {
	case watch.Error:
		status := e.Err.Status()
		return watch.Event{Type: watch.Error, Object: &status}
	case watch.Bookmark:
		return watch.Event{Type: watch.Bookmark, Object: s.Bookmark(e)}
	}
	return watch.Event{Type: e.Type, Object: e.Item.Object}
}

// Bookmark returns the object of a Bookmark event: one of the resource's kind that has
// nothing but a resourceVersion, and the mark of the end of the initial events.
func (s *Store) Bookmark(e Event) api.Object {
	obj := s.desc.New()
	obj.SetResourceVersion(e.ResourceVersion)
	if e.InitialEventsEnd {
		obj.SetAnnotations(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
	}
	return obj
}
