package client_test

import (
	"context"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
)

// protobuf encodes as an API server does.
func protobuf(t *testing.T, obj runtime.Object, apiVersion, kind string) []byte {
	t.Helper()
	info, _ := runtime.SerializerInfoForMediaType(api.Codecs.SupportedMediaTypes(), runtime.ContentTypeProtobuf)
	obj = obj.DeepCopyObject()
	gv := strings.Split("/"+apiVersion, "/")
	obj.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{Group: gv[len(gv)-2], Version: gv[len(gv)-1], Kind: kind})
	raw, err := runtime.Encode(info.Serializer, obj)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func serve(t *testing.T, h http.HandlerFunc) (client.Transport, *httptest.Server) {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	tr, err := client.NewHTTP(client.HTTPConfig{
		Server: srv.URL, CAData: pemOf(srv), Token: "secret", UserAgent: "tester",
	})
	if err != nil {
		t.Fatal(err)
	}
	return tr, srv
}

func pemOf(srv *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
}

func TestHTTPCalls(t *testing.T) {
	ctx := t.Context()
	var got string
	tr, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = r.Method + " " + r.URL.RequestURI() + " " + r.Header.Get("Content-Type")
		if r.Header.Get("Authorization") != "Bearer secret" || r.UserAgent() != "tester" || r.ProtoMajor != 2 {
			t.Errorf("headers: %v over %s", r.Header, r.Proto)
		}
		w.Header().Set("Content-Type", runtime.ContentTypeProtobuf)
		if strings.HasPrefix(r.URL.Path, "/apis/example.com") {
			w.Header().Set("Content-Type", "application/json")
			if r.Method == http.MethodPost {
				_, _ = w.Write(body)
				return
			}
			_, _ = io.WriteString(w, `{"apiVersion":"example.com/v1","kind":"ThingList","metadata":{"resourceVersion":"5"},"items":[{"apiVersion":"example.com/v1","kind":"Thing","metadata":{"name":"t"}}]}`)
			return
		}
		switch {
		case r.Method == http.MethodPost || r.Method == http.MethodPut:
			_, _ = w.Write(body)
		case r.Method == http.MethodDelete:
			_, _ = w.Write(protobuf(t, &metav1.Status{Status: "Success"}, "v1", "Status"))
		case strings.HasSuffix(r.URL.Path, "/pods"):
			_, _ = w.Write(protobuf(t, &corev1.PodList{ListMeta: metav1.ListMeta{ResourceVersion: "7"}, Items: []corev1.Pod{*pod("a", ""), *pod("b", "")}}, "v1", "PodList"))
		default:
			_, _ = w.Write(protobuf(t, pod("a", "n"), "v1", "Pod"))
		}
	})
	expect := func(want string, err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
		if strings.TrimSpace(got) != want {
			t.Errorf("the server saw %q, want %q", got, want)
		}
	}
	pods := client.Of[*corev1.Pod](tr)
	p, err := pods.Get(ctx, "d", "a")
	expect("GET /api/v1/namespaces/d/pods/a", err)
	if p.Spec.NodeName != "n" {
		t.Errorf("Get: %+v", p)
	}
	list, rv, err := pods.List(ctx, "d", metav1.ListOptions{LabelSelector: "x=y"})
	expect("GET /api/v1/namespaces/d/pods?labelSelector=x%3Dy", err)
	if names(list) != "a b" || rv != "7" {
		t.Errorf("List: %s at %s", names(list), rv)
	}
	made, err := pods.Create(ctx, pod("c", "m"))
	expect("POST /api/v1/namespaces/d/pods application/vnd.kubernetes.protobuf", err)
	if made.Name != "c" || made.Spec.NodeName != "m" {
		t.Errorf("Create: %+v", made)
	}
	_, err = pods.UpdateStatus(ctx, pod("c", "m"))
	expect("PUT /api/v1/namespaces/d/pods/c/status application/vnd.kubernetes.protobuf", err)
	_, err = pods.Patch(ctx, "d", "c", types.MergePatchType, []byte("{}"), "status")
	expect("PATCH /api/v1/namespaces/d/pods/c/status application/merge-patch+json", err)
	err = pods.Delete(ctx, "d", "c", metav1.DeleteOptions{})
	expect("DELETE /api/v1/namespaces/d/pods/c application/vnd.kubernetes.protobuf", err)

	things := client.Dynamic(tr, api.Resource{Group: "example.com", Version: "v1", Name: "things", Kind: "Thing"})
	thing := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "example.com/v1", "kind": "Thing", "metadata": map[string]any{"name": "t"}, "spec": "s"}}
	back, err := things.Create(ctx, thing)
	expect("POST /apis/example.com/v1/things application/json", err)
	if diff := cmp.Diff(api.Object(thing), back); diff != "" {
		t.Error(diff)
	}
	all, rv, err := things.List(ctx, "", metav1.ListOptions{})
	expect("GET /apis/example.com/v1/things", err)
	if len(all) != 1 || all[0].GetName() != "t" || rv != "5" {
		t.Errorf("List: %v at %s", all, rv)
	}
}

