package clienttest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
)

// TestTransport is what every client.Transport must do, whatever carries it. It works with
// ConfigMaps in the namespace "default", which must exist if the server cares.
func TestTransport(t *testing.T, transport client.Transport) {
	s := &suite{T: t, maps: client.Of[*corev1.ConfigMap](transport), transport: transport}
	t.Run("objects", func(t *testing.T) { s.on(t).objects() })
	t.Run("errors", func(t *testing.T) { s.on(t).errors() })
	t.Run("patches", func(t *testing.T) { s.on(t).patches() })
	t.Run("lists", func(t *testing.T) { s.on(t).lists() })
	t.Run("watches", func(t *testing.T) { s.on(t).watches() })
	t.Run("streaming lists", func(t *testing.T) { s.on(t).streamingLists() })
	t.Run("resources", func(t *testing.T) { s.on(t).resources() })
	t.Run("informers", func(t *testing.T) { s.on(t).informers() })
}

type suite struct {
	*testing.T
	maps      client.Client[*corev1.ConfigMap]
	transport client.Transport
}

func (s *suite) on(t *testing.T) *suite { return &suite{t, s.maps, s.transport} }

func (s *suite) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// create makes a ConfigMap; kv are its labels.
func (s *suite) create(name string, kv ...string) *corev1.ConfigMap {
	s.Helper()
	labels := map[string]string{}
	for i := 0; i+1 < len(kv); i += 2 {
		labels[kv[i]] = kv[i+1]
	}
	m, err := s.maps.Create(s.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Labels: labels},
		Data:       map[string]string{"k": "v"},
	})
	s.must(err)
	return m
}

func (s *suite) delete(name string) {
	s.Helper()
	s.must(s.maps.Delete(s.Context(), "default", name, metav1.DeleteOptions{}))
}

func (s *suite) objects() {
	made := s.create("objects")
	if made.UID == "" || made.ResourceVersion == "" || made.Data["k"] != "v" {
		s.Errorf("created: %+v", made)
	}
	got, err := s.maps.Get(s.Context(), "default", "objects")
	s.must(err)
	if got.UID != made.UID || got.ResourceVersion != made.ResourceVersion {
		s.Errorf("got %+v, made %+v", got.ObjectMeta, made.ObjectMeta)
	}
	next := got.DeepCopy()
	next.Data["k"] = "w"
	after, err := s.maps.Update(s.Context(), next.DeepCopy())
	s.must(err)
	if after.Data["k"] != "w" || after.ResourceVersion == made.ResourceVersion || after.UID != made.UID {
		s.Errorf("updated: %+v", after)
	}
	if _, err := s.maps.Update(s.Context(), next); !apierrors.IsConflict(err) {
		s.Errorf("an update of an old version ends with %v, want a conflict", err)
	}
	s.delete("objects")
	if _, err := s.maps.Get(s.Context(), "default", "objects"); !apierrors.IsNotFound(err) {
		s.Errorf("a deleted object is read with %v", err)
	}
}

func (s *suite) errors() {
	made := s.create("errors")
	defer s.delete("errors")
	_, err := s.maps.Create(s.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "errors"}})
	if !apierrors.IsAlreadyExists(err) {
		s.Errorf("a second creation ends with %v", err)
	}
	err = s.maps.Delete(s.Context(), "default", "nobody", metav1.DeleteOptions{})
	if !apierrors.IsNotFound(err) || err.Error() != `configmaps "nobody" not found` {
		s.Errorf("deleting nobody ends with %v", err)
	}
	other := types.UID("other")
	err = s.maps.Delete(s.Context(), "default", "errors", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &other}})
	if !apierrors.IsConflict(err) {
		s.Errorf("a deletion of another uid than %s ends with %v", made.UID, err)
	}
}

func (s *suite) patches() {
	s.create("patches")
	defer s.delete("patches")
	for _, p := range []struct {
		kind  types.PatchType
		patch string
		want  string
	}{
		{types.MergePatchType, `{"data":{"a":"1"}}`, "map[a:1 k:v]"},
		{types.StrategicMergePatchType, `{"data":{"k":null}}`, "map[a:1]"},
		{types.JSONPatchType, `[{"op":"replace","path":"/data/a","value":"2"}]`, "map[a:2]"},
	} {
		got, err := s.maps.Patch(s.Context(), "default", "patches", p.kind, []byte(p.patch), "")
		s.must(err)
		if fmt.Sprint(got.Data) != p.want {
			s.Errorf("%s: %v, want %s", p.kind, got.Data, p.want)
		}
	}
	_, err := s.maps.Patch(s.Context(), "default", "patches", types.MergePatchType, []byte(`{"metadata":{"resourceVersion":"1"}}`), "")
	if !apierrors.IsConflict(err) {
		s.Errorf("a patch of another version ends with %v", err)
	}
}

