package rest_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/apiserver/rest"
)

func TestListPages(t *testing.T) {
	inBubble(t, func(t *testing.T, e *engine) {
		for i := range 7 {
			e.mustCreate("default", configMap(fmt.Sprint("c", i)))
		}
		configMaps := of[*corev1.ConfigMap](e)
		var all []string
		opts := metav1.ListOptions{Limit: 3}
		var first string
		for pageNumber := 0; ; pageNumber++ {
			page, err := configMaps.List(e.ctx, "default", opts)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, names(page)...)
			if first == "" {
				first = page.ResourceVersion
				// What happens between the pages is not seen by the later ones.
				e.mustCreate("default", configMap("c5b"))
				if _, _, err := configMaps.Delete(e.ctx, "default", "c6", metav1.DeleteOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			if page.ResourceVersion != first {
				t.Errorf("page %d is at %s, the first was at %s", pageNumber, page.ResourceVersion, first)
			}
			if page.Continue == "" {
				if page.Remaining != nil {
					t.Errorf("the last page has %d remaining", *page.Remaining)
				}
				break
			}
			if want := int64(7 - len(all)); page.Remaining == nil || *page.Remaining != want {
				t.Errorf("remaining = %v, want %d", page.Remaining, want)
			}
			opts.Continue = page.Continue
		}
		if want := []string{"c0", "c1", "c2", "c3", "c4", "c5", "c6"}; !slices.Equal(all, want) {
			t.Errorf("pages = %v, want %v", all, want)
		}
	})
}

func TestListPageThatIsGone(t *testing.T) {
	inBubble(t, func(t *testing.T, e *engine) {
		for i := range 4 {
			e.mustCreate("default", configMap(fmt.Sprint("c", i)))
		}
		page, err := of[*corev1.ConfigMap](e).List(e.ctx, "default", metav1.ListOptions{Limit: 2})
		if err != nil {
			t.Fatal(err)
		}
		e.mustCreate("default", configMap("c9"))
		rev, _ := e.store.Revision(e.ctx)
		if err := e.store.Compact(e.ctx, rev); err != nil {
			t.Fatal(err)
		}
		// Another server, whose cache never held that state, has only the store to ask.
		other := rest.New(e.store, kinds(), rest.Config{Logger: slog.New(slog.DiscardHandler)})
		ctx, cancel := context.WithCancel(auth.WithUser(t.Context(), auth.Admin()))
		defer synctest.Wait()
		defer cancel()
		go func() { _ = other.Run(ctx) }()
		<-other.Ready()
		s, _ := other.Lookup(corev1.SchemeGroupVersion.WithResource("configmaps"))
		_, err = s.List(ctx, "default", metav1.ListOptions{Limit: 2, Continue: page.Continue})
		status := wantReason(t, err, metav1.StatusReasonExpired)
		if status.Code != 410 || status.ListMeta.Continue == "" {
			t.Fatalf("status = %+v, want 410 with a token to go on with", status)
		}
		page, err = s.List(ctx, "default", metav1.ListOptions{Continue: status.ListMeta.Continue})
		if err != nil || !slices.Equal(names(page), []string{"c2", "c3", "c9"}) {
			t.Errorf("the rest, inconsistently = %v, %v", names(page), err)
		}
		_, err = s.List(ctx, "default", metav1.ListOptions{ResourceVersion: "3", ResourceVersionMatch: metav1.ResourceVersionMatchExact})
		wantReason(t, err, metav1.StatusReasonExpired)
	})
}

func TestListSelectors(t *testing.T) {
	inBubble(t, func(t *testing.T, e *engine) {
		for i, node := range []string{"n1", "n2", "n1", ""} {
			p := pod(fmt.Sprint("p", i), node)
			p.Labels = map[string]string{"odd": fmt.Sprint(i%2 == 1)}
			e.mustCreate("default", p)
		}
		e.mustCreate("", &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "other"}})
		e.mustCreate("other", &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}})
		elsewhere := pod("p0", "n1")
		elsewhere.Namespace = "other"
		e.mustCreate("other", elsewhere)
		for _, tc := range []struct {
			ns, labels, fields string
			want               []string
			says               string
		}{
			{ns: "default", want: []string{"p0", "p1", "p2", "p3"}},
			{want: []string{"p0", "p1", "p2", "p3", "p0"}},
			{ns: "default", labels: "odd=true", want: []string{"p1", "p3"}},
			{ns: "default", labels: "odd notin (true)", want: []string{"p0", "p2"}},
			{ns: "default", fields: "spec.nodeName=n1", want: []string{"p0", "p2"}},
			{fields: "spec.nodeName=n1", want: []string{"p0", "p2", "p0"}},
			{ns: "default", fields: "spec.nodeName=", want: []string{"p3"}},
			{ns: "default", fields: "spec.nodeName!=n1,status.phase=Pending", want: []string{"p1", "p3"}},
			{ns: "default", fields: "metadata.name=p1", want: []string{"p1"}},
			{ns: "default", fields: "metadata.name=p", want: []string{}},
			{ns: "default", fields: "metadata.name=a/b", want: []string{}},
			{fields: "metadata.name=p0", want: []string{"p0", "p0"}},
			{fields: "metadata.name=p0,metadata.namespace=other", want: []string{"p0"}},
			{ns: "default", fields: "metadata.name=p1", labels: "odd=false", want: []string{}},
			{fields: "spec.hostname=x", says: "field label not supported: spec.hostname"},
			{fields: "a", says: "invalid selector: 'a'; can't understand 'a'"},
			{labels: "a in", says: "unable to parse requirement"},
		} {
			list, err := of[*corev1.Pod](e).List(e.ctx, tc.ns, metav1.ListOptions{LabelSelector: tc.labels, FieldSelector: tc.fields})
			if tc.says != "" {
				if status := wantReason(t, err, metav1.StatusReasonBadRequest); !strings.Contains(status.Message, tc.says) {
					t.Errorf("message = %q, want %q", status.Message, tc.says)
				}
				continue
			}
			if err != nil || !slices.Equal(names(list), tc.want) {
				t.Errorf("in %q with %q and %q: %v, %v; want %v", tc.ns, tc.labels, tc.fields, names(list), err, tc.want)
			}
		}
		_, err := of[*corev1.ConfigMap](e).List(e.ctx, "", metav1.ListOptions{FieldSelector: "data.x=y"})
		if status := wantReason(t, err, metav1.StatusReasonBadRequest); status.Message != `"data.x" is not a known field selector: only "metadata.name", "metadata.namespace"` {
			t.Errorf("message = %q", status.Message)
		}
	})
}