func TestHTTPErrors(t *testing.T) {
	tests := []struct {
		name, reason string
		answer       func(w http.ResponseWriter)
		check        func(error) bool
	}{
		{"status", "the server's own words arrive, as protobuf too", func(w http.ResponseWriter) {
			st := apierrors.NewNotFound(api.ResourceFor[*corev1.Pod]().GroupResource(), "a").Status()
			w.Header().Set("Content-Type", runtime.ContentTypeProtobuf)
			w.WriteHeader(404)
			_, _ = w.Write(protobuf(t, &st, "v1", "Status"))
		}, func(err error) bool { return apierrors.IsNotFound(err) && err.Error() == `pods "a" not found` }},
		{"plain text", "something in between answered", func(w http.ResponseWriter) {
			http.Error(w, "no such host here", http.StatusServiceUnavailable)
		}, apierrors.IsServiceUnavailable},
		{"redirect", "it could lead to anybody", func(w http.ResponseWriter) {
			w.Header().Set("Location", "https://elsewhere.example/")
			w.WriteHeader(302)
		}, func(err error) bool { return err != nil && strings.Contains(err.Error(), "redirects are refused") }},
		{"garbage", "a success that cannot be decoded is an error", func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, "{")
		}, func(err error) bool { return err != nil }},
		{"other kind", "a pod was asked for", func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"apiVersion":"v1","kind":"Node"}`)
		}, func(err error) bool { return err != nil && strings.Contains(err.Error(), "v1.Node") }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tr, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) { tt.answer(w) })
			if _, err := client.Of[*corev1.Pod](tr).Get(t.Context(), "d", "a"); !tt.check(err) {
				t.Errorf("error %v: %s", err, tt.reason)
			}
		})
	}
}

func TestHTTPWatch(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	jsonPod := `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","resourceVersion":"3"}}`
	tests := []struct {
		name, media string
		frame       func(typ string) []byte
	}{
		{"json", "application/json", func(typ string) []byte { return fmt.Appendf(nil, `{"type":%q,"object":%s}`+"\n", typ, jsonPod) }},
		{"protobuf", "application/vnd.kubernetes.protobuf;stream=watch", func(typ string) []byte {
			ev := metav1.WatchEvent{Type: typ, Object: runtime.RawExtension{Raw: protobuf(t, pod("a", ""), "v1", "Pod")}}
			raw, err := ev.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			return append(binary.BigEndian.AppendUint32(nil, uint32(len(raw))), raw...)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			gone := make(chan struct{})
			tr, srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Query().Get("watch") != "true" || r.URL.Query().Get("sendInitialEvents") != "true" {
					t.Errorf("query: %s", r.URL.RawQuery)
				}
				w.Header().Set("Content-Type", tt.media)
				_, _ = w.Write(tt.frame("ADDED"))
				_, _ = w.Write(tt.frame("MODIFIED"))
				w.(http.Flusher).Flush()
				<-r.Context().Done()
				close(gone)
			})
			yes := true
			w, err := client.Of[*corev1.Pod](tr).Watch(t.Context(), "", metav1.ListOptions{SendInitialEvents: &yes})
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []watch.EventType{watch.Added, watch.Modified} {
				ev := <-w.ResultChan()
				if p, ok := ev.Object.(*corev1.Pod); !ok || ev.Type != want || p.Name != "a" {
					t.Fatalf("event: %+v", ev)
				}
			}
			w.Stop()
			<-gone
			if ev, ok := <-w.ResultChan(); ok {
				t.Errorf("event after Stop: %+v", ev)
			}
			srv.Close()
		})
	}
}

