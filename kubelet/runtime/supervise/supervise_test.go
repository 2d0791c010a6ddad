package supervise

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miniorch/miniorch/pkg/leaktest"
)

func TestMain(m *testing.M) { leaktest.MainPrivate(m) }

// start runs a supervisor in a directory of its own until the test ends.
func start(t *testing.T, dir string) (*Supervisor, func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("runs containerd: needs root")
	}
	if _, err := exec.LookPath("containerd"); err != nil {
		t.Skip("needs containerd (apt install containerd)")
	}
	s, err := New(Config{Root: filepath.Join(dir, "root"), State: filepath.Join(dir, "state")})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	select {
	case <-s.Ready():
	case err := <-done:
		t.Fatal(err)
	case <-time.After(2 * time.Minute):
		t.Fatal("containerd does not get ready")
	}
	return s, stop
}

// shortDir is a temporary directory whose sockets have names short enough.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mo")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

func waitPID(t *testing.T, s *Supervisor, not int) int {
	t.Helper()
	for range 24_000 {
		if pid := s.PID(); pid != 0 && pid != not {
			return pid
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("containerd is not started again")
	return 0
}

func TestRestart(t *testing.T) {
	s, stop := start(t, shortDir(t))
	pid := waitPID(t, s, 0)
	if group, err := syscall.Getpgid(pid); err != nil || group != pid {
		t.Errorf("process group %d, %v; want its own, %d", group, err, pid)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	again := waitPID(t, s, pid)
	stop()
	if alive(again) {
		t.Error("containerd outlived its supervisor's orderly end")
	}
	if data, err := os.ReadFile(s.cfg.LogFile); err != nil {
		t.Errorf("log: %q %v", data, err)
	}
}

// TestPredecessor: the containerd of an agent that was killed is replaced.
func TestPredecessor(t *testing.T) {
	dir := shortDir(t)
	s, stop := start(t, dir)
	stop() // its files stay
	orphan := exec.Command(s.cfg.Binary, "--config", s.configFile())
	if err := orphan.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- orphan.Wait() }()
	for range 24_000 {
		if conn, err := net.Dial("unix", s.Address()); err == nil {
			conn.Close()
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	next, _ := start(t, dir)
	select {
	case <-ended:
	case <-time.After(2 * time.Minute):
		orphan.Process.Kill()
		t.Error("the predecessor runs on")
	}
	if pid := waitPID(t, next, 0); !alive(pid) || pid == orphan.Process.Pid {
		t.Errorf("containerd is %d, the predecessor was %d", pid, orphan.Process.Pid)
	}
}

func TestConfig(t *testing.T) {
	cases := []struct {
		name string
		cfg  Config
		want string
	}{
		{"relative", Config{Root: "a", State: "/b"}, "not absolute"},
		{"long", Config{Root: "/a", State: "/" + strings.Repeat("b", 100)}, "too long"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := New(c.cfg)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
	s := &Supervisor{cfg: Config{Root: `/r"oot`, State: "/state", Address: "/state/c.sock", Cgroup: "/c"}}
	for _, want := range []string{`root = "/r\"oot"`, `address = "/state/c.sock"`, `"io.containerd.grpc.v1.cri",`, "path = \"/c\""} {
		if !strings.Contains(s.renderConfig(), want) {
			t.Errorf("configuration lacks %s:\n%s", want, s.renderConfig())
		}
	}
}
