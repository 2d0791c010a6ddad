package clienttest

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/apimachinery/pkg/watch"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
)

// selection is what a list or watch asks for.
type selection struct {
	req    client.Request
	labels labels.Selector
	fields fields.Selector
}

func newSelection(req client.Request, opts metav1.ListOptions) (selection, error) {
	l, err := labels.Parse(opts.LabelSelector)
	if err != nil {
		return selection{}, apierrors.NewBadRequest(err.Error())
	}
	f, err := fields.ParseSelector(opts.FieldSelector)
	if err != nil {
		return selection{}, apierrors.NewBadRequest(err.Error())
	}
	return selection{req: req, labels: l, fields: f}, nil
}

func (s selection) matches(obj api.Object) bool {
	if s.req.Namespace != "" && s.req.Namespace != obj.GetNamespace() || !s.labels.Matches(labels.Set(obj.GetLabels())) {
		return false
	}
	if s.fields.Empty() {
		return true
	}
	m, err := toMap(obj)
	if err != nil {
		return false
	}
	set := fields.Set{}
	for _, r := range s.fields.Requirements() {
		set[r.Field] = fieldOf(m, r.Field)
	}
	return s.fields.Matches(set)
}

func fieldOf(m map[string]any, path string) string {
	var at any = m
	for _, step := range strings.Split(path, ".") {
		sub, ok := at.(map[string]any)
		if !ok {
			return ""
		}
		at = sub[step]
	}
	if at == nil {
		return ""
	}
	return fmt.Sprint(at)
}

// watcher is one stream. Its queue has no bound: this is for tests.
type watcher struct {
	sel   selection
	out   chan watch.Event
	wake  chan struct{}
	ended chan struct{}
	once  sync.Once

	mu    sync.Mutex
	queue []watch.Event // guarded by mu
}

// ResultChan returns the events.
func (w *watcher) ResultChan() <-chan watch.Event { return w.out }

// Stop ends the stream.
func (w *watcher) Stop() { w.once.Do(func() { close(w.ended) }) }

func (w *watcher) push(ev watch.Event) {
	w.mu.Lock()
	w.queue = append(w.queue, ev)
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *watcher) run(ctx context.Context) {
	defer close(w.out)
	for {
		w.mu.Lock()
		queue := w.queue
		w.queue = nil
		w.mu.Unlock()
		for _, ev := range queue {
			select {
			case w.out <- ev:
			case <-w.ended:
				return
			case <-ctx.Done():
				return
			}
		}
		if len(queue) > 0 {
			continue
		}
		select {
		case <-w.wake:
		case <-w.ended:
			return
		case <-ctx.Done():
			return
		}
	}
}

// Watch streams changes, after the objects that are there already if they are asked for.
func (s *Server) Watch(ctx context.Context, req client.Request, opts metav1.ListOptions) (watch.Interface, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.failure("watch", req); err != nil {
		return nil, err
	}
	sel, err := newSelection(req, opts)
	if err != nil {
		return nil, err
	}
	w := &watcher{sel: sel, out: make(chan watch.Event), wake: make(chan struct{}, 1), ended: make(chan struct{})}
	if err := s.begin(w, opts); err != nil {
		return nil, err
	}
	s.watchers[w] = true
	go func() {
		w.run(ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers, w)
	}()
	return w, nil
}

// begin queues what comes before the live changes.
func (s *Server) begin(w *watcher, opts metav1.ListOptions) error {
	initial := opts.SendInitialEvents != nil && *opts.SendInitialEvents
	if !initial && opts.ResourceVersion != "" && opts.ResourceVersion != "0" {
		after, err := strconv.ParseInt(opts.ResourceVersion, 10, 64)
		if err != nil {
			return apierrors.NewBadRequest(err.Error())
		}
		if after < s.oldest {
			return apierrors.NewResourceExpired(fmt.Sprintf("too old resource version: %d (%d)", after, s.oldest))
		}
		for _, c := range s.history {
			if c.revision > after {
				w.consider(c)
			}
		}
		return nil
	}
	for _, o := range s.selected(w.sel) {
		w.push(watch.Event{Type: watch.Added, Object: o})
	}
	if initial {
		mark := newLike(w.sel.req.Resource)
		mark.SetResourceVersion(version(s.revision))
		mark.SetAnnotations(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
		w.push(watch.Event{Type: watch.Bookmark, Object: mark})
	}
	return nil
}

// newLike returns an empty object of r's kind.
func newLike(r api.Resource) api.Object {
	if obj, err := api.Scheme.New(r.GVK()); err == nil {
		return obj.(api.Object)
	}
	return &metav1.PartialObjectMetadata{}
}

func (w *watcher) consider(c change) {
	if c.resource != w.sel.req.Resource {
		return
	}
	if ev, ok := deliver(w.sel, c); ok {
		w.push(ev)
	}
}

func (s *Server) publish(c change) {
	s.history = append(s.history, c)
	for w := range s.watchers {
		w.consider(c)
	}
}

func (s *Server) dropLocked(w *watcher) {
	delete(s.watchers, w)
	w.Stop()
}

// Patch applies a JSON, merge or strategic merge patch to an object or its status.
func (s *Server) Patch(_ context.Context, req client.Request, pt types.PatchType, data []byte, _ metav1.PatchOptions) (api.Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.failure("patch", req); err != nil {
		return nil, err
	}
	st, err := s.find(req)
	if err != nil {
		return nil, err
	}
	before, err := json.Marshal(st.obj)
	if err != nil {
		return nil, fmt.Errorf("encoding %T: %w", st.obj, err)
	}
	after, err := patched(pt, before, data, st.obj)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	next, err := fromJSON(after, st.obj)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	if next.GetUID() != st.obj.GetUID() || next.GetResourceVersion() != st.obj.GetResourceVersion() {
		return nil, apierrors.NewConflict(req.Resource.GroupResource(), req.Name, fmt.Errorf("the precondition in the patch does not hold"))
	}
	return s.replace(req, st.obj, next)
}

func patched(pt types.PatchType, before, data []byte, like api.Object) ([]byte, error) {
	switch pt {
	case types.JSONPatchType:
		p, err := jsonpatch.DecodePatch(data)
		if err != nil {
			return nil, err
		}
		return p.Apply(before)
	case types.MergePatchType:
		return jsonpatch.MergePatch(before, data)
	case types.StrategicMergePatchType:
		return strategicpatch.StrategicMergePatch(before, data, like)
	}
	return nil, fmt.Errorf("patches of type %q are not known here", pt)
}

func fromJSON(raw []byte, like api.Object) (api.Object, error) {
	next := reflect.New(reflect.TypeOf(like).Elem()).Interface().(api.Object)
	if err := json.Unmarshal(raw, next); err != nil {
		return nil, fmt.Errorf("decoding %T: %w", like, err)
	}
	return next, nil
}
