package supervise

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// stopPredecessor ends a containerd that runs with our configuration: the one of an agent
// that was killed. Two of them would fight over the database, and one that nobody
// supervises would not come back when it dies.
func (s *Supervisor) stopPredecessor(ctx context.Context) error {
	pid, err := s.findPredecessor()
	if err != nil || pid == 0 {
		return err
	}
	s.cfg.Logger.Info("stopping the containerd of an earlier agent", "pid", pid)
	// A pidfd names the process even if its number is taken by another meanwhile.
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("stopping containerd %d: %w", pid, err)
	}
	defer unix.Close(fd)
	if again, err := s.findPredecessor(); err != nil || again != pid {
		return err
	}
	for _, attempt := range []struct {
		signal   unix.Signal
		patience time.Duration
	}{{unix.SIGTERM, 10 * time.Second}, {unix.SIGKILL, 10 * time.Second}} {
		if err := unix.PidfdSendSignal(fd, attempt.signal, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("stopping containerd %d: %w", pid, err)
		}
		if s.ended(ctx, fd, attempt.patience) {
			return nil
		}
	}
	return fmt.Errorf("containerd %d of an earlier agent does not end", pid)
}

// ended waits for a process to end.
func (s *Supervisor) ended(ctx context.Context, fd int, patience time.Duration) bool {
	const step = 20 // milliseconds
	for deadline := s.cfg.Clock.Now().Add(patience); s.cfg.Clock.Now().Before(deadline) && ctx.Err() == nil; {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, step)
		if err == nil && n > 0 {
			return true
		}
	}
	return false
}

// findPredecessor looks for a process whose command line is ours.
func (s *Supervisor) findPredecessor() (int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, fmt.Errorf("looking for an earlier containerd: %w", err)
	}
	want := []byte("\x00--config\x00" + s.configFile() + "\x00")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		line, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err != nil || !bytes.HasSuffix(line, want) {
			continue // gone, or another's
		}
		exe, err := os.Readlink(filepath.Join("/proc", e.Name(), "exe"))
		if err == nil && filepath.Base(strings.TrimSuffix(exe, " (deleted)")) == filepath.Base(s.cfg.Binary) {
			return pid, nil
		}
	}
	return 0, nil
}
