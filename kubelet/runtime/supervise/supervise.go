// Package supervise runs a private containerd for a node: it writes its configuration,
// starts it, waits until it answers, starts it again when it dies, and stops it on
// request. Containers are never touched: they live in their shims, which outlast
// containerd and this process alike.
package supervise

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/utils/clock"
)

// Config says where the private containerd lives.
type Config struct {
	// Root keeps what must outlive a reboot: images, snapshots, containers.
	Root string
	// State keeps what must not: sockets, bundles, pids. A path of more than about 60
	// characters makes sockets fail; see Address.
	State string
	// Address is the socket; default State/containerd.sock.
	Address string
	// LogFile receives containerd's output; default Root/containerd.log. It is begun
	// anew, and the old one kept as .1, at a start that finds it over 10 MiB.
	LogFile string
	// Binary is containerd's path; default: found on the PATH.
	Binary string
	// Cgroup, if set, is where containerd and the shims it starts live, such as
	// "/miniorch/runtime": apart from the agent, whose end must not be theirs.
	Cgroup string
	// Env is added to containerd's environment.
	Env []string

	Logger *slog.Logger
	Clock  clock.WithTicker
}

func (c Config) withDefaults() (Config, error) {
	for _, dir := range []string{c.Root, c.State} {
		if !filepath.IsAbs(dir) {
			return c, fmt.Errorf("containerd: directory %q is not absolute", dir)
		}
	}
	if c.Address == "" {
		c.Address = filepath.Join(c.State, "containerd.sock")
	}
	const most = 104 // of a Unix socket's name, less what ".ttrpc" takes
	if len(c.Address)+len(".ttrpc") > most {
		return c, fmt.Errorf("containerd: socket path %q is too long", c.Address)
	}
	if c.LogFile == "" {
		c.LogFile = filepath.Join(c.Root, "containerd.log")
	}
	if c.Binary == "" {
		path, err := exec.LookPath("containerd")
		if err != nil {
			return c, fmt.Errorf("containerd is not installed: %w", err)
		}
		c.Binary = path
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Clock == nil {
		c.Clock = clock.RealClock{}
	}
	return c, nil
}

// Supervisor runs one containerd.
type Supervisor struct {
	cfg   Config
	ready chan struct{}
	once  sync.Once

	mu  sync.Mutex
	pid int // guarded by mu; 0 while it does not run
}

// New returns a supervisor that starts nothing before Run.
func New(cfg Config) (*Supervisor, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Supervisor{cfg: cfg, ready: make(chan struct{})}, nil
}

// Address is the socket to connect to.
func (s *Supervisor) Address() string { return s.cfg.Address }

// Ready is closed once containerd has answered for the first time.
func (s *Supervisor) Ready() <-chan struct{} { return s.ready }

// PID is that of the running containerd, 0 if there is none now.
func (s *Supervisor) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pid
}

// Restarts back off from the first pause to the last; a containerd that ran for steady
// begins again with the first.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = 10 * time.Second
	steady     = 30 * time.Second
)

// Run keeps containerd running until ctx ends, then stops it and returns. It fails only
// if its files cannot be written. A containerd that an earlier agent left behind is
// stopped first; its containers run on.
func (s *Supervisor) Run(ctx context.Context) error {
	if err := s.prepare(); err != nil {
		return err
	}
	if err := s.stopPredecessor(ctx); err != nil {
		return err
	}
	if err := SweepSockets(s.cfg.State); err != nil {
		s.cfg.Logger.Warn("cannot remove sockets of dead shims", "err", err)
	}
	pause := firstPause
	for ctx.Err() == nil {
		began := s.cfg.Clock.Now()
		err := s.runOnce(ctx)
		if ctx.Err() != nil {
			break
		}
		if s.cfg.Clock.Since(began) > steady {
			pause = firstPause
		}
		s.cfg.Logger.Error("containerd ended, starting it again", "error", err, "after", pause, "log", s.cfg.LogFile)
		select {
		case <-ctx.Done():
		case <-s.cfg.Clock.After(pause):
		}
		pause = min(2*pause, lastPause)
	}
	return nil
}

func (s *Supervisor) prepare() error {
	for _, dir := range []string{s.cfg.Root, s.cfg.State, filepath.Dir(s.cfg.Address), filepath.Dir(s.cfg.LogFile)} {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return fmt.Errorf("preparing containerd: %w", err)
		}
	}
	if err := os.WriteFile(s.configFile(), []byte(s.renderConfig()), 0o644); err != nil {
		return fmt.Errorf("writing containerd's configuration: %w", err)
	}
	return nil
}

// makeCgroup makes containerd's cgroup on a machine that has version 2 only, where containerd 1.6
// wants to find it; elsewhere it makes its own.
func (s *Supervisor) makeCgroup() error {
	const mount = "/sys/fs/cgroup"
	var found unix.Statfs_t
	if s.cfg.Cgroup == "" || unix.Statfs(mount, &found) != nil || found.Type != unix.CGROUP2_SUPER_MAGIC {
		return nil
	}
	if err := os.MkdirAll(filepath.Join(mount, s.cfg.Cgroup), 0o755); err != nil {
		return fmt.Errorf("making containerd's cgroup: %w", err)
	}
	return nil
}

// runOnce starts containerd and returns when it has ended.
func (s *Supervisor) runOnce(ctx context.Context) error {
	log, err := s.openLog()
	if err != nil {
		return err
	}
	defer log.Close()
	if err := s.makeCgroup(); err != nil {
		return err
	}
	cmd := exec.Command(s.cfg.Binary, "--config", s.configFile())
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Dir = s.cfg.State
	cmd.Env = append(os.Environ(), s.cfg.Env...)
	// A group of its own: an interrupt at the agent's terminal is the agent's.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting containerd: %w", err)
	}
	s.setPID(cmd.Process.Pid)
	defer s.setPID(0)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	watching, stopWatching := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { s.announce(watching) })
	defer func() { stopWatching(); watch.Wait() }()
	select {
	case err := <-ended:
		return fmt.Errorf("containerd exited: %w", errors.Join(err))
	case <-ctx.Done():
		return s.terminate(cmd.Process, ended)
	}
}

func (s *Supervisor) setPID(pid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pid = pid
}

// terminate ends containerd politely, then not.
func (s *Supervisor) terminate(p *os.Process, ended <-chan error) error {
	const patience = 10 * time.Second
	p.Signal(syscall.SIGTERM)
	select {
	case <-ended:
	case <-s.cfg.Clock.After(patience):
		p.Kill()
		<-ended
	}
	return nil
}

// announce closes ready when the socket takes connections.
func (s *Supervisor) announce(ctx context.Context) {
	const pause = 5 * time.Millisecond
	for ctx.Err() == nil {
		conn, err := net.Dial("unix", s.cfg.Address)
		if err == nil {
			conn.Close()
			s.once.Do(func() { close(s.ready) })
			return
		}
		select {
		case <-ctx.Done():
		case <-s.cfg.Clock.After(pause):
		}
	}
}

func (s *Supervisor) openLog() (*os.File, error) {
	const most = 10 << 20
	if info, err := os.Stat(s.cfg.LogFile); err == nil && info.Size() > most {
		if err := os.Rename(s.cfg.LogFile, s.cfg.LogFile+".1"); err != nil {
			return nil, fmt.Errorf("rotating containerd's log: %w", err)
		}
	}
	f, err := os.OpenFile(s.cfg.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, fmt.Errorf("opening containerd's log: %w", err)
	}
	return f, nil
}
