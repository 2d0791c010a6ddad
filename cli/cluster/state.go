package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/miniorch/miniorch/pkg/pki"
)

// state is what Down needs to know although the cluster's parts are gone: it is written
// before anything is made.
type state struct {
	Number       int    `json:"number"`
	Config       Config `json:"config"`
	IPForward    string `json:"ipForward"` // as it was before
	Kubeconfig   string `json:"kubeconfig,omitempty"`
	NewConfig    bool   `json:"newConfig,omitempty"`    // there was no kubeconfig before,
	NewConfigDir bool   `json:"newConfigDir,omitempty"` // nor the directory that it is in
	NetNSDir     bool   `json:"netnsDir,omitempty"`     // the mount at /run/netns is ours
}

func statePath(c Config) string { return filepath.Join(c.dir(), "cluster.json") }

// load reads the state of the named cluster; ok is false if there is none.
func load(c Config) (s state, ok bool, err error) {
	content, err := os.ReadFile(statePath(c))
	if errors.Is(err, os.ErrNotExist) {
		return s, false, nil
	}
	if err != nil {
		return s, false, err
	}
	if err := json.Unmarshal(content, &s); err != nil {
		return s, false, fmt.Errorf("reading %s: %w", statePath(c), err)
	}
	return s, true, nil
}

func (s state) save() error {
	content, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return pki.WriteFile(statePath(s.Config), content, 0o600)
}

// exclusive takes the lock under which clusters are made and removed on this machine.
func exclusive(root string) (unlock func(), err error) {
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, fmt.Errorf("making the state directory: %w", err)
	}
	dir, err := os.Open(root)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		dir.Close()
		return nil, fmt.Errorf("locking %s: %w", root, err)
	}
	return func() { dir.Close() }, nil
}

// freeNumber returns the lowest number that neither a cluster below root nor an address of
// this machine uses.
func freeNumber(root string) (int, error) {
	taken, err := addressesInUse()
	if err != nil {
		return 0, err
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		if s, ok, err := load(Config{Name: e.Name(), StateRoot: root}); err == nil && ok {
			taken = append(taken, s.Number)
		}
	}
	for n := range clusters {
		if !slices.Contains(taken, n) {
			return n, nil
		}
	}
	return clusters, nil
}
