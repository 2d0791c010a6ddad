package leaktest

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestMain(m *testing.M) { Main(m) }

// Everything that can be left is seen while it is there, and forgotten when it is gone.
func TestWhatIsLeftIsSeen(t *testing.T) {
	for _, c := range []struct {
		name, reason, want string
		root               bool
		leave              func(t *testing.T, dir string) (remove func())
	}{
		{name: "child", reason: "a process that nobody waited for", want: "(sleep): sleep 1000", leave: sleeper},
		{name: "daemon", reason: "init has adopted it, but it has our environment", want: "(sleep): sleep 1000", leave: daemon},
		{name: "file", reason: "in the temporary directory", want: "/forgotten", leave: func(t *testing.T, dir string) func() {
			file := filepath.Join(dir, "forgotten")
			check(t, os.WriteFile(file, nil, 0o600))
			return func() { check(t, os.Remove(file)) }
		}},
		{name: "mount", reason: "below the temporary directory", want: "(tmpfs)", root: true, leave: func(t *testing.T, dir string) func() {
			at := filepath.Join(dir, "m")
			check(t, os.Mkdir(at, 0o700))
			check(t, syscall.Mount("tmpfs", at, "tmpfs", 0, ""))
			return func() { check(t, syscall.Unmount(at, 0)); check(t, os.Remove(at)) }
		}},
		{name: "cgroup", reason: "with our name", want: "cgroup /sys/fs/cgroup/", root: true, leave: func(t *testing.T, _ string) func() {
			hierarchies, _ := filepath.Glob("/sys/fs/cgroup/*/cgroup.procs")
			hierarchy := "/sys/fs/cgroup"
			if len(hierarchies) > 0 && !exists("/sys/fs/cgroup/cgroup.procs") {
				hierarchy = filepath.Dir(hierarchies[0])
			}
			group := filepath.Join(hierarchy, Name()+"-test")
			if err := os.Mkdir(group, 0o755); err != nil {
				t.Skipf("no cgroup can be made: %v", err)
			}
			return func() { check(t, os.Remove(group)) }
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Log(c.reason)
			if c.root && os.Geteuid() != 0 {
				t.Skip("needs root")
			}
			w := watch(os.Getenv("TMPDIR"))
			if left := w.wait(0); len(left) > 0 {
				t.Fatalf("nothing was done, and this is left: %q", left)
			}
			remove := c.leave(t, w.dir)
			left := strings.Join(w.wait(0), "\n")
			remove()
			if !strings.Contains(left, c.want) {
				t.Errorf("left is %q, want %q", left, c.want)
			}
			if left := w.wait(settle); len(left) > 0 {
				t.Errorf("all is removed, and this is left: %q", left)
			}
		})
	}
}

func sleeper(t *testing.T, _ string) func() {
	cmd := exec.Command("sleep", "1000")
	check(t, cmd.Start())
	asleep(t, cmd.Process.Pid)
	return func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
}

func daemon(t *testing.T, _ string) func() {
	cmd := exec.Command("sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 & echo $!")
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	check(t, err)
	check(t, cmd.Wait())
	var pid int
	for _, digit := range strings.TrimSpace(line) {
		pid = 10*pid + int(digit-'0')
	}
	asleep(t, pid)
	return func() { check(t, syscall.Kill(pid, syscall.SIGKILL)) }
}

// asleep returns when the process has become a sleep.
func asleep(t *testing.T, pid int) {
	t.Helper()
	file := fmt.Sprintf("/proc/%d/comm", pid)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if name, err := os.ReadFile(file); err == nil && string(name) == "sleep\n" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("process %d does not become a sleep", pid)
		}
	}
}

func exists(file string) bool { _, err := os.Stat(file); return err == nil }

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
