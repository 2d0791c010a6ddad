package handlers

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/apiserver/warning"
)

func testHandler(clk clock.WithTicker) *Handler {
	return &Handler{
		cfg:     Config{Authenticator: auth.Union{}, Authorizer: auth.Components{}, Clock: clk, Logger: slog.New(slog.DiscardHandler), RequestTimeout: time.Minute},
		metrics: newMetrics(nil), reading: make(chan struct{}, 1), writing: make(chan struct{}, 1),
	}
}

func serveStatus(t *testing.T, h http.Handler) (*httptest.ResponseRecorder, metav1.Status) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/x", nil))
	var s metav1.Status
	if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return w, s
}

func TestPanicBecomesAnAnswer(t *testing.T) {
	h := testHandler(clock.RealClock{})
	w, s := serveStatus(t, h.filters(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("secret detail") })))
	if w.Code != 500 || s.Reason != metav1.StatusReasonInternalError || strings.Contains(w.Body.String(), "secret detail") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if id := w.Header().Get(auditHeader); id == "" || !strings.Contains(s.Message, id) {
		t.Errorf("the answer must lead to the log: %q, audit ID %q", s.Message, id)
	}
	defer func() {
		if recover() != http.ErrAbortHandler {
			t.Error("half an answer must be cut off, not ended as if it were whole")
		}
	}()
	h.filters(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("half"))
		panic("later")
	})).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/x", nil))
}

func TestTooManyRequests(t *testing.T) {
	clk := clocktesting.NewFakeClock(time.Now())
	h := testHandler(clk)
	inside, leave, left := make(chan struct{}), make(chan struct{}), make(chan struct{})
	read := httptest.NewRequest("GET", "/x", nil)
	go func() {
		defer close(left)
		_ = h.limited(httptest.NewRecorder(), read, func(*http.Request) error { close(inside); <-leave; return nil })
	}()
	<-inside
	if err := h.limited(httptest.NewRecorder(), httptest.NewRequest("POST", "/x", nil), func(*http.Request) error { return nil }); err != nil {
		t.Errorf("reading must not hold up writing: %v", err)
	}
	refused := make(chan error, 1)
	go func() { refused <- h.limited(httptest.NewRecorder(), read, func(*http.Request) error { return nil }) }()
	for !clk.HasWaiters() {
		time.Sleep(time.Millisecond)
	}
	clk.Step(queueWait)
	err := <-refused
	if seconds, ok := apierrors.SuggestsClientDelay(err); !apierrors.IsTooManyRequests(err) || !ok || seconds != 1 {
		t.Errorf("got %v", err)
	}
	w := httptest.NewRecorder()
	writeError(w, read, err)
	if w.Code != 429 || w.Header().Get("Retry-After") != "1" {
		t.Errorf("%d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
	close(leave)
	<-left
	if err := h.limited(httptest.NewRecorder(), read, func(*http.Request) error { return nil }); err != nil {
		t.Errorf("after the first has left: %v", err)
	}
}

func TestTimeout(t *testing.T) {
	h := testHandler(clock.RealClock{})
	err := h.limited(httptest.NewRecorder(), httptest.NewRequest("GET", "/x?timeout=10ms", nil), func(r *http.Request) error {
		<-r.Context().Done()
		return r.Context().Err()
	})
	if s := statusOf(err); s.Code != 504 || s.Reason != metav1.StatusReasonTimeout {
		t.Errorf("%d %s", s.Code, s.Reason)
	}
}

func TestWarningsCannotForgeHeaders(t *testing.T) {
	h := testHandler(clock.RealClock{})
	w, _ := serveStatus(t, h.filters(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		warning.Add(r.Context(), "evil\r\nSet-Cookie: a=b \"quoted\" \\")
		NotFound(w, r)
	})))
	if got := w.Header().Get("Warning"); got != `299 - "evil  Set-Cookie: a=b \"quoted\" \\"` {
		t.Errorf("%q", got)
	}
}

func TestAuditIDOfAStranger(t *testing.T) {
	for given, kept := range map[string]bool{"abc-123": true, "": false, "a b": false, "a\nb": false, strings.Repeat("x", 65): false, "é": false} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header[auditHeader] = []string{given}
		if got := auditID(r); (got == given) != kept || got == "" {
			t.Errorf("%q became %q", given, got)
		}
	}
}

func TestLongRequestsEndWithDraining(t *testing.T) {
	draining, drain := context.WithCancel(t.Context())
	base := WithDraining(t.Context(), draining)
	long, stop := drained(base)
	defer stop()
	if long.Err() != nil {
		t.Fatal("ended before its time")
	}
	drain()
	<-long.Done()
	if base.Err() != nil {
		t.Error("short requests were ended as well")
	}
}

// TestCompression: long answers are compressed for clients on other hosts that take it.
func TestCompression(t *testing.T) {
	long := []byte(strings.Repeat("all work and no play ", gzipThreshold/10))
	tests := []struct {
		name, remote, accept string
		data                 []byte
		zipped               bool
	}{
		{"long, far", "10.0.0.9:1234", "gzip", long, true},
		{"short, far", "10.0.0.9:1234", "gzip", long[:1000], false},
		{"long, far, not wanted", "10.0.0.9:1234", "", long, false},
		{"long, this host", "127.0.0.1:1234", "gzip", long, false},
		{"long, this host by its address", "10.0.0.1:1234", "gzip", long, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.ParseIP("10.0.0.1"), Port: 6443}))
			r.RemoteAddr = tt.remote
			r.Header.Set("Accept-Encoding", tt.accept)
			w := httptest.NewRecorder()
			b := newBody(w, r, 200, mediaJSON)
			for rest := tt.data; len(rest) > 0; rest = rest[min(len(rest), 5000):] {
				b.write(rest[:min(len(rest), 5000)])
			}
			b.close()
			var from io.Reader = w.Body
			if zipped := w.Header().Get("Content-Encoding") == "gzip"; zipped != tt.zipped {
				t.Fatalf("compressed: %v", zipped)
			}
			if tt.zipped {
				var err error
				if from, err = gzip.NewReader(w.Body); err != nil {
					t.Fatal(err)
				}
			}
			if got, err := io.ReadAll(from); err != nil || !bytes.Equal(got, tt.data) {
				t.Errorf("%v: %d bytes, want %d", err, len(got), len(tt.data))
			}
		})
	}
}
