package apiserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/miniorch/miniorch/apiserver/handlers"
)

const (
	// Limits on what a client can make the server hold before it is known who it is.
	readHeaderTimeout = 20 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 1 << 20
	// maxStreams is how many requests one HTTP/2 connection may have open: an informer
	// program has one watch per resource on a single connection.
	maxStreams = 1000
)

// serve serves HTTPS until ctx ends. Watches are told to end at once, other requests have
// Config.ShutdownGrace.
func (s *Server) serve(ctx context.Context) error {
	requests, endRequests := context.WithCancel(context.WithoutCancel(ctx))
	defer endRequests()
	server := &http.Server{
		Handler:           s.handler,
		TLSConfig:         s.tlsConfig(),
		ReadHeaderTimeout: min(readHeaderTimeout, s.cfg.RequestTimeout),
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		BaseContext:       func(net.Listener) context.Context { return handlers.WithDraining(requests, ctx) },
		ErrorLog:          slog.NewLogLogger(s.cfg.Logger.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.ServeTLS(s.cfg.Listener, "", "") }()
	select {
	case err := <-failed:
		return fmt.Errorf("serving the API: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.ShutdownGrace)
	defer cancel()
	err := server.Shutdown(grace)
	if err != nil { // somebody would not end: cut the connections
		endRequests()
		err = server.Close()
	}
	if serveErr := <-failed; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}

// tlsConfig asks for client certificates without demanding them: who they are from is the
// authenticator's to judge, and a token may come instead.
func (s *Server) tlsConfig() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: s.cfg.Certificate,
		ClientAuth:     tls.RequestClientCert,
		ClientCAs:      s.cfg.ClientCAs,
		NextProtos:     []string{"h2", "http/1.1"},
	}
}
