// Package server is the HTTPS side of a node: container logs, exec, attach, connections to
// the ports of pods, health, the pods it runs and what they use, metrics, and what it decided. It serves the API server and administrators only, known by their
// client certificates; strangers get to know that it is alive.
package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/kubelet/container"
	"github.com/miniorch/miniorch/kubelet/stats"
	"github.com/miniorch/miniorch/pkg/decision"
)

// Backend is what the server needs of the kubelet. Errors should be API errors.
type Backend interface {
	// Pods lists the pods of the node.
	Pods() []*corev1.Pod
	// ContainerID finds a running container.
	ContainerID(namespace, pod, name string) (id string, err error)
	Exec(ctx context.Context, id string, req container.ExecRequest) (exitCode int, err error)
	Attach(ctx context.Context, id string, req container.AttachRequest) error
	// CheckPod fails unless the pod is one whose ports can be reached.
	CheckPod(namespace, pod string) error
	// DialPod connects by TCP to a port of a pod, from inside its network: to its address, or
	// with loopback to 127.0.0.1 or ::1.
	DialPod(ctx context.Context, namespace, pod string, port uint16, loopback bool) (net.Conn, error)
	// ContainerLog writes a container's log as opts ask.
	ContainerLog(ctx context.Context, namespace, pod, name string, opts *corev1.PodLogOptions, w io.Writer) error
	// Usage measures the node; what could be measured is there with an error, too.
	Usage() (stats.Node, error)
	// Healthy says whether the kubelet can do its work.
	Healthy() error
}

// Config tunes a Server.
type Config struct {
	// TLS holds the node's certificate and the authority that signed clients' certificates.
	TLS     *tls.Config
	Metrics prometheus.Gatherer // nil: the default
	// Decisions is served at /debug/decisions: what every component of this node's process decided.
	Decisions *decision.Log
	Logger    *slog.Logger
}

// Who may call, by the names in a client certificate.
const (
	apiserverName = "system:apiserver"
	mastersGroup  = "system:masters"
)

// Server answers requests about the pods of one node.
type Server struct {
	backend Backend
	cfg     Config
	handler http.Handler

	mu       sync.Mutex
	stopped  bool           // guarded by mu
	sessions sync.WaitGroup // requests whose connections were taken over; not before mu
}

// New returns a server; it starts nothing.
func New(backend Backend, cfg Config) *Server {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Metrics == nil {
		cfg.Metrics = prometheus.DefaultGatherer
	}
	s := &Server{backend: backend, cfg: cfg}
	r := mux.NewRouter()
	r.HandleFunc("/healthz", s.healthz).Methods(http.MethodGet)
	known := r.NewRoute().Subrouter()
	known.Use(authorize)
	known.HandleFunc("/pods", s.pods).Methods(http.MethodGet)
	known.Handle("/metrics", promhttp.HandlerFor(cfg.Metrics, promhttp.HandlerOpts{})).Methods(http.MethodGet)
	known.HandleFunc("/metrics/resource", s.resourceMetrics).Methods(http.MethodGet)
	known.HandleFunc("/stats/summary", s.summary).Methods(http.MethodGet)
	known.Handle("/debug/decisions", cfg.Decisions)
	known.HandleFunc("/containerLogs/{namespace}/{pod}/{container}", s.logs).Methods(http.MethodGet)
	for path, handler := range map[string]http.HandlerFunc{
		"/exec/{namespace}/{pod}/{container}":   s.exec,
		"/attach/{namespace}/{pod}/{container}": s.attach,
		"/portForward/{namespace}/{pod}":        s.portForward,
		"/dial/{namespace}/{pod}/{port}":        s.dial,
	} {
		known.Handle(path, s.connecting(handler)).Methods(http.MethodGet, http.MethodPost)
	}
	s.handler = r
	return s
}

// connecting counts requests that the HTTP server loses sight of.
func (s *Server) connecting(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		if s.stopped {
			s.mu.Unlock()
			fail(w, apierrors.NewServiceUnavailable("the node's agent is stopping"))
			return
		}
		s.sessions.Add(1)
		s.mu.Unlock()
		defer s.sessions.Done()
		next(w, r)
	})
}

// Serve answers on l until ctx ends. Streams are cut then.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	secure := s.cfg.TLS.Clone()
	// Strangers may ask for health, so a certificate is verified but not required.
	secure.ClientAuth = tls.VerifyClientCertIfGiven
	secure.NextProtos = []string{"http/1.1"} // exec needs connections that can be taken over
	server := &http.Server{
		Handler: s.handler, ReadHeaderTimeout: 10 * time.Second,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    slog.NewLogLogger(s.cfg.Logger.Handler(), slog.LevelDebug),
	}
	stopped := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stopped()
	defer s.stop(cancel)
	if err := server.Serve(tls.NewListener(l, secure)); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// stop ends the sessions and waits until they have.
func (s *Server) stop(cancel context.CancelFunc) {
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	cancel()
	s.sessions.Wait()
}

// authorize lets the API server and administrators pass.
func authorize(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
			fail(w, apierrors.NewUnauthorized("Unauthorized"))
			return
		}
		if !allowed(r.TLS.VerifiedChains[0][0]) {
			fail(w, &apierrors.StatusError{ErrStatus: metav1.Status{
				Status: metav1.StatusFailure, Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden,
				Message: "Forbidden: only the API server and administrators may ask a node",
			}})
			return
		}
		next.ServeHTTP(w, r)
	})
}

func allowed(cert *x509.Certificate) bool {
	return cert.Subject.CommonName == apiserverName || slices.Contains(cert.Subject.Organization, mastersGroup)
}

func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	if err := s.backend.Healthy(); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = io.WriteString(w, "ok")
}

func (s *Server) pods(w http.ResponseWriter, _ *http.Request) {
	list := corev1.PodList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}}
	for _, p := range s.backend.Pods() {
		list.Items = append(list.Items, *p)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(list)
}

// fail answers with an API error.
func fail(w http.ResponseWriter, err error) {
	status := metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusInternalServerError,
		Reason: metav1.StatusReasonInternalError, Message: err.Error(),
	}
	var known apierrors.APIStatus
	if errors.As(err, &known) {
		status = known.Status()
	}
	status.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(int(status.Code))
	_ = json.NewEncoder(w).Encode(status)
}
