package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/utils/clock"

	"github.com/miniorch/miniorch/apiserver"
	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/apiserver/storage"
	"github.com/miniorch/miniorch/apiserver/storage/etcd"
	"github.com/miniorch/miniorch/pkg/decision"
)

// lock keeps a second master off the directory: etcd would wait for the first one to end,
// silently and deaf to signals. The kernel takes the lock away with the process.
func lock(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the data directory (--data-dir): %w", err)
	}
	held, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the data directory (--data-dir): %w", err)
	}
	if err := unix.Flock(int(held.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		held.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("another miniorch-master uses %s (--data-dir)", dir)
		}
		return nil, fmt.Errorf("locking %s (--data-dir): %w", dir, err)
	}
	return func() { held.Close() }, nil
}

// etcdPatience is how long an external etcd may take to answer before we say that it does not.
const etcdPatience = 5 * time.Second

// openedStore is the store with what ends with it.
type openedStore struct {
	storage.Store
	// ready returns when the store answers; until then it may be elected or looked for.
	ready   func(context.Context) error
	failed  <-chan error    // of the embedded etcd; nil for an external one
	stopped <-chan struct{} // likewise
	// maintain looks after the embedded etcd's file; nil for an external one.
	maintain func(context.Context, clock.WithTicker) error
	close    func()
}

// openStore starts the embedded etcd or connects to the external one.
func openStore(o options, logger *slog.Logger) (openedStore, error) {
	if len(o.Etcd.Servers) > 0 {
		c, err := etcd.DialExternal(o.Etcd.Servers, o.Etcd.Cert, o.Etcd.Key, o.Etcd.CA)
		if err != nil {
			return openedStore{}, fmt.Errorf("connecting to etcd (--etcd-servers): %w", err)
		}
		opened := openedStore{Store: etcd.New(c, etcd.Config{}), close: func() { c.Close() }}
		opened.ready = func(ctx context.Context) error { return opened.reach(ctx, o.Etcd.Servers, logger) }
		return opened, nil
	}
	e, err := etcd.LaunchEmbedded(etcd.EmbeddedConfig{
		DataDir: filepath.Join(o.DataDir, "etcd"), Name: o.Name, QuotaBytes: o.Etcd.QuotaBytes, Logger: logger,
	})
	if err != nil {
		return openedStore{}, fmt.Errorf("starting etcd in %s: %w", filepath.Join(o.DataDir, "etcd"), err)
	}
	return openedStore{Store: etcd.New(e.Client(), etcd.Config{}), ready: e.Wait, failed: e.Err(), stopped: e.Stopped(), maintain: e.Maintain, close: func() {
		if err := e.Close(); err != nil {
			logger.Error("closing etcd", "err", err)
		}
	}}, nil
}

// reach waits until the external etcd answers, and says what it waits for: a wrong address
// would otherwise look like a control plane that hangs.
func (s openedStore) reach(ctx context.Context, servers []string, logger *slog.Logger) error {
	for {
		try, cancel := context.WithTimeout(ctx, etcdPatience)
		_, err := s.Revision(try)
		cancel()
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		logger.Warn("etcd does not answer, still trying", "servers", servers, "err", err)
	}
}

// look looks after the embedded etcd until ctx ends.
func (s openedStore) look(ctx context.Context) error {
	if s.maintain == nil {
		return nil
	}
	return s.maintain(ctx, clock.RealClock{})
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

func newServer(o options, store storage.Store, listener net.Listener, security *apiserver.Security, logger *slog.Logger, decisions *decision.Log, why *explainer) (*apiserver.Server, error) {
	config := apiserver.Config{
		Listener: listener, Logger: logger, Decisions: decisions, Why: why, Profiling: o.Profiling, UsagePeriod: o.UsagePeriod,
		AdvertiseAddress: o.published(), AdvertisePort: int32(port(listener)), ServiceCIDR: o.ServiceCIDR,
	}
	for _, part := range [][2]string{{"controllers", "controller-manager"}, {"scheduler", "scheduler"}} {
		if !o.disabled(part[0]) {
			config.Registry.Components = append(config.Registry.Components, o.roles.component(part[1]))
		}
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
