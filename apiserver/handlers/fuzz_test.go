package handlers

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gorilla/mux"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// FuzzQuery: no query crashes the server, and what is accepted means the same when it is
// written down and read again.
func FuzzQuery(f *testing.F) {
	for _, seed := range []string{
		"limit=5&continue=x&labelSelector=a%3Db", "watch=1&allowWatchBookmarks=true&sendInitialEvents=true",
		"timeoutSeconds=-1", "resourceVersion=0&resourceVersionMatch=Exact", "dryRun=All&dryRun=All&fieldValidation=Strict",
		"gracePeriodSeconds=99999999999999999999", "a=%zz", "follow&tailLines=10&sinceTime=2026-01-01T00:00:00Z", "command=a&command=b&tty=maybe",
		"limit=&timeoutSeconds=&pretty=;", "=&=&&",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		query, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		wantsWatch(query)
		var list metav1.ListOptions
		if decodeOptions(query, &list) == nil && list.Limit != 0 && query.Get("limit") == "" {
			t.Errorf("a limit of %d came from nowhere", list.Limit)
		}
		_ = decodeOptions(query, &metav1.CreateOptions{})
		_ = decodeOptions(query, &metav1.PatchOptions{})
		_ = decodeOptions(query, &metav1.DeleteOptions{})
		var log corev1.PodLogOptions
		if decodePodOptions(query, &log) == nil {
			_ = checkLogOptions(&log)
		}
		var exec corev1.PodExecOptions
		if decodePodOptions(query, &exec) == nil && len(exec.Command) != len(query["command"]) {
			t.Errorf("%d words of a command became %d", len(query["command"]), len(exec.Command))
		}
	})
}

// FuzzAccept: every header leads to a format that was asked for, or to an error.
func FuzzAccept(f *testing.F) {
	for _, seed := range []string{
		"", "*/*", "application/json", "application/vnd.kubernetes.protobuf,application/json;q=0.5",
		"application/json;as=Table;v=v1;g=meta.k8s.io,application/json", "text/html;q=1.5", ";;;,,,", "application/json;q=NaN", "a/b;c=\"", strings.Repeat("a/b,", 1000),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Accept", header)
		got, err := negotiate(r, metadata, table)
		if err != nil {
			return
		}
		if got.shape == table && (got.media == mediaProtobuf || !strings.Contains(header, "Table")) {
			t.Errorf("%q: a table nobody can read: %+v", header, got)
		}
		if got.media == mediaProtobuf && !strings.Contains(strings.ToLower(header), mediaProtobuf) {
			t.Errorf("%q: protobuf was not asked for", header)
		}
	})
}

// FuzzDeleteOptions: a deletion's body is understood or refused; nothing in it can crash the
// server or pass for no options.
func FuzzDeleteOptions(f *testing.F) {
	f.Add(`{"kind":"DeleteOptions","apiVersion":"v1","gracePeriodSeconds":5,"preconditions":{"uid":"x"}}`, "application/json")
	f.Add("apiVersion: apps/v1\nkind: DeleteOptions\ndryRun: [All]\n", "application/yaml")
	f.Add("k8s\x00\x0a\x13\x0a\x02v1\x12\x0dDeleteOptions\x12\x00", "application/vnd.kubernetes.protobuf")
	f.Add(`{"kind":"Pod"}`, "text/plain")
	f.Fuzz(func(t *testing.T, body, media string) {
		r := httptest.NewRequest("DELETE", "/x", strings.NewReader(body))
		r.Header.Set("Content-Type", media)
		_, err := deleteOptions(httptest.NewRecorder(), r)
		if err != nil && statusOf(err).Code >= 500 {
			t.Errorf("%q as %q: %v", body, media, err)
		}
	})
}

// patterns say what the paths of resources look like, in the router's language.
var patterns = []string{
	"/{watch:watch}/{resource}{slash:/?}",
	"/{watch:watch}/{resource}/{name}{slash:/?}",
	"/{watch:watch}/namespaces/{namespace}/{resource}{slash:/?}",
	"/{watch:watch}/namespaces/{namespace}/{resource}/{name}{slash:/?}",
	"/{resource}{slash:/?}",
	"/{resource}/{name}{slash:/?}",
	"/namespaces/{namespace}/{resource}{slash:/?}",
	"/namespaces/{namespace}/{resource}/{name}{slash:/?}",
	"/namespaces/{namespace}/{resource}/{name}/{subresource}",
	"/{resource}/{name}/{subresource}",
	"/namespaces/{namespace}/{resource:pods|services}/{name}/{subresource:proxy}{path:/.*}",
	"/{resource:nodes}/{name}/{subresource:proxy}{path:/.*}",
}

