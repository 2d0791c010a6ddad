package runtime

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miniorch/miniorch/kubelet/cgroups"
	"github.com/miniorch/miniorch/kubelet/container"
	_ "github.com/miniorch/miniorch/kubelet/logs/writer/early" // this test binary is its own log writer
	"github.com/miniorch/miniorch/kubelet/runtime/supervise"
	"github.com/miniorch/miniorch/pkg/leaktest"
)

// node is a private containerd with a runtime on it.
type node struct {
	*Runtime
	t          testing.TB
	dir        string
	cgroupRoot string
	supervisor *supervise.Supervisor
	images     string // directory of image archives
}

// startNode starts a containerd of the test's own and imports a busybox image. Everything
// is gone again when the test ends, and the test fails if not.
func startNode(t testing.TB) *node {
	t.Helper()
	needRoot(t)
	// Not t.TempDir: its path is too long for sockets, and removing it is part of the test.
	dir, err := os.MkdirTemp("", "mo")
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, dir: dir, cgroupRoot: "/" + leaktest.Name() + "-" + filepath.Base(dir), images: filepath.Join(dir, "images")}
	before := leftovers(t, dir)
	if before != "" {
		t.Fatalf("a fresh directory has leftovers: %s", before)
	}
	stop := n.startContainerd(t)
	t.Cleanup(func() { n.tearDown(t, stop) })
	n.Runtime = n.newRuntime(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := n.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	buildImages(t, n.images)
	if _, err := n.ImportDir(ctx, n.images); err != nil {
		t.Fatal(err)
	}
	return n
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("runs real containers: needs root")
	}
	for _, program := range []string{"containerd", "runc", "containerd-shim-runc-v2"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("runs real containers: needs %s (apt install containerd runc)", program)
		}
	}
	if _, err := os.Stat("/bin/busybox"); err != nil {
		t.Skip("runs real containers: needs /bin/busybox (apt install busybox-static)")
	}
}

// startContainerd starts a supervised containerd; the result stops it.
func (n *node) startContainerd(t testing.TB) (stop func()) {
	t.Helper()
	s, err := supervise.New(supervise.Config{Root: filepath.Join(n.dir, "root"), State: filepath.Join(n.dir, "state"), Cgroup: n.cgroupRoot + "/runtime", Logger: testLogger(t)})
	if err != nil {
		t.Fatal(err)
	}
	n.supervisor = s
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	select {
	case <-s.Ready():
	case err := <-done:
		t.Fatalf("containerd: %v", err)
	case <-time.After(2 * time.Minute):
		t.Fatal("containerd does not get ready")
	}
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("supervisor: %v", err)
		}
	}
}

// newRuntime is a second agent on the same containerd.
func (n *node) newRuntime(t testing.TB) *Runtime {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(Config{
		Address: n.supervisor.Address(), StateDir: filepath.Join(n.dir, "agent"),
		LogWriter: LogWriter{Path: self}, Logger: testLogger(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// tearDown removes all containers, stops containerd and checks that nothing is left.
func (n *node) tearDown(t testing.TB, stop func()) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	all, err := n.Containers(ctx)
	if err != nil {
		t.Errorf("listing containers at the end: %v", err)
	}
	for _, c := range all {
		if err := n.Remove(ctx, c.ID); err != nil {
			t.Errorf("removing %s at the end: %v", c, err)
		}
	}
	n.Close()
	stop()
	manager, err := cgroups.NewManager(n.cgroupRoot)
	if err != nil {
		t.Error(err)
	} else if err := manager.RemoveAll(); err != nil {
		t.Errorf("removing cgroups: %v", err)
	}
	var left string
	for range 200 {
		// Shims go some milliseconds after their last container.
		if left = leftovers(t, n.dir); left == "" {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	removeCgroupRoot(t, n.cgroupRoot)
	if left != "" {
		t.Errorf("left behind:\n%s", left)
	}
	if t.Failed() {
		if data, err := os.ReadFile(filepath.Join(n.dir, "root/containerd.log")); err == nil {
			t.Logf("containerd's log:\n%s", data)
		}
	}
	if err := os.RemoveAll(n.dir); err != nil {
		t.Errorf("removing %s: %v", n.dir, err)
	}
}

// removeCgroupRoot removes, in every hierarchy, the level above kubepods and containerd's own
// cgroup beside it. Shims and what containerd calls to clean up after them have their own
// time to go.
func removeCgroupRoot(t testing.TB, root string) {
	t.Helper()
	var dirs []string
	for _, level := range []string{root + "/runtime", root} {
		for _, pattern := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
			found, _ := filepath.Glob(pattern + level)
			dirs = append(dirs, found...)
		}
	}
	for _, dir := range dirs {
		err := os.Remove(dir)
		for end := time.Now().Add(time.Minute); err != nil && time.Now().Before(end); err = os.Remove(dir) {
			time.Sleep(10 * time.Millisecond)
		}
		if err != nil {
			procs, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
			t.Errorf("removing cgroup: %v; its processes: %q", err, procs)
		}
	}
}

// leftovers lists processes, mounts and cgroups that belong to dir.
func leftovers(t testing.TB, dir string) string {
	t.Helper()
	var out strings.Builder
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, dir+"/") {
			fmt.Fprintf(&out, "mount: %s", line)
		}
	}
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range lines {
		data, err := os.ReadFile(file)
		if err != nil {
			continue // gone
		}
		if strings.Contains(string(data), dir+"/") {
			fmt.Fprintf(&out, "process: %s: %s\n", file, strings.ReplaceAll(string(data), "\x00", " "))
		}
	}
	return out.String()
}

// testLogger writes to the test's log while the test runs.
func testLogger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
}

func TestMain(m *testing.M) {
	leaktest.MainPrivate(m)
}

// spec is a container of a pod of its own, in host namespaces so that no network is needed.
func (n *node) spec(pod, name string, command ...string) container.ContainerSpec {
	return container.ContainerSpec{
		PodUID: pod, PodNamespace: "default", PodName: "pod-" + pod, Name: name, Kind: container.KindApp,
		Image: "busybox", Command: command,
		LogPath:   filepath.Join(n.dir, "logs", pod, name, "0.log"),
		Network:   container.Namespaces{HostNetwork: true},
		Resources: container.Resources{CgroupParent: n.cgroupRoot + "/kubepods/besteffort/pod" + pod},
	}
}

// run creates and starts a container.
func (n *node) run(spec container.ContainerSpec) string {
	n.t.Helper()
	id, err := n.Create(n.t.Context(), spec)
	if err != nil {
		n.t.Fatal(err)
	}
	if err := n.Start(n.t.Context(), id); err != nil {
		n.t.Fatal(err)
	}
	return id
}

// get is the present state of a container.
func (n *node) get(id string) container.Container {
	n.t.Helper()
	c, err := n.Container(n.t.Context(), id)
	if err != nil {
		n.t.Fatal(err)
	}
	return c
}

// eventually waits until check returns the empty string; what it returned last is the
// failure.
func eventually(t testing.TB, check func() string) {
	t.Helper()
	var last string
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if last = check(); last == "" {
			return
		}
	}
	t.Fatal(last)
}

// processes are the command lines of everything that runs.
func processes(t testing.TB) string {
	t.Helper()
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	var out strings.Builder
	for _, file := range files {
		if data, err := os.ReadFile(file); err == nil {
			out.Write(append(data, '\n'))
		}
	}
	return out.String()
}