func TestResourcesPlain(t *testing.T) {
	tr, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, map[string]string{
			"/api":          `{"kind":"APIVersions","versions":["v1"]}`,
			"/api/v1":       `{"kind":"APIResourceList","resources":[{"name":"pods","kind":"Pod","namespaced":true,"verbs":["delete","get"]},{"name":"componentstatuses","kind":"ComponentStatus","verbs":["get"]},{"name":"pods/log","kind":"Pod","namespaced":true}]}`,
			"/apis":         `{"kind":"APIGroupList","groups":[{"name":"apps","preferredVersion":{"groupVersion":"apps/v1","version":"v1"}}]}`,
			"/apis/apps/v1": `{"kind":"APIResourceList","resources":[{"name":"deployments","kind":"Deployment","namespaced":true,"verbs":["delete","get"]}]}`,
		}[r.URL.Path])
	})
	checkResources(t, tr)
}

func TestResourcesAggregated(t *testing.T) {
	group := func(name, resource, kind string) string {
		return fmt.Sprintf(`{"items":[{"metadata":{"name":%q},"versions":[{"version":"v1","resources":[{"resource":%q,"scope":"Namespaced","responseKind":{"kind":%q},"verbs":["delete","get"]},{"resource":"reviews","responseKind":{"kind":"Review"},"verbs":["create"]}]}]}]}`, name, resource, kind)
	}
	tr, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")
		_, _ = io.WriteString(w, map[string]string{"/api": group("", "pods", "Pod"), "/apis": group("apps", "deployments", "Deployment")}[r.URL.Path])
	})
	checkResources(t, tr)
}

func checkResources(t *testing.T, tr client.Transport) {
	t.Helper()
	got, err := tr.Resources(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []api.Resource{
		{Version: "v1", Name: "pods", Kind: "Pod", Namespaced: true},
		{Group: "apps", Version: "v1", Name: "deployments", Kind: "Deployment", Namespaced: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTokenFileIsReadAgain(t *testing.T) {
	var got string
	_, srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Get("Authorization")
		w.Header().Set("Content-Type", runtime.ContentTypeProtobuf)
		_, _ = w.Write(protobuf(t, pod("a", ""), "v1", "Pod"))
	})
	path := filepath.Join(t.TempDir(), "token")
	if _, err := client.NewHTTP(client.HTTPConfig{Server: srv.URL, TokenFile: path}); err == nil {
		t.Error("a missing token file is accepted")
	}
	write := func(s string) {
		if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one\n")
	tr, err := client.NewHTTP(client.HTTPConfig{Server: srv.URL, CAData: pemOf(srv), TokenFile: path})
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{"one", "second"} {
		write(token)
		if _, err := client.Of[*corev1.Pod](tr).Get(t.Context(), "d", "a"); err != nil || got != "Bearer "+token {
			t.Errorf("sent %q, %v", got, err)
		}
	}
}

func TestCallsEndInTime(t *testing.T) {
	release := make(chan struct{})
	_, srv := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	defer close(release)
	tr, err := client.NewHTTP(client.HTTPConfig{Server: srv.URL, CAData: pemOf(srv), Timeout: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Of[*corev1.Pod](tr).Get(context.Background(), "d", "a"); err == nil {
		t.Error("no error from a server that says nothing")
	}
}