func TestListSelectedPages(t *testing.T) {
	inBubble(t, func(t *testing.T, e *engine) {
		for i := range 6 {
			cm := configMap(fmt.Sprint("c", i))
			cm.Labels = map[string]string{"odd": fmt.Sprint(i%2 == 1)}
			e.mustCreate("default", cm)
		}
		opts := metav1.ListOptions{LabelSelector: "odd=true", Limit: 2}
		page, err := of[*corev1.ConfigMap](e).List(e.ctx, "", opts)
		if err != nil || !slices.Equal(names(page), []string{"c1", "c3"}) || page.Remaining != nil || page.Continue == "" {
			t.Fatalf("page = %+v, %v", page, err)
		}
		opts.Continue = page.Continue
		page, err = of[*corev1.ConfigMap](e).List(e.ctx, "", opts)
		if err != nil || !slices.Equal(names(page), []string{"c5"}) || page.Continue != "" {
			t.Errorf("second page = %v %q, %v", names(page), page.Continue, err)
		}
	})
}

func TestListRevisions(t *testing.T) {
	inBubble(t, func(t *testing.T, e *engine) {
		a := e.mustCreate("default", configMap("a"))
		e.mustCreate("default", configMap("b"))
		configMaps := of[*corev1.ConfigMap](e)
		list := func(opts metav1.ListOptions) (*rest.ListResult, error) {
			return configMaps.List(e.ctx, "default", opts)
		}

		exact, err := list(metav1.ListOptions{ResourceVersion: a.GetResourceVersion(), ResourceVersionMatch: metav1.ResourceVersionMatchExact})
		if err != nil || !slices.Equal(names(exact), []string{"a"}) || exact.ResourceVersion != a.GetResourceVersion() {
			t.Errorf("exactly %s = %v at %s, %v", a.GetResourceVersion(), names(exact), exact.ResourceVersion, err)
		}
		limited, err := list(metav1.ListOptions{ResourceVersion: a.GetResourceVersion(), Limit: 5})
		if err != nil || !slices.Equal(names(limited), []string{"a"}) {
			t.Errorf("with a limit, exactly %s = %v, %v", a.GetResourceVersion(), names(limited), err)
		}
		newer, err := list(metav1.ListOptions{ResourceVersion: a.GetResourceVersion()})
		if err != nil || revision(newer.ResourceVersion) < revision(a.GetResourceVersion()) {
			t.Errorf("not older than %s: at %s, %v", a.GetResourceVersion(), newer.ResourceVersion, err)
		}
		if _, err := list(metav1.ListOptions{ResourceVersion: "0"}); err != nil {
			t.Errorf("any revision: %v", err)
		}

		_, err = list(metav1.ListOptions{ResourceVersion: "99999"})
		if status := wantReason(t, err, metav1.StatusReasonTimeout); status.Code != 504 || !apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge) {
			t.Errorf("status = %+v", status)
		}
		for _, tc := range []struct {
			opts   metav1.ListOptions
			reason metav1.StatusReason
		}{
			{metav1.ListOptions{ResourceVersion: "x"}, metav1.StatusReasonBadRequest},
			{metav1.ListOptions{ResourceVersion: "-1"}, metav1.StatusReasonBadRequest},
			{metav1.ListOptions{Limit: -1}, metav1.StatusReasonBadRequest},
			{metav1.ListOptions{ResourceVersionMatch: metav1.ResourceVersionMatchExact}, metav1.StatusReasonInvalid},
			{metav1.ListOptions{ResourceVersion: "0", ResourceVersionMatch: metav1.ResourceVersionMatchExact}, metav1.StatusReasonInvalid},
			{metav1.ListOptions{ResourceVersion: "1", ResourceVersionMatch: "Odd"}, metav1.StatusReasonInvalid},
			{metav1.ListOptions{SendInitialEvents: ptr(true)}, metav1.StatusReasonInvalid},
			{metav1.ListOptions{Continue: "!"}, metav1.StatusReasonBadRequest},
			{metav1.ListOptions{Continue: base64.RawURLEncoding.EncodeToString([]byte(`{"v":"meta.k8s.io/v1","rv":5,"start":"a"}`)), ResourceVersion: "5"}, metav1.StatusReasonBadRequest},
		} {
			_, err := list(tc.opts)
			if apierrors.ReasonForError(err) != tc.reason {
				t.Errorf("%+v: %v, want %s", tc.opts, err, tc.reason)
			}
		}
	})
}