func (s *suite) lists() {
	for _, n := range []string{"l-a", "l-b", "l-c"} {
		s.create(n, "suite", "lists", "name", n)
	}
	for _, sel := range []struct{ label, field, want string }{
		{"suite=lists", "", "l-a l-b l-c"},
		{"suite=lists,name!=l-b", "", "l-a l-c"},
		{"suite=lists", "metadata.name=l-b", "l-b"},
	} {
		got, rv, err := s.maps.List(s.Context(), "default", metav1.ListOptions{LabelSelector: sel.label, FieldSelector: sel.field, Limit: 2})
		s.must(err)
		var names []string
		for _, m := range got {
			names = append(names, m.Name)
		}
		if slices.Sort(names); strings.Join(names, " ") != sel.want || rv == "" {
			s.Errorf("%+v: %v at %q", sel, names, rv)
		}
	}
	s.must(s.maps.DeleteCollection(s.Context(), "default", metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "suite=lists"}))
	got, _, err := s.maps.List(s.Context(), "", metav1.ListOptions{LabelSelector: "suite=lists"})
	if err != nil || len(got) != 0 {
		s.Errorf("after DeleteCollection: %v, %v", got, err)
	}
}

// next returns the next event that is no bookmark, as "ADDED name".
func (s *suite) next(w watch.Interface) (string, api.Object) {
	s.Helper()
	for {
		select {
		case ev, ok := <-w.ResultChan():
			if !ok {
				s.Fatal("the watch ended")
			}
			obj, ok := ev.Object.(api.Object)
			if !ok {
				s.Fatalf("the watch delivered %v %T: %v", ev.Type, ev.Object, apierrors.FromObject(ev.Object))
			}
			if ev.Type != watch.Bookmark || obj.GetAnnotations()[metav1.InitialEventsAnnotationKey] != "" {
				return string(ev.Type) + " " + obj.GetName(), obj
			}
		case <-time.After(time.Minute):
			s.Fatal("no event came")
		}
	}
}

func (s *suite) watches() {
	_, rv, err := s.maps.List(s.Context(), "default", metav1.ListOptions{})
	s.must(err)
	// What happens before the watch begins, but after the list, is not missed.
	s.create("w-a", "suite", "watches")
	s.create("w-other")
	defer s.delete("w-other")
	w, err := s.maps.Watch(s.Context(), "default", metav1.ListOptions{LabelSelector: "suite=watches", ResourceVersion: rv})
	s.must(err)
	defer w.Stop()
	_, err = s.maps.Patch(s.Context(), "default", "w-a", types.MergePatchType, []byte(`{"data":{"k":"w"}}`), "")
	s.must(err)
	// Leaving the selection looks like a deletion.
	_, err = s.maps.Patch(s.Context(), "default", "w-a", types.MergePatchType, []byte(`{"metadata":{"labels":{"suite":"x"}}}`), "")
	s.must(err)
	s.create("w-b", "suite", "watches")
	s.delete("w-b")
	var last api.Object
	for _, want := range []string{"ADDED w-a", "MODIFIED w-a", "DELETED w-a", "ADDED w-b", "DELETED w-b"} {
		var got string
		if got, last = s.next(w); got != want {
			s.Errorf("event %q, want %q", got, want)
		}
	}
	s.delete("w-a")
	// The version of the last event is where another watch goes on.
	again, err := s.maps.Watch(s.Context(), "default", metav1.ListOptions{ResourceVersion: last.GetResourceVersion()})
	s.must(err)
	defer again.Stop()
	if got, _ := s.next(again); got != "DELETED w-a" {
		s.Errorf("the resumed watch begins with %q", got)
	}
}

func (s *suite) streamingLists() {
	s.create("s-a", "suite", "streaming")
	defer s.delete("s-a")
	yes := true
	w, err := s.maps.Watch(s.Context(), "default", metav1.ListOptions{
		LabelSelector: "suite=streaming", AllowWatchBookmarks: true,
		SendInitialEvents: &yes, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan,
	})
	s.must(err)
	defer w.Stop()
	if got, _ := s.next(w); got != "ADDED s-a" {
		s.Errorf("first event: %s", got)
	}
	if got, mark := s.next(w); got != "BOOKMARK " || mark.GetResourceVersion() == "" {
		s.Errorf("after the initial events: %s at %q", got, mark.GetResourceVersion())
	}
	s.create("s-b", "suite", "streaming")
	defer s.delete("s-b")
	if got, _ := s.next(w); got != "ADDED s-b" {
		s.Errorf("then: %s", got)
	}
}

func (s *suite) resources() {
	all, err := s.transport.Resources(s.Context())
	s.must(err)
	for _, want := range []api.Resource{api.ResourceFor[*corev1.Pod](), api.ResourceFor[*corev1.Node](), s.maps.Resource()} {
		if !slices.Contains(all, want) {
			s.Errorf("%+v is not among %v", want, all)
		}
	}
}

func (s *suite) informers() {
	f := NewInformers(s, s.transport)
	inf := client.InformerFor[*corev1.ConfigMap](f)
	seen := make(chan string, 100)
	inf.Handle(func(old, m *corev1.ConfigMap) {
		if m == nil {
			seen <- "-" + old.Name
		} else if strings.HasPrefix(m.Name, "i-") {
			seen <- "+" + m.Name
		}
	})
	RunInformers(s, f)
	s.create("i-a")
	s.delete("i-a")
	for _, want := range []string{"+i-a", "-i-a"} {
		select {
		case got := <-seen:
			if got != want {
				s.Errorf("the handler was told %q, want %q", got, want)
			}
		case <-time.After(time.Minute):
			s.Fatalf("the handler was not told %q", want)
		}
	}
}
