package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"

	"github.com/miniorch/miniorch/apiserver"
	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/apiserver/storage"
	"github.com/miniorch/miniorch/apiserver/storage/etcd"
	"github.com/miniorch/miniorch/pkg/decision"
)

// openedStore is the store with what ends with it.
type openedStore struct {
	storage.Store
	failed  <-chan error    // of the embedded etcd; nil for an external one
	stopped <-chan struct{} // likewise
	close   func()
}

// openStore starts the embedded etcd or connects to the external one.
func openStore(ctx context.Context, o options, logger *slog.Logger) (openedStore, error) {
	if len(o.Etcd.Servers) > 0 {
		c, err := etcd.DialExternal(o.Etcd.Servers, o.Etcd.Cert, o.Etcd.Key, o.Etcd.CA)
		if err != nil {
			return openedStore{}, fmt.Errorf("connecting to etcd (--etcd-servers): %w", err)
		}
		return openedStore{Store: etcd.New(c, etcd.Config{}), close: func() { c.Close() }}, nil
	}
	e, err := etcd.StartEmbedded(ctx, etcd.EmbeddedConfig{
		DataDir: filepath.Join(o.DataDir, "etcd"), Name: o.Name, QuotaBytes: o.Etcd.QuotaBytes, Logger: logger,
	})
	if err != nil {
		return openedStore{}, fmt.Errorf("starting etcd in %s: %w", filepath.Join(o.DataDir, "etcd"), err)
	}
	return openedStore{Store: etcd.New(e.Client(), etcd.Config{}), failed: e.Err(), stopped: e.Stopped(), close: func() {
		if err := e.Close(); err != nil {
			logger.Error("closing etcd", "err", err)
		}
	}}, nil
}

// watch ends the process when the embedded etcd does: a control plane without its store
// is better restarted than half alive.
func (s openedStore) watch(ctx context.Context) error {
	select {
	case err := <-s.failed:
		return fmt.Errorf("the embedded etcd failed: %w", err)
	case <-s.stopped:
		return fmt.Errorf("the embedded etcd stopped")
	case <-ctx.Done():
		return nil
	}
}

func newServer(o options, store storage.Store, listener net.Listener, security *apiserver.Security, logger *slog.Logger, decisions *decision.Log) (*apiserver.Server, error) {
	config := apiserver.Config{
		Listener: listener, Logger: logger, Decisions: decisions, Profiling: o.Profiling,
		AdvertiseAddress: o.published(), AdvertisePort: int32(port(listener)), ServiceCIDR: o.ServiceCIDR,
	}
	security.Apply(&config)
	if o.TokenFile != "" {
		file, err := os.Open(o.TokenFile)
		if err != nil {
			return nil, fmt.Errorf("--token-auth-file: %w", err)
		}
		defer file.Close()
		if config.StaticTokens, err = auth.ParseTokenFile(file); err != nil {
			return nil, fmt.Errorf("--token-auth-file: %w", err)
		}
	}
	return apiserver.New(store, config)
}
