package handlers

import (
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

// FuzzPath: no part of a target can be read as more than one part.
func FuzzPath(f *testing.F) {
	for _, seed := range []string{"a", "..", "%2e%2e", "a%2fb", "%00", "a%5cb", "%25", "namespaces", "é", "%ff", "%"} {
		f.Add(seed, "pods")
	}
	f.Fuzz(func(t *testing.T, name, resource string) {
		r := mux.SetURLVars(httptest.NewRequest("GET", "/", nil), map[string]string{"version": "v1", "namespace": "default", "resource": resource, "name": name})
		got, err := readTarget(r)
		if err != nil {
			return
		}
		for _, part := range []string{got.name, got.resource, got.namespace} {
			if strings.ContainsAny(part, "/\\%\x00\n") || part == "." || part == ".." {
				t.Errorf("%q in %q: %+v", part, name, got)
			}
		}
	})
}
