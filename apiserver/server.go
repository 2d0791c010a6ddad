// Package apiserver is the REST front door of the cluster: it joins the generic engine
// (apiserver/rest) with authentication, authorization, HTTP handlers, discovery and
// OpenAPI into one server over a storage.Store.
package apiserver

import (
	"context"
	"net/http"

	"golang.org/x/sync/errgroup"

	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/apiserver/managedfields"
	"github.com/miniorch/miniorch/apiserver/registry"
	"github.com/miniorch/miniorch/apiserver/registry/core"
	"github.com/miniorch/miniorch/apiserver/rest"
	"github.com/miniorch/miniorch/apiserver/storage"
	"github.com/miniorch/miniorch/apiserver/usage"
	"github.com/miniorch/miniorch/pkg/client"
)

// Server is one API server.
type Server struct {
	cfg      Config
	store    storage.Store
	registry *rest.Registry
	usage    *usage.Watcher // nil if no node can be asked
	handler  http.Handler
	ready    chan struct{}
}

// New makes a server over store. It starts nothing.
func New(store storage.Store, cfg Config) (*Server, error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, store: store, ready: make(chan struct{})}
	if kubelets := s.kubelets(); kubelets != nil {
		s.usage = usage.New(nodeCounters{s, kubelets}, cfg.UsagePeriod, cfg.Clock, cfg.Logger)
	}
	s.registry = rest.New(store, registry.All(s.kinds()), cfg.restConfig())
	if cfg.Tokens != nil {
		cfg.Tokens.Bind(s.registry)
	}
	s.handler = s.routes()
	managedfields.Schema() // the first write would have to wait for it
	return s, nil
}

// kinds is what the built-in kinds need to know of the server.
func (s *Server) kinds() registry.Config {
	k := s.cfg.Registry
	k.Now = s.cfg.Clock.Now
	k.Authorizer = s.cfg.Authorizer
	reviewer := auth.Reviewer{Tokens: s.cfg.Tokens, Others: auth.StaticTokens(s.cfg.StaticTokens), Audiences: []string{auth.DefaultIssuer}}
	if s.cfg.Tokens != nil {
		reviewer.Audiences = s.cfg.Tokens.Audiences()
	}
	k.Reviewer = reviewer
	if s.usage != nil {
		k.Metrics = s.usage
	}
	k.Components = append([]core.Component{{Name: "etcd-0", Check: s.checkStore}}, k.Components...)
	return k
}

func (s *Server) checkStore(ctx context.Context) error {
	_, err := s.store.Revision(ctx)
	return err
}

// Run serves until ctx ends and returns with no goroutine left behind. The caches are
// stopped last, so that requests which are still being served can end properly.
func (s *Server) Run(ctx context.Context) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	engine, background := errgroup.WithContext(background)
	engine.Go(func() error { return s.registry.Run(background) })

	front, ctx := errgroup.WithContext(ctx)
	front.Go(func() error { // the engine's failure ends everything
		select {
		case <-background.Done():
			return engine.Wait()
		case <-ctx.Done():
			return nil
		}
	})
	front.Go(func() error { return s.bootstrap(ctx) })
	if s.usage != nil {
		front.Go(func() error { return s.watchUsage(ctx) })
	}
	if s.cfg.Listener != nil {
		front.Go(func() error { return s.serve(ctx) })
	}
	err := front.Wait()
	stop()
	if engineErr := engine.Wait(); err == nil {
		err = engineErr
	}
	return err
}

// Ready is closed once every cache is filled and the cluster's own objects exist.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Handler returns the HTTP handler, for serving without a listener of the server's own.
func (s *Server) Handler() http.Handler { return s.handler }

// Registry returns the engine, for what needs more than a client.
func (s *Server) Registry() *rest.Registry { return s.registry }

// Client returns an in-process transport that acts as user: authorization, admission and
// validation run, serialization does not.
func (s *Server) Client(user auth.User) client.Transport {
	return inProcess{s.registry.Client(user), s.handler, user}
}
