package runtime

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"golang.org/x/sys/unix"
)

// sweep removes what an agent that died in the middle of something left behind: views of
// images with their mounts, the pipes of execs and those of containers that were never recorded. Nothing else of a container is ever in that state: its record
// comes first and goes last.
func (r *Runtime) sweep(ctx context.Context) error {
	entries, err := os.ReadDir(r.cfg.StateDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("sweeping %s: %w", r.cfg.StateDir, err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || !strings.HasPrefix(e.Name(), viewPrefix) || !info.ModTime().Before(r.since) {
			continue
		}
		dir := filepath.Join(r.cfg.StateDir, e.Name())
		if err := mount.UnmountAll(dir, 0); err != nil {
			return fmt.Errorf("unmounting %s: %w", dir, err)
		}
		if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("sweeping: %w", err)
		}
	}
	if err := errors.Join(r.sweepExecs(), r.sweepStdio(ctx)); err != nil {
		return err
	}
	if err := r.sweepShims(ctx); err != nil {
		return err
	}
	snapshotter, _, err := r.snapshots(ctx)
	if err != nil {
		return err
	}
	var views []string
	err = snapshotter.Walk(ctx, func(_ context.Context, info snapshots.Info) error {
		if strings.HasPrefix(info.Name, viewPrefix) && info.Created.Before(r.since) {
			views = append(views, info.Name)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("listing snapshots: %w", translate(err))
	}
	for _, key := range views {
		if err := translate(snapshotter.Remove(ctx, key)); err != nil && !isNotFound(err) {
			return fmt.Errorf("removing view %s: %w", key, err)
		}
	}
	return nil
}

// sweepExecs removes the pipes of execs that an earlier agent served.
func (r *Runtime) sweepExecs() error {
	dir := filepath.Join(r.cfg.StateDir, execDir)
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("sweeping %s: %w", dir, err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.ModTime().Before(r.since) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("sweeping: %w", err)
		}
	}
	return nil
}

// shimSockets is where containerd's shims listen, on every installation.
const shimSockets = "/run/containerd/s"

// shimSocket is the socket of the shim that was started for group.
func (r *Runtime) shimSocket(group string) string {
	name := sha256.Sum256([]byte(filepath.Join(r.cfg.Address, r.cfg.Namespace, group)))
	return filepath.Join(shimSockets, hex.EncodeToString(name[:]))
}

// removeDeadSocket removes the socket of a shim that was killed; one that ended by itself
// has done so.
func (r *Runtime) removeDeadSocket(group string) {
	path := r.shimSocket(group)
	conn, err := net.Dial("unix", path)
	if err == nil {
		conn.Close()
		return // it lives
	}
	if !errors.Is(err, unix.ECONNREFUSED) {
		return // gone, as it should be
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.cfg.Logger.Warn("cannot remove the socket of a dead shim", "path", path, "error", err)
	}
}
