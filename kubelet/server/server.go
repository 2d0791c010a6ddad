// Package server is the HTTPS side of a node: container logs, exec, health, the pods it
// runs, metrics, and what it decided. It serves the API server and administrators only, known by their
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
	"time"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/kubelet/container"
	"github.com/miniorch/miniorch/pkg/decision"
)

// Backend is what the server needs of the kubelet. Errors should be API errors.
type Backend interface {
	// Pods lists the pods of the node.
	Pods() []*corev1.Pod
	// ContainerID finds a running container.
	ContainerID(namespace, pod, name string) (id string, err error)
	Exec(ctx context.Context, id string, req container.ExecRequest) (exitCode int, err error)
	// ContainerLog writes a container's log as opts ask.
	ContainerLog(ctx context.Context, namespace, pod, name string, opts *corev1.PodLogOptions, w io.Writer) error
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
	known.Handle("/debug/decisions", cfg.Decisions)
	known.HandleFunc("/containerLogs/{namespace}/{pod}/{container}", s.logs).Methods(http.MethodGet)
	known.HandleFunc("/exec/{namespace}/{pod}/{container}", s.exec).Methods(http.MethodGet, http.MethodPost)
	s.handler = r
	return s
}

// Serve answers on l until ctx ends. Streams are cut then.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
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
	if err := server.Serve(tls.NewListener(l, secure)); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
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
