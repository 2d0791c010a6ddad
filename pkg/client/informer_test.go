package client_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/client/clienttest"
)

func pod(name, node string, kv ...string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: name, Labels: map[string]string{}}}
	p.Spec.NodeName = node
	for i := 0; i+1 < len(kv); i += 2 {
		p.Labels[kv[i]] = kv[i+1]
	}
	return p
}

// journal writes down what a handler is told: "+a", "~a", "-a".
type journal []string

func (j *journal) note(old, obj *corev1.Pod) {
	switch {
	case old == nil:
		*j = append(*j, "+"+obj.Name)
	case obj == nil:
		*j = append(*j, "-"+old.Name)
	default:
		*j = append(*j, "~"+obj.Name)
	}
}

func (j *journal) expect(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	if diff := cmp.Diff(want, []string(*j)); diff != "" {
		t.Errorf("handler calls (-want +got):\n%s", diff)
	}
	*j = nil
}

func names(pods []*corev1.Pod) string {
	var out []string
	for _, p := range pods {
		out = append(out, p.Name)
	}
	return strings.Join(out, " ")
}

// start runs an informer for pods on a server, in a synctest bubble.
func start(t *testing.T, s *clienttest.Server) (*client.Informer[*corev1.Pod], *journal) {
	t.Helper()
	f := clienttest.NewInformers(t, s)
	inf := client.InformerFor[*corev1.Pod](f)
	j := new(journal)
	inf.Handle(j.note)
	inf.Index("node", func(p *corev1.Pod) []string { return []string{p.Spec.NodeName} })
	clienttest.RunInformers(t, f)
	return inf, j
}