// FuzzPath: paths are taken apart as the patterns say, and no part of a target can be read as
// more than one part.
func FuzzPath(f *testing.F) {
	for _, seed := range []string{
		"/api/v1/pods", "/api/v1/namespaces/a", "/api/v1/namespaces/a/pods", "/api/v1/namespaces/a/pods/b/status", "/api/v1/namespaces/a/status",
		"/apis/apps/v1/namespaces/a/deployments/b/scale", "/api/v1/nodes/n/proxy/a//b/", "/api/v1/namespaces/a/services/b/proxy/", "/api/v1/namespaces/a/services/b/proxy",
		"/api/v1/watch/pods", "/api/v1/watch/namespaces/a/pods/b", "/api/v1/watch/namespaces/a", "/api/v1/watch/namespaces/a/pods/b/status", "/api/v1/watch", "/apis/apps/v1/watch/nodes/a/proxy/b",
		"/api/v1/namespaces/a/pods/b/log/x", "/api/v1/pods/b/proxy/x", "/api/v1/", "/api//pods", "/apis/apps/v1", "/apis//v1/pods", "/api/v1/namespaces//pods", "/api/v1/namespaces/", "/api/v1/pods/", "/api/v1/pods//", "/api/v1/namespaces/a/", "/api/v1/namespaces/a/pods/b/", "/api/v1/namespaces/a/pods/b/status/", "/api/v1/watch/",
		"/api/v1/pods/..", "/api/v1/pods/%2e%2e", "/api/v1/pods/a%2fb", "/api/v1/pods/%00", "/api/v1/pods/a%5cb", "/api/v1/pods/%25", "/api/v1/pods/%ff", "/api/v1/nodes/n/proxy/%2e%2e/x",
	} {
		f.Add(seed)
	}
	router := mux.NewRouter().UseEncodedPath().SkipClean(true)
	for _, root := range []string{"/api/{version}", "/apis/{group}/{version}"} {
		for _, pattern := range patterns {
			router.Path(root + pattern)
		}
	}
	f.Fuzz(func(t *testing.T, path string) {
		u, err := url.ParseRequestURI(path)
		if err != nil || !strings.HasPrefix(path, "/") || strings.Contains(path, "\n") { // "." of a pattern is no line's end
			return
		}
		sent, ok := splitTarget(u.EscapedPath())
		var match mux.RouteMatch
		if want := router.Match(&http.Request{URL: u}, &match); ok != want {
			t.Fatalf("%q is a resource's path: %v, the patterns say %v", path, ok, want)
		}
		if !ok {
			return
		}
		v := match.Vars
		if want := (target{v["group"], v["version"], v["namespace"], v["resource"], v["name"], v["subresource"], v["path"], v["watch"] != ""}); sent != want {
			t.Fatalf("%q is %+v, the patterns say %+v", path, sent, want)
		}
		got, err := sent.decoded()
		if err != nil {
			return
		}
		for _, part := range []string{got.name, got.resource, got.namespace, got.subresource} {
			if strings.ContainsAny(part, "/\\%\x00\n") || part == "." || part == ".." {
				t.Errorf("%q in %q: %+v", part, path, got)
			}
		}
	})
}

// FuzzReference: what a proxy is pointed at is one object and one port, or nothing.
func FuzzReference(f *testing.F) {
	for _, seed := range []string{"p", "p:80", "https:p:8443", ":p:", "::", "a:b:c:d", "http::80", "ftp:p:21", "p:65536", "p:-1", "p:+80", "p:0x50", "HTTPS:p:1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ref, err := parseReference(text)
		if err != nil {
			return
		}
		if ref.name == "" || strings.Contains(ref.name+ref.port, ":") || ref.scheme != "http" && ref.scheme != "https" || !strings.Contains(text, ref.name) {
			t.Errorf("%q is %+v", text, ref)
		}
		if port, err := portNumber(ref.port); err == nil && (port == 0 || strings.Trim(ref.port, "0123456789") != "") {
			t.Errorf("port %q is %d", ref.port, port)
		}
	})
}

// FuzzPage: a page from behind a proxy comes to its end, and nothing of it but its links is changed.
func FuzzPage(f *testing.F) {
	for _, seed := range []string{
		`<a href="/up?x=1&amp;y=2#z">up</a>`, `<img src=/a><base href='/'>`, `<a href="//other/x"><a href=":bad">`, "<!doctype html><script>if (a<b) '</'</script>", "<", "<a", "<a href=", "<a href='/\x00", "<textarea><a href=/x>",
	} {
		f.Add(seed)
	}
	l := links{prefix: "/api/v1/namespaces/default/pods/p/proxy", up: upstream{host: "10.0.0.1:80"}, host: "api"}
	f.Fuzz(func(t *testing.T, text string) {
		out, err := io.ReadAll(newPage(io.NopCloser(strings.NewReader(text)), l))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if !strings.Contains(text, "/") && string(out) != text {
			t.Errorf("%q has no links and became %q", text, out)
		}
		again, err := io.ReadAll(newPage(io.NopCloser(strings.NewReader(string(out))), l))
		if err != nil || string(again) != string(out) {
			t.Errorf("%q became %q, and that %q (%v)", text, out, again, err)
		}
	})
}
