package server

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/gorilla/mux"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func (s *Server) logs(w http.ResponseWriter, r *http.Request) {
	v := mux.Vars(r)
	opts, err := logOptions(r.URL.Query())
	if err != nil {
		fail(w, apierrors.NewBadRequest(err.Error()))
		return
	}
	out := &flusher{w: w}
	err = s.backend.ContainerLog(r.Context(), v["namespace"], v["pod"], v["container"], opts, out)
	switch {
	case err == nil:
		out.begin() // an empty log is an answer, too
	case !out.begun:
		fail(w, err)
	case r.Context().Err() == nil:
		s.cfg.Logger.Warn("a log ended early", "pod", v["namespace"]+"/"+v["pod"], "err", err)
	}
}

// flusher sends what is written at once: somebody watches.
type flusher struct {
	w     http.ResponseWriter
	begun bool
}

func (f *flusher) begin() {
	if !f.begun {
		f.begun = true
		f.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		f.w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(f.w).Flush()
	}
}

// Write sends p.
func (f *flusher) Write(p []byte) (int, error) {
	f.begin()
	n, err := f.w.Write(p)
	if err != nil {
		return n, err
	}
	return n, http.NewResponseController(f.w).Flush()
}

// logOptions reads PodLogOptions from a query.
func logOptions(q url.Values) (*corev1.PodLogOptions, error) {
	o := &corev1.PodLogOptions{}
	for name, to := range map[string]*bool{"follow": &o.Follow, "previous": &o.Previous, "timestamps": &o.Timestamps} {
		var err error
		if *to, err = flag(q, name); err != nil {
			return nil, err
		}
	}
	for name, to := range map[string]**int64{"tailLines": &o.TailLines, "sinceSeconds": &o.SinceSeconds, "limitBytes": &o.LimitBytes} {
		if !q.Has(name) {
			continue
		}
		n, err := strconv.ParseInt(q.Get(name), 10, 64)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("invalid %s: %q", name, q.Get(name))
		}
		*to = &n
	}
	if text := q.Get("sinceTime"); text != "" {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return nil, fmt.Errorf("invalid sinceTime: %q", text)
		}
		since := metav1.NewTime(at)
		o.SinceTime = &since
	}
	if stream := q.Get("stream"); stream != "" {
		o.Stream = &stream
	}
	return o, nil
}

// flag reads a boolean; a name alone means true.
func flag(q url.Values, name string) (bool, error) {
	if !q.Has(name) {
		return false, nil
	}
	if q.Get(name) == "" {
		return true, nil
	}
	b, err := strconv.ParseBool(q.Get(name))
	if err != nil {
		return false, fmt.Errorf("invalid %s: %q", name, q.Get(name))
	}
	return b, nil
}