func change(t *testing.T, s *clienttest.Server, name string) {
	t.Helper()
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"at":%q}}}`, time.Now().Add(time.Duration(len(name))).String()+name)
	if _, err := client.Of[*corev1.Pod](s).Patch(t.Context(), "d", name, types.MergePatchType, patch, ""); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, s *clienttest.Server, name string) {
	t.Helper()
	if err := client.Of[*corev1.Pod](s).Delete(t.Context(), "d", name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}

func create(t *testing.T, s *clienttest.Server, p *corev1.Pod) {
	t.Helper()
	if _, err := client.Of[*corev1.Pod](s).Create(t.Context(), p); err != nil {
		t.Fatal(err)
	}
}

func TestInformerFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := clienttest.NewServer(t, pod("b", "n1"), pod("a", "n2"))
		inf, j := start(t, s)
		j.expect(t, "+a", "+b")
		if !inf.Synced() {
			t.Error("WaitForSync returned before Synced")
		}
		create(t, s, pod("c", "n1", "app", "x"))
		change(t, s, "a")
		remove(t, s, "b")
		j.expect(t, "+c", "~a", "-b")

		if got := names(inf.List("d", nil)); got != "a c" {
			t.Errorf("List: %s", got)
		}
		if got := names(inf.List("", labels.SelectorFromSet(labels.Set{"app": "x"}))); got != "c" {
			t.Errorf("List by label: %s", got)
		}
		if got := names(inf.List("other", nil)); got != "" {
			t.Errorf("List of another namespace: %s", got)
		}
		if got := names(inf.ByIndex("node", "n1")); got != "c" {
			t.Errorf("ByIndex: %s", got)
		}
		if _, ok := inf.Get("d", "b"); ok {
			t.Error("Get finds what is deleted")
		}
		var late journal
		inf.Handle(late.note)
		late.expect(t, "+a", "+c")
	})
}

func TestInformerSurvivesBrokenStreams(t *testing.T) {
	tests := []struct {
		name, reason string
		compact      bool
		want         []string
	}{
		{name: "resume", reason: "the server remembers every change, so each is delivered, in order",
			want: []string{"+c", "~c", "-b", "-c", "+c"}},
		{name: "relist", reason: "the server has forgotten, so only the difference can be known: c is new, b is gone", compact: true,
			want: []string{"-b", "+c"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := clienttest.NewServer(t, pod("a", ""), pod("b", ""))
				_, j := start(t, s)
				j.expect(t, "+a", "+b")
				down := true
				s.FailWith(func(string, client.Request) error {
					if down {
						return apierrors.NewServiceUnavailable("restarting")
					}
					return nil
				})
				s.BreakWatches()
				time.Sleep(3 * time.Second) // virtual: it keeps trying
				s.FailWith(nil)
				create(t, s, pod("c", ""))
				change(t, s, "c")
				remove(t, s, "b")
				remove(t, s, "c")
				create(t, s, pod("c", ""))
				if tt.compact {
					s.Compact()
				}
				time.Sleep(time.Minute)
				j.expect(t, tt.want...)
			})
		})
	}
}

func TestInformerSeesReplacementAsTwo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := clienttest.NewServer(t, pod("a", ""))
		_, j := start(t, s)
		j.expect(t, "+a")
		s.FailWith(func(string, client.Request) error { return apierrors.NewServiceUnavailable("away") })
		s.BreakWatches()
		synctest.Wait()
		s.FailWith(nil)
		remove(t, s, "a")
		create(t, s, pod("a", ""))
		s.Compact()
		time.Sleep(time.Minute)
		j.expect(t, "-a", "+a") // another uid is another object, whatever its name
	})
}

func TestInformerWithoutStreamingLists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := clienttest.NewServer(t, pod("a", ""))
		_, j := start(t, noStreaming(s))
		j.expect(t, "+a")
		create(t, s, pod("b", ""))
		j.expect(t, "+b")
	})
}

// noStreaming makes the first watch fail as a server does that has no streaming lists.
func noStreaming(s *clienttest.Server) *clienttest.Server {
	first := true
	s.FailWith(func(verb string, _ client.Request) error {
		if verb == "watch" && first {
			first = false
			return apierrors.NewInvalid(corev1.SchemeGroupVersion.WithKind("ListOptions").GroupKind(), "", nil)
		}
		return nil
	})
	return s
}

func TestInformerSelections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := clienttest.NewServer(t, pod("a", "n1"), pod("b", ""), pod("c", "n2"))
		f := clienttest.NewInformers(t, s)
		sel := client.Selection{Fields: fields.OneTermEqualSelector("spec.nodeName", "n1")}
		inf := client.InformerWith[*corev1.Pod](f, sel)
		j := new(journal)
		inf.Handle(j.note)
		if again := client.InformerWith[*corev1.Pod](f, sel); again.Synced() {
			t.Error("synced before Run")
		}
		clienttest.RunInformers(t, f)
		j.expect(t, "+a")
		binding := &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: "b"}, Target: corev1.ObjectReference{Kind: "Node", Name: "n1"}}
		req := client.Request{Resource: api.ResourceFor[*corev1.Pod](), Namespace: "d", Name: "b", Subresource: "binding"}
		if _, err := s.Create(t.Context(), req, binding, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		j.expect(t, "+b")

		// Asked for while the others run: it starts at once.
		all := client.InformerOf(f, api.ResourceFor[*corev1.Pod]())
		if err := f.WaitForSync(t.Context()); err != nil {
			t.Fatal(err)
		}
		if all.Len() != 3 || client.InformerFor[*corev1.Pod](f).Len() != 3 {
			t.Error("a dynamic informer does not share the typed one's view")
		}
	})
}

func TestMutationsAreDetected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := clienttest.NewServer(t, pod("a", ""))
		var reports []string
		f := client.NewInformers(s, client.Config{DetectMutations: true, OnMutation: func(r string) { reports = append(reports, r) }})
		inf := client.InformerFor[*corev1.Pod](f)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- f.Run(ctx) }()
		if err := f.WaitForSync(ctx); err != nil {
			t.Fatal(err)
		}
		a, _ := inf.Get("d", "a")
		a.Labels = map[string]string{"oops": "yes"}
		stop()
		<-ended
		if len(reports) != 1 || !strings.Contains(reports[0], "oops") {
			t.Errorf("reports: %q", reports)
		}
	})
}

func TestListsAreOrdered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := clienttest.NewServer(t)
		inf, _ := start(t, s)
		for i := range 100 {
			create(t, s, pod(fmt.Sprintf("p%02d", (i*37)%100), fmt.Sprintf("n%d", i%3)))
		}
		synctest.Wait()
		for _, got := range [][]*corev1.Pod{inf.List("", nil), inf.ByIndex("node", "n1")} {
			if !slices.IsSortedFunc(got, func(a, b *corev1.Pod) int { return strings.Compare(a.Name, b.Name) }) {
				t.Error("not in order:", names(got))
			}
		}
		if inf.Len() != 100 || len(inf.ByIndex("node", "n1")) != 33 {
			t.Errorf("%d objects, %d on n1", inf.Len(), len(inf.ByIndex("node", "n1")))
		}
	})
}

func TestQuietStreamsComeBackSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := clienttest.NewServer(t, pod("a", ""))
		_, j := start(t, s)
		j.expect(t, "+a")
		for range 20 { // servers end watches now and then, also when nothing happens
			time.Sleep(10 * time.Minute)
			s.BreakWatches()
		}
		create(t, s, pod("b", ""))
		time.Sleep(100 * time.Millisecond)
		j.expect(t, "+b")
	})
}
