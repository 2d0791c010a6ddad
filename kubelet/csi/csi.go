// Package csi mounts volumes by the drivers of others, as the Container Storage Interface has it. A
// driver's program on the node puts a socket into the directory of plugins; from then on the node's
// CSINode names the driver, and pods' PersistentVolumes of it are staged, once for the node, and
// published, once for each pod.
//
// What a pod has of a driver is on record in the pod's directory before the driver is asked, and
// until it is done: an agent that was killed in between finds it there and goes on. The records are
// also what the node's status.volumesInUse is made of.
//
// Volumes in a pod's own spec (type csi), growing on the node, tokens for drivers and publishing
// again are left out; a driver that asks for one of these is refused.
package csi

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/miniorch/miniorch/pkg/client"
)

// Config tunes a Manager; zero fields have defaults.
type Config struct {
	// RootDir holds plugins_registry, where drivers register, and plugins, where they stage.
	RootDir  string
	NodeName string
	// Mounted reports whether something is mounted at a path.
	Mounted func(path string) (bool, error)
	// AttachPatience is how long a volume may take to be attached before a pod's start is tried anew. Default 2m.
	AttachPatience time.Duration
	Clock          clock.WithTicker
	Logger         *slog.Logger
}

// Manager knows the drivers on this node. Its methods are safe for concurrent use.
type Manager struct {
	cfg       Config
	transport client.Transport
	volumes   locks // by the names that the node's status has

	reporting sync.Mutex // held while volumesInUse is written

	mu      sync.Mutex
	drivers map[string]*driver // guarded by mu; by name
}

// New returns a manager; Run lets drivers register.
func New(transport client.Transport, cfg Config) *Manager {
	if cfg.AttachPatience == 0 {
		cfg.AttachPatience = 2 * time.Minute
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.RealClock{}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return &Manager{cfg: cfg, transport: transport, drivers: map[string]*driver{}}
}

// driver returns a registered driver.
func (m *Manager) driver(name string) (*driver, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if d := m.drivers[name]; d != nil {
		return d, nil
	}
	return nil, fmt.Errorf("driver name %s not found in the list of registered CSI drivers", name)
}

func (m *Manager) registryDir() string { return filepath.Join(m.cfg.RootDir, "plugins_registry") }

// Run lets drivers come and go until ctx ends.
func (m *Manager) Run(ctx context.Context) error {
	changed, stop, err := watchDir(m.registryDir())
	if err != nil {
		return err
	}
	defer stop()
	defer m.closeAll()
	known, pause := map[socket]*driver{}, retryMin
	for {
		wait := rescan
		if m.scan(ctx, known) {
			pause = retryMin
		} else {
			wait, pause = pause, min(2*pause, retryMax)
		}
		timer := m.cfg.Clock.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-changed:
			pause = retryMin
		case <-timer.C():
		}
		timer.Stop()
	}
}

// locks are one lock for each name that is in use.
type locks struct {
	mu    sync.Mutex
	named map[string]*counted // guarded by mu
}

type counted struct {
	sync.Mutex
	users int // guarded by locks.mu
}

// lock locks a name and returns what unlocks it.
func (l *locks) lock(name string) (unlock func()) {
	l.mu.Lock()
	if l.named == nil {
		l.named = map[string]*counted{}
	}
	one := l.named[name]
	if one == nil {
		one = &counted{}
		l.named[name] = one
	}
	one.users++
	l.mu.Unlock()
	one.Lock()
	return func() {
		one.Unlock()
		l.mu.Lock()
		defer l.mu.Unlock()
		if one.users--; one.users == 0 {
			delete(l.named, name)
		}
	}
}
