package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/miniorch/miniorch/pkg/api"
)

const (
	reconnectMin = 50 * time.Millisecond // a restarting API server is back in less than a second
	reconnectMax = 10 * time.Second
	listPage     = 1000
)

// errStreamEnded says that the server closed a watch in good order.
var errStreamEnded = errors.New("the watch ended")

// reflector keeps a view equal to what the API server has: one streaming list, then
// changes for as long as the server sends them; a broken stream is resumed after the last
// resourceVersion seen, and listed anew when that is too old.
type reflector struct {
	transport Transport
	view      *view
	cfg       Config

	version   string // resume after it; empty: list
	plainList bool   // the server has no streaming lists
}

func (r *reflector) run(ctx context.Context) {
	log := r.cfg.Logger.With("resource", r.view.id.resource.String())
	wait := backoff{min: reconnectMin, max: reconnectMax, rand: r.cfg.Rand}
	for ctx.Err() == nil {
		before, began := r.version, r.cfg.Clock.Now()
		err := r.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		if r.version != before || r.cfg.Clock.Since(began) > reconnectMax {
			wait.Reset() // it made progress, or it was just quiet for long
		}
		switch {
		case apierrors.IsResourceExpired(err) || apierrors.IsGone(err):
			log.Debug("resource version is too old, listing anew", "version", r.version)
			r.version = ""
		case errors.Is(err, errStreamEnded):
			log.Debug("watch ended, resuming", "version", r.version)
		default:
			log.Warn("cannot watch, will retry", "version", r.version, "error", err)
		}
		sleep(ctx, r.cfg.Clock, wait.Next())
	}
}

// follow lists if it must and watches until the stream breaks.
func (r *reflector) follow(ctx context.Context) error {
	opts := r.options()
	opts.AllowWatchBookmarks = true
	switch {
	case r.version != "":
		opts.ResourceVersion = r.version
	case r.plainList:
		if err := r.list(ctx); err != nil {
			return err
		}
		opts.ResourceVersion = r.version
	default:
		yes := true
		opts.SendInitialEvents = &yes
		opts.ResourceVersionMatch = metav1.ResourceVersionMatchNotOlderThan
	}
	w, err := r.transport.Watch(ctx, r.request(), opts)
	if err != nil && opts.SendInitialEvents != nil && refusesStreaming(err) {
		r.plainList = true
		return r.follow(ctx)
	}
	if err != nil {
		return err
	}
	defer w.Stop()
	return r.consume(w, opts.SendInitialEvents != nil)
}

// refusesStreaming reports whether the server does not know sendInitialEvents.
func refusesStreaming(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || apierrors.IsMethodNotSupported(err)
}

// consume applies events. While initial is set they are collected, up to the bookmark
// that ends them.
func (r *reflector) consume(w watch.Interface, initial bool) error {
	collected := make(map[[2]string]api.Object)
	for ev := range w.ResultChan() {
		if ev.Type == watch.Error {
			return apierrors.FromObject(ev.Object)
		}
		obj, ok := ev.Object.(api.Object)
		if !ok {
			return fmt.Errorf("the watch delivered %T", ev.Object)
		}
		if initial {
			initial = !collect(collected, ev.Type, obj)
			if initial {
				continue
			}
			r.view.replace(slices.Collect(maps.Values(collected)))
			collected = nil
		} else if err := r.apply(ev.Type, obj); err != nil {
			return err
		}
		r.version = obj.GetResourceVersion()
	}
	return errStreamEnded
}

// collect adds one event to the objects of a streaming list and reports whether it was the
// last. What changes while the list streams comes as a change.
func collect(into map[[2]string]api.Object, t watch.EventType, obj api.Object) (last bool) {
	key := [2]string{obj.GetNamespace(), obj.GetName()}
	switch t {
	case watch.Added, watch.Modified:
		into[key] = obj
	case watch.Deleted:
		delete(into, key)
	case watch.Bookmark:
		return obj.GetAnnotations()[metav1.InitialEventsAnnotationKey] == "true"
	}
	return false
}

func (r *reflector) apply(t watch.EventType, obj api.Object) error {
	switch t {
	case watch.Added, watch.Modified:
		r.view.set(obj)
	case watch.Deleted:
		r.view.remove(obj.GetNamespace(), obj.GetName())
	case watch.Bookmark:
	default:
		return fmt.Errorf("the watch delivered an event of type %q", t)
	}
	return nil
}

// list is the way of servers without streaming lists.
func (r *reflector) list(ctx context.Context) error {
	opts := r.options()
	opts.Limit = listPage
	objs, version, err := Dynamic(r.transport, r.view.id.resource).List(ctx, r.view.id.namespace, opts)
	if err != nil {
		return err
	}
	r.view.replace(objs)
	r.version = version
	return nil
}

func (r *reflector) options() metav1.ListOptions {
	return metav1.ListOptions{LabelSelector: r.view.id.label, FieldSelector: r.view.id.fld}
}

func (r *reflector) request() Request {
	return Request{Resource: r.view.id.resource, Namespace: r.view.id.namespace}
}
