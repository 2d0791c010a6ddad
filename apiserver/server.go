// Package apiserver is the REST front door of the cluster: it joins the generic engine
// (apiserver/rest) with authentication, authorization, HTTP handlers, discovery and
// OpenAPI into one server over a storage.Store.
package apiserver

import (
	"context"
	"log/slog"
	"net"
	"net/http"

	"k8s.io/utils/clock"

	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/apiserver/storage"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/decision"
)

// Config is what a Server can be told. Every field has a default.
type Config struct {
	Listener net.Listener // serve TLS here; nil: in-process clients only

	Clock     clock.WithTicker
	Logger    *slog.Logger
	Rand      func() float64
	Decisions *decision.Log // served at /debug/decisions
}

// Server is one API server.
type Server struct {
	ready chan struct{}
}

// New makes a server over store. It starts nothing.
func New(store storage.Store, cfg Config) (*Server, error) {
	return &Server{ready: make(chan struct{})}, nil
}

// Run serves until ctx ends and returns with no goroutine left behind.
func (s *Server) Run(ctx context.Context) error { panic("stub") }

// Ready is closed once every cache is filled and the cluster's own objects exist.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Handler returns the HTTP handler, for serving without a listener of the server's own.
func (s *Server) Handler() http.Handler { panic("stub") }

// Client returns an in-process transport that acts as user: authorization, admission and
// validation run, serialization does not.
func (s *Server) Client(user auth.User) client.Transport { panic("stub") }
