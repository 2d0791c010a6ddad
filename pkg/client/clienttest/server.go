package clienttest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
)

// Server is a client.Transport over a map. It keeps the rules that clients live by:
// revisions, conflicts, unique names, watches that miss nothing, selectors, deletion that
// waits for finalizers. It does not default, validate, admit or authorize, and deletion is
// never graceful.
type Server struct {
	mu       sync.Mutex
	revision int64                            // guarded by mu
	objects  map[api.Resource]map[key]*stored // guarded by mu
	history  []change                         // guarded by mu; what watches resume from
	oldest   int64                            // guarded by mu: watches after an earlier revision are refused
	watchers map[*watcher]bool                // guarded by mu
	fail     func(verb string, req client.Request) error
}

type key struct{ ns, name string }

type stored struct {
	obj      api.Object
	revision int64
}

// change is one revision; before or after is nil for a creation or a deletion.
type change struct {
	resource      api.Resource
	revision      int64
	before, after api.Object
	last          api.Object // what a deletion event shows
}

// NewServer returns a server that holds objs.
func NewServer(t testing.TB, objs ...api.Object) *Server {
	t.Helper()
	s := &Server{objects: make(map[api.Resource]map[key]*stored), watchers: make(map[*watcher]bool)}
	for _, o := range objs {
		r, ok := api.ResourceOf(o)
		if !ok {
			t.Fatalf("%T is not in the roster", o)
		}
		if _, err := s.Create(t.Context(), client.Request{Resource: r, Namespace: o.GetNamespace()}, o, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// FailWith makes every call whose verb and request f returns an error for fail with it.
func (s *Server) FailWith(f func(verb string, req client.Request) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = f
}

// Compact forgets history, so that watches from earlier revisions are refused with 410.
func (s *Server) Compact() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.history, s.oldest = nil, s.revision
}

// BreakWatches ends all streams, as a restarting server does.
func (s *Server) BreakWatches() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.watchers {
		s.dropLocked(w)
	}
}

func (s *Server) failure(verb string, req client.Request) error {
	if s.fail == nil {
		return nil
	}
	return s.fail(verb, req)
}

// Get reads one object.
func (s *Server) Get(_ context.Context, req client.Request, _ metav1.GetOptions) (api.Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.failure("get", req); err != nil {
		return nil, err
	}
	st, err := s.find(req)
	if err != nil {
		return nil, err
	}
	return st.obj, nil
}

func (s *Server) find(req client.Request) (*stored, error) {
	st := s.objects[req.Resource][key{req.Namespace, req.Name}]
	if st == nil {
		return nil, apierrors.NewNotFound(req.Resource.GroupResource(), req.Name)
	}
	return st, nil
}

// List reads a whole collection; it knows no pages.
func (s *Server) List(_ context.Context, req client.Request, opts metav1.ListOptions) (*client.List, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.failure("list", req); err != nil {
		return nil, err
	}
	sel, err := newSelection(req, opts)
	if err != nil {
		return nil, err
	}
	list := &client.List{Items: s.selected(sel)}
	list.ResourceVersion = version(s.revision)
	return list, nil
}

func (s *Server) selected(sel selection) []api.Object {
	var out []api.Object
	all := s.objects[sel.req.Resource]
	for _, k := range slices.SortedFunc(maps.Keys(all), func(a, b key) int {
		if a.ns != b.ns {
			return compare(a.ns, b.ns)
		}
		return compare(a.name, b.name)
	}) {
		if sel.matches(all[k].obj) {
			out = append(out, all[k].obj)
		}
	}
	return out
}

func compare(a, b string) int {
	if a < b {
		return -1
	}
	return 1
}

// Create stores a new object, or serves pods/binding.
func (s *Server) Create(_ context.Context, req client.Request, obj api.Object, _ metav1.CreateOptions) (api.Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.failure("create", req); err != nil {
		return nil, err
	}
	if b, ok := obj.(*corev1.Binding); ok && req.Subresource == "binding" {
		return obj, s.bind(req, b)
	}
	if req.Subresource != "" {
		return nil, apierrors.NewMethodNotSupported(req.Resource.GroupResource(), "create "+req.Subresource)
	}
	obj = obj.DeepCopyObject().(api.Object)
	if obj.GetName() == "" && obj.GetGenerateName() != "" {
		obj.SetName(fmt.Sprintf("%s%05d", obj.GetGenerateName(), s.revision+1))
	}
	obj.SetNamespace(req.Namespace)
	if s.objects[req.Resource][key{req.Namespace, obj.GetName()}] != nil {
		return nil, apierrors.NewAlreadyExists(req.Resource.GroupResource(), obj.GetName())
	}
	if obj.GetUID() == "" {
		obj.SetUID(types.UID(fmt.Sprintf("uid-%d", s.revision+1)))
	}
	obj.SetGeneration(1)
	return s.put(req.Resource, nil, obj), nil
}

func (s *Server) bind(req client.Request, b *corev1.Binding) error {
	st, err := s.find(client.Request{Resource: req.Resource, Namespace: req.Namespace, Name: b.Name})
	if err != nil {
		return err
	}
	pod := st.obj.DeepCopyObject().(*corev1.Pod)
	if pod.Spec.NodeName != "" {
		return apierrors.NewConflict(req.Resource.GroupResource(), b.Name, fmt.Errorf("pod is already assigned to node %q", pod.Spec.NodeName))
	}
	pod.Spec.NodeName = b.Target.Name
	s.put(req.Resource, st.obj, pod)
	return nil
}

// Update replaces an object, or with subresource "status" its status.
func (s *Server) Update(_ context.Context, req client.Request, obj api.Object, _ metav1.UpdateOptions) (api.Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.failure("update", req); err != nil {
		return nil, err
	}
	st, err := s.find(req)
	if err != nil {
		return nil, err
	}
	if rv := obj.GetResourceVersion(); rv != "" && rv != st.obj.GetResourceVersion() {
		return nil, apierrors.NewConflict(req.Resource.GroupResource(), req.Name, fmt.Errorf("the object has been modified"))
	}
	return s.replace(req, st.obj, obj)
}

// replace stores what endpoint req lets obj change of old.
func (s *Server) replace(req client.Request, old, obj api.Object) (api.Object, error) {
	was, err := toMap(old)
	if err != nil {
		return nil, err
	}
	is, err := toMap(obj)
	if err != nil {
		return nil, err
	}
	if req.Subresource == "status" {
		is, was = was, is
	}
	delete(is, "status")
	if st, ok := was["status"]; ok {
		is["status"] = st
	}
	next, err := fromMap(is, old)
	if err != nil {
		return nil, err
	}
	next.SetUID(old.GetUID())
	return s.put(req.Resource, old, next), nil
}

// Delete removes an object, at once or when its finalizers are gone.
func (s *Server) Delete(_ context.Context, req client.Request, opts metav1.DeleteOptions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.failure("delete", req); err != nil {
		return err
	}
	st, err := s.find(req)
	if err != nil {
		return err
	}
	if p := opts.Preconditions; p != nil {
		if p.UID != nil && *p.UID != st.obj.GetUID() || p.ResourceVersion != nil && *p.ResourceVersion != st.obj.GetResourceVersion() {
			return apierrors.NewConflict(req.Resource.GroupResource(), req.Name, fmt.Errorf("the precondition does not hold"))
		}
	}
	s.remove(req.Resource, st)
	return nil
}

// DeleteCollection removes what list selects.
func (s *Server) DeleteCollection(_ context.Context, req client.Request, _ metav1.DeleteOptions, list metav1.ListOptions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.failure("deletecollection", req); err != nil {
		return err
	}
	sel, err := newSelection(req, list)
	if err != nil {
		return err
	}
	for _, o := range s.selected(sel) {
		s.remove(req.Resource, s.objects[req.Resource][key{o.GetNamespace(), o.GetName()}])
	}
	return nil
}

func (s *Server) remove(r api.Resource, st *stored) {
	if len(st.obj.GetFinalizers()) > 0 {
		if st.obj.GetDeletionTimestamp() == nil {
			next, now := st.obj.DeepCopyObject().(api.Object), metav1.Now()
			next.SetDeletionTimestamp(&now)
			s.put(r, st.obj, next)
		}
		return
	}
	s.drop(r, st.obj)
}

// put stores obj at the next revision and tells the watchers. An object that waits for its
// deletion goes when its last finalizer does.
func (s *Server) put(r api.Resource, old, obj api.Object) api.Object {
	if old != nil && obj.GetDeletionTimestamp() != nil && len(obj.GetFinalizers()) == 0 {
		s.drop(r, old)
		return obj
	}
	s.revision++
	obj.SetResourceVersion(version(s.revision))
	if s.objects[r] == nil {
		s.objects[r] = make(map[key]*stored)
	}
	s.objects[r][key{obj.GetNamespace(), obj.GetName()}] = &stored{obj: obj, revision: s.revision}
	s.publish(change{resource: r, revision: s.revision, before: old, after: obj})
	return obj
}

func (s *Server) drop(r api.Resource, obj api.Object) {
	s.revision++
	delete(s.objects[r], key{obj.GetNamespace(), obj.GetName()})
	last := obj.DeepCopyObject().(api.Object)
	last.SetResourceVersion(version(s.revision))
	s.publish(change{resource: r, revision: s.revision, before: obj, last: last})
}

// Resources lists the roster.
func (s *Server) Resources(context.Context) ([]api.Resource, error) { return api.Resources(), nil }

func version(r int64) string { return strconv.FormatInt(r, 10) }

func toMap(obj any) (m map[string]any, err error) {
	raw, err := json.Marshal(obj)
	if err != nil {
		return nil, fmt.Errorf("encoding %T: %w", obj, err)
	}
	return m, json.Unmarshal(raw, &m)
}

func fromMap(m map[string]any, like api.Object) (api.Object, error) {
	raw, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encoding %T: %w", like, err)
	}
	return fromJSON(raw, like)
}

var _ client.Transport = (*Server)(nil)

// Raw implements client.Transport: nothing is served but resources.
func (s *Server) Raw(_ context.Context, path string, _ url.Values) ([]byte, error) {
	return nil, apierrors.NewGenericServerResponse(http.StatusNotFound, "get", schema.GroupResource{}, path, "", 0, true)
}

// deliver is what one change means to one watcher.
func deliver(sel selection, c change) (watch.Event, bool) {
	was := c.before != nil && sel.matches(c.before)
	is := c.after != nil && sel.matches(c.after)
	switch {
	case is && was:
		return watch.Event{Type: watch.Modified, Object: c.after}, true
	case is:
		return watch.Event{Type: watch.Added, Object: c.after}, true
	case was && c.after != nil: // it left the selection
		last := c.before.DeepCopyObject().(api.Object)
		last.SetResourceVersion(c.after.GetResourceVersion())
		return watch.Event{Type: watch.Deleted, Object: last}, true
	case was:
		return watch.Event{Type: watch.Deleted, Object: c.last}, true
	}
	return watch.Event{}, false
}
