package handlers

import (
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/miniorch/miniorch/apiserver/warning"
)

// metrics count requests under the names that dashboards for Kubernetes know.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	watches  *prometheus.GaugeVec

	// series finds a request's counters without hashing seven labels for each.
	series sync.Map // of seriesKey to *series
}

// seriesKey is what a request is counted under. There are only as many as there are
// resources, verbs and codes.
type seriesKey struct {
	verb, group, version, resource, subresource string
	code                                        int
}

type series struct {
	requests prometheus.Counter
	seconds  prometheus.Observer // nil for what lasts as long as its client wants
}

func newMetrics(reg prometheus.Registerer) *metrics {
	labels := []string{"verb", "group", "version", "resource", "subresource"}
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "apiserver_request_total", Help: "Requests served, by what they were about and how they ended.",
		}, append(labels, "code")),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "apiserver_request_duration_seconds", Help: "Time from a request's arrival to the end of its answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, labels),
		watches: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "apiserver_longrunning_requests", Help: "Watches that are being served.",
		}, []string{"group", "resource"}),
	}
	if reg != nil {
		reg.MustRegister(m.requests, m.seconds, m.watches)
	}
	return m
}

// verbs are those that requests are counted by.
var verbs = []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"}

// observe counts a request. Only resources that exist make a label: a stranger must not be
// able to fill memory with names.
func (m *metrics) observe(s *requestState, r *http.Request, rec *recorder, took time.Duration) {
	t := s.target
	if s.verb == "" || rec.code == http.StatusNotFound || rec.code == http.StatusUnauthorized || rec.code == http.StatusForbidden {
		t = target{}
	}
	verb := s.verb
	if !slices.Contains(verbs, verb) { // a proxy passes on whatever its client says
		verb = "other"
	}
	one := m.of(seriesKey{verb, t.group, t.version, t.resource, t.subresource, rec.code})
	one.requests.Inc()
	if one.seconds != nil {
		one.seconds.Observe(took.Seconds())
	}
}

func (m *metrics) of(k seriesKey) *series {
	if known, ok := m.series.Load(k); ok {
		return known.(*series)
	}
	labels := []string{k.verb, k.group, k.version, k.resource, k.subresource}
	made := &series{requests: m.requests.WithLabelValues(append(labels, strconv.Itoa(k.code))...)}
	if k.verb != "watch" {
		made.seconds = m.seconds.WithLabelValues(labels...)
	}
	m.series.Store(k, made)
	return made
}

// recorder remembers the code of an answer, and puts the request's warnings into its header.
type recorder struct {
	http.ResponseWriter
	warnings *warning.Recorder
	code     int
}

// WriteHeader implements http.ResponseWriter.
func (rec *recorder) WriteHeader(code int) {
	if rec.code == 0 || rec.code < 200 {
		rec.code = code
		if code >= 200 {
			addWarnings(rec.Header(), rec.warnings)
		}
	}
	rec.ResponseWriter.WriteHeader(code)
}

// Write implements http.ResponseWriter.
func (rec *recorder) Write(b []byte) (int, error) {
	if rec.code == 0 {
		rec.WriteHeader(http.StatusOK)
	}
	return rec.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController flush and hijack.
func (rec *recorder) Unwrap() http.ResponseWriter { return rec.ResponseWriter }

// Flush and Hijack are what libraries look for.
func (rec *recorder) Flush() { _ = http.NewResponseController(rec.ResponseWriter).Flush() }

// markHijacked notes that the connection now speaks another protocol.
func markHijacked(w http.ResponseWriter) {
	if rec, ok := w.(*recorder); ok {
		rec.code = http.StatusSwitchingProtocols
	}
}