func TestGetRevisions(t *testing.T) {
	inBubble(t, func(t *testing.T, e *engine) {
		a := e.mustCreate("default", configMap("a"))
		configMaps := of[*corev1.ConfigMap](e)
		for _, rv := range []string{"", a.GetResourceVersion()} {
			if it, err := configMaps.Get(e.ctx, "default", "a", metav1.GetOptions{ResourceVersion: rv}); err != nil || it.Object.GetResourceVersion() != a.GetResourceVersion() {
				t.Errorf("get at %q = %v, %v", rv, it, err)
			}
		}
		_, err := configMaps.Get(e.ctx, "default", "a", metav1.GetOptions{ResourceVersion: "99999"})
		wantReason(t, err, metav1.StatusReasonTimeout)
		_, err = configMaps.Get(e.ctx, "default", "../a", metav1.GetOptions{})
		wantReason(t, err, metav1.StatusReasonBadRequest)
		_, err = configMaps.Get(e.ctx, "", "a", metav1.GetOptions{})
		wantReason(t, err, metav1.StatusReasonBadRequest)
	})
}

func TestView(t *testing.T) {
	inBubble(t, func(t *testing.T, e *engine) {
		e.mustCreate("default", &eventsv1.Event{ObjectMeta: metav1.ObjectMeta{Name: "e", Namespace: "default"}, Note: "hello"})
		if got := mustGet[*corev1.Event](e, "default", "e"); got.Message != "hello" {
			t.Errorf("stored event = %+v", got)
		}
		mustUpdate(e, "default", "e", func(ev *corev1.Event) { ev.Message = "changed" })
		if got := mustGet[*eventsv1.Event](e, "default", "e"); got.Note != "changed" {
			t.Errorf("view = %+v", got)
		}
		mustUpdate(e, "default", "e", func(ev *eventsv1.Event) { ev.Note = "again" })
		list, err := of[*eventsv1.Event](e).List(e.ctx, "", metav1.ListOptions{})
		if err != nil || len(list.Items) != 1 || list.Items[0].Object.(*eventsv1.Event).Note != "again" {
			t.Errorf("list = %v, %v", list, err)
		}
		w, err := of[*eventsv1.Event](e).Watch(e.ctx, "", metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		if ev := next(e, w); ev.Item.Object.(*eventsv1.Event).Note != "again" {
			t.Errorf("event = %+v", ev)
		}
		if _, _, err := of[*eventsv1.Event](e).Delete(e.ctx, "default", "e", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		expect(e, w, "DELETED e")
	})
}

func FuzzContinue(f *testing.F) {
	f.Add("")
	f.Add("eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6NSwic3RhcnQiOiJhIn0")
	f.Add(base64.RawURLEncoding.EncodeToString([]byte(`{"v":"meta.k8s.io/v1","rv":-1,"start":"../../secrets/"}`)))
	f.Add(base64.RawURLEncoding.EncodeToString([]byte(`{"v":"meta.k8s.io/v1","rv":9223372036854775807,"start":"a"}`)))
	e := start(f, rest.Config{})
	e.mustCreate("default", configMap("a"))
	f.Fuzz(func(t *testing.T, token string) {
		list, err := of[*corev1.ConfigMap](e).List(e.ctx, "default", metav1.ListOptions{Continue: token, Limit: 1})
		if err == nil {
			for _, it := range list.Items {
				if !strings.HasPrefix(it.Key, "/registry/core/configmaps/default/") {
					t.Errorf("token %q led to %s", token, it.Key)
				}
			}
			return
		}
		refused(t, err)
	})
}

// FuzzListOptions: versions and limits of any form are understood or refused, by a list and by a watch.
func FuzzListOptions(f *testing.F) {
	f.Add("", "", "", int64(0), uint8(0))
	f.Add("0", "NotOlderThan", "", int64(1), uint8(1))
	f.Add("1", "Exact", "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6NSwic3RhcnQiOiJhIn0", int64(-1), uint8(2))
	f.Add("-1", "x", "=", int64(1<<62), uint8(1))
	f.Add("18446744073709551616", "", "", int64(5), uint8(0))
	e := start(f, rest.Config{})
	e.mustCreate("default", configMap("a"))
	e.mustCreate("default", configMap("b"))
	f.Fuzz(func(t *testing.T, version, match, token string, limit int64, initial uint8) {
		opts := metav1.ListOptions{ResourceVersion: version, ResourceVersionMatch: metav1.ResourceVersionMatch(match), Continue: token, Limit: limit}
		list, err := of[*corev1.ConfigMap](e).List(e.ctx, "default", opts)
		refused(t, err)
		if err == nil && limit > 0 && int64(len(list.Items)) > limit {
			t.Errorf("%+v: %d items", opts, len(list.Items))
		}
		if initial > 0 {
			yes := initial == 1
			opts.SendInitialEvents = &yes
		}
		w, err := of[*corev1.ConfigMap](e).Watch(e.ctx, "default", opts)
		if refused(t, err); err == nil {
			w.TryNext()
			w.Stop()
		}
	})
}

// refused fails a test if an error is the server's own.
func refused(t *testing.T, err error) {
	t.Helper()
	var status *apierrors.StatusError
	if err != nil && (!errors.As(err, &status) || status.ErrStatus.Code >= 500 && status.ErrStatus.Code != 504) {
		t.Errorf("%v", err)
	}
}

// FuzzSelectors: selectors of any form select or are refused, and the same as a watch and as a list.
func FuzzSelectors(f *testing.F) {
	for _, seed := range [][2]string{
		{"a=b", "metadata.name=a"}, {"a in (b,c),!d", "metadata.name!=a,metadata.namespace=default"}, {"a>1,b<2", "status.phase=x"},
		{"a notin ()", "a=b\\,c"}, {",", "="}, {"!", "metadata.name=../../x"}, {"a==b", "metadata.name=a,metadata.name=b"},
	} {
		f.Add(seed[0], seed[1])
	}
	e := start(f, rest.Config{})
	for _, name := range []string{"a", "b"} {
		cm := configMap(name)
		cm.SetLabels(map[string]string{name: "1"})
		e.mustCreate("default", cm)
	}
	whole := *e
	f.Fuzz(func(t *testing.T, label, field string) {
		e := whole
		e.TB = t
		opts := metav1.ListOptions{LabelSelector: label, FieldSelector: field}
		list, err := of[*corev1.ConfigMap](&e).List(e.ctx, "default", opts)
		yes := true
		opts.SendInitialEvents, opts.ResourceVersionMatch, opts.AllowWatchBookmarks = &yes, metav1.ResourceVersionMatchNotOlderThan, true
		w, watchErr := of[*corev1.ConfigMap](&e).Watch(e.ctx, "default", opts)
		if (err == nil) != (watchErr == nil) {
			t.Fatalf("a list says %v, a watch %v", err, watchErr)
		}
		if err != nil {
			if !apierrors.IsBadRequest(err) {
				t.Errorf("%q, %q: %v", label, field, err)
			}
			return
		}
		defer w.Stop()
		for _, it := range list.Items {
			if ev := next(&e, w); ev.Item != it {
				t.Fatalf("%q, %q: the watch begins with %s instead of %s", label, field, said(ev), it.Key)
			}
		}
		if ev := next(&e, w); !ev.InitialEventsEnd {
			t.Errorf("%q, %q: the watch has %s more than the list", label, field, said(ev))
		}
	})
}

// TestPagesExpire: what is continued too late says so, with a token for the rest as it is now.
func TestPagesExpire(t *testing.T) {
	inBubble(t, func(t *testing.T, e *engine) {
		for _, name := range []string{"a", "b", "c", "d", "e"} {
			e.mustCreate("default", configMap(name, "k", "v"))
		}
		list := func(token string) (*rest.ListResult, error) {
			return of[*corev1.ConfigMap](e).List(e.ctx, "default", metav1.ListOptions{Limit: 2, Continue: token})
		}
		first, err := list("")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Minute)
		second, err := list(first.Continue)
		if err != nil || second.ResourceVersion != first.ResourceVersion {
			t.Fatalf("after three minutes: %v", err)
		}
		time.Sleep(3 * time.Minute)
		for _, token := range []string{first.Continue, second.Continue} { // a later page is no younger
			_, err = list(token)
			wantReason(t, err, metav1.StatusReasonExpired)
		}
		e.mustCreate("default", configMap("f", "k", "v"))
		_, err = list(first.Continue)
		remainder := err.(apierrors.APIStatus).Status().Continue
		third, err := list(remainder)
		if err != nil || len(third.Items) != 2 || third.Items[0].Object.GetName() != "c" || third.ResourceVersion == first.ResourceVersion || *third.Remaining != 2 {
			t.Fatalf("going on otherwise: %v %+v", err, third)
		}
		if last, err := list(third.Continue); err != nil || last.ResourceVersion != third.ResourceVersion || len(last.Items) != 2 {
			t.Errorf("and on: %v %+v", err, last)
		}
	})
}
