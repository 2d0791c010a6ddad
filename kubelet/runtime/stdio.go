package runtime

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/miniorch/miniorch/kubelet/container"
	"github.com/miniorch/miniorch/kubelet/logs/writer"
)

// A container's streams outlive the agent. Its output goes to its log writer (kubelet/logs),
// a child of the shim, which passes it on to attached sessions as well. Its stdin is a named
// pipe that the log writer holds open. A terminal's shim reads that pipe; without a terminal
// the shim knows no stdin for containers with a log writer, so runc is started through
// runcWithStdin, which opens the pipe as the stdin that runc leaves to the container.

// stdioDir holds the pipe and the socket of one container.
func (r *Runtime) stdioDir(id string) string {
	return filepath.Join(r.cfg.StateDir, writer.StdioDir, id)
}

func (r *Runtime) stdinPath(id string) string {
	return filepath.Join(r.stdioDir(id), writer.StdinFile)
}

// makeStdio makes the directory of a container's streams, and its stdin if it has one.
func (r *Runtime) makeStdio(id string, want container.ContainerSpec, user specs.User) error {
	if err := os.MkdirAll(r.stdioDir(id), 0o700); err != nil {
		return fmt.Errorf("making directory for streams: %w", err)
	}
	if !want.Stdin {
		return nil
	}
	path := r.stdinPath(id)
	if err := unix.Mkfifo(path, 0o600); err != nil {
		return fmt.Errorf("making stdin: %w", err)
	}
	// So that /dev/stdin can be opened by who runs in the container.
	if err := os.Chown(path, int(user.UID), int(user.GID)); err != nil {
		return fmt.Errorf("making stdin: %w", err)
	}
	return nil
}

func (r *Runtime) removeStdio(id string) error {
	if err := os.RemoveAll(r.stdioDir(id)); err != nil {
		return fmt.Errorf("removing streams: %w", err)
	}
	return nil
}

// sweepStdio removes the streams of containers that an earlier agent did not come to record.
func (r *Runtime) sweepStdio(ctx context.Context) error {
	dir := filepath.Join(r.cfg.StateDir, writer.StdioDir)
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("sweeping %s: %w", dir, err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.ModTime().Before(r.since) {
			continue
		}
		if _, err := r.store().Get(ctx, e.Name()); err == nil || !isNotFound(err) {
			continue
		}
		if err := r.removeStdio(e.Name()); err != nil {
			return err
		}
	}
	return nil
}

// shimOptions tells the shim to keep runc's state below ours, not where all containerds of the
// machine have theirs and what a crash leaves would stay; and to start runc through
// runcWithStdin, for a container that needs it.
func (r *Runtime) shimOptions(want container.ContainerSpec) (typeurl.Any, error) {
	o := &options.Options{Root: filepath.Join(r.cfg.StateDir, "runc")}
	if want.Stdin && !want.TTY {
		var err error
		if o.BinaryName, err = r.runcWithStdin(); err != nil {
			return nil, err
		}
	}
	encoded, err := typeurl.MarshalAny(o)
	if err != nil {
		return nil, fmt.Errorf("encoding shim options: %w", err)
	}
	return encoded, nil
}

// runcWithStdin makes the name under which the log writer's program acts as runc: the shim
// can be told another runc, but no arguments for it.
func (r *Runtime) runcWithStdin() (string, error) {
	if r.cfg.LogWriter.Path == "" {
		return "", errors.New("stdin needs a log writer, and none is configured")
	}
	path := filepath.Join(r.cfg.StateDir, writer.RuncName)
	if target, err := os.Readlink(path); err == nil && target == r.cfg.LogWriter.Path {
		return path, nil
	}
	// By a rename: others may be using it.
	fresh := path + "." + r.cfg.NewID()
	if err := os.Symlink(r.cfg.LogWriter.Path, fresh); err != nil {
		return "", fmt.Errorf("making link to the log writer: %w", err)
	}
	if err := os.Rename(fresh, path); err != nil {
		return "", errors.Join(fmt.Errorf("making link to the log writer: %w", err), os.Remove(fresh))
	}
	return path, nil
}
