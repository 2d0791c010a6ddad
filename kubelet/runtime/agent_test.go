package runtime

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/mount"

	"github.com/miniorch/miniorch/kubelet/container"
)

// next reads events until one of the container comes.
func next(t *testing.T, events <-chan container.ContainerEvent, id string) container.ContainerEvent {
	t.Helper()
	for {
		select {
		case e, ok := <-events:
			if !ok {
				t.Fatal("events ended")
			}
			if e.ID == id {
				return e
			}
		case <-time.After(2 * time.Minute):
			t.Fatalf("no event of container %s", id)
		}
	}
}

func TestEvents(t *testing.T) {
	n := startNode(t)
	ctx, cancel := context.WithCancel(t.Context())
	events, err := n.Events(ctx)
	if err != nil {
		t.Fatal(err)
	}
	id := n.run(n.spec("e", "main", "sh", "-c", "sleep 0.05; exit 3"))
	if e := next(t, events, id); e.Type != container.EventStarted || e.PID == 0 {
		t.Errorf("first event %+v, want started", e)
	}
	e := next(t, events, id)
	late := time.Since(e.Time)
	if e.Type != container.EventExited || e.ExitCode != 3 {
		t.Errorf("second event %+v, want exited with 3", e)
	}
	t.Logf("exit event %v after the exit", late)
	// The task and its shim go while the exit stays known.
	eventually(t, func() string {
		if _, err := n.task(n.scope(t.Context()), id); !isNotFound(err) {
			return "the task of an ended container is still there"
		}
		return ""
	})
	if c := n.get(id); c.State != container.StateExited || c.ExitCode != 3 || c.Reason != container.ReasonError || c.StartedAt.IsZero() || c.FinishedAt.Before(c.StartedAt) {
		t.Errorf("after reaping: %+v", c)
	}
	cancel()
	for range events { // closed when all is tidied up
	}
}

// TestAgentRestart: containers, their logs and their exits survive an agent's absence.
func TestAgentRestart(t *testing.T) {
	n := startNode(t)
	gate := filepath.Join(n.dir, "gate")
	if err := os.Mkdir(gate, 0o777); err != nil {
		t.Fatal(err)
	}
	spec := n.spec("r", "main", "sh", "-c", "i=0; while ! test -e /gate/stop; do echo $i; i=$((i+1)); done; echo last $i; exit 42")
	spec.Mounts = []container.Mount{{HostPath: gate, ContainerPath: "/gate"}}
	spec.RestartCount, spec.SpecHash, spec.Kind = 3, "abc", container.KindInit
	id := n.run(spec)
	running := n.get(id)
	n.Close() // the agent is gone, the container is not
	if err := os.WriteFile(filepath.Join(gate, "stop"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		if syscall.Kill(running.PID, 0) == nil {
			return "still running"
		}
		return ""
	})
	n.Runtime = n.newRuntime(t)
	all, err := n.Containers(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatalf("containers: %v, %v", all, err)
	}
	c := all[0]
	if c.ID != id || c.State != container.StateExited || c.ExitCode != 42 || c.RestartCount != 3 || c.SpecHash != "abc" || c.Kind != container.KindInit || !c.StartedAt.Equal(running.StartedAt) {
		t.Errorf("found by the next agent: %+v", c)
	}
	ctx, cancel := context.WithCancel(t.Context())
	events, err := n.Events(ctx)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		if _, err := n.task(n.scope(t.Context()), id); !isNotFound(err) {
			return "the container that ended meanwhile is not tidied up"
		}
		return ""
	})
	if c := n.get(id); c.ExitCode != 42 || c.State != container.StateExited {
		t.Errorf("after tidying up: %+v", c)
	}
	cancel()
	for range events {
	}
	checkCounting(t, c.LogPath)
}

// checkCounting checks that a log counts up without a gap to its "last" line, through all
// its files.
func checkCounting(t *testing.T, path string) {
	t.Helper()
	files, _ := filepath.Glob(path + "*")
	var lines []string
	for _, f := range append(files[1:], files[0]) {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			lines = append(lines, strings.TrimSpace(strings.SplitN(line, " ", 4)[3]))
		}
	}
	for i, line := range lines[:len(lines)-1] {
		if line != fmt.Sprint(i) {
			t.Fatalf("line %d of the log is %q", i, line)
		}
	}
	if want := fmt.Sprint("last ", len(lines)-1); lines[len(lines)-1] != want {
		t.Errorf("the log ends with %q, want %q", lines[len(lines)-1], want)
	}
	t.Logf("%d lines, none lost", len(lines))
}

// TestContainerdRestart: containers do not notice that containerd died, and neither does
// the runtime for long.
func TestContainerdRestart(t *testing.T) {
	n := startNode(t)
	id := n.run(n.spec("c", "main", "sh", "-c", "while true; do echo x; sleep 0.01; done"))
	quick := n.run(n.spec("c2", "main", "sh", "-c", "sleep 0.1; exit 9"))
	events, err := n.Events(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before := n.get(id)
	if err := syscall.Kill(n.supervisor.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for range events { // closed by the loss
	}
	begin := time.Now()
	if err := n.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("containerd answers again %v after its death was seen", time.Since(begin))
	if after := n.get(id); after.State != container.StateRunning || after.PID != before.PID {
		t.Errorf("before %+v\nafter %+v", before, after)
	}
	eventually(t, func() string {
		if c := n.get(quick); c.State != container.StateExited || c.ExitCode != 9 {
			return fmt.Sprintf("the container that ended meanwhile: %+v", c)
		}
		return ""
	})
	again, err := n.Events(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Stop(t.Context(), id, container.StopRequest{}); err != nil {
		t.Fatal(err)
	}
	if e := next(t, again, id); e.Type != container.EventExited || e.ExitCode != 137 {
		t.Errorf("event %+v, want exit 137", e)
	}
	eventually(t, func() string {
		if c := n.get(id); c.State != container.StateExited {
			return c.String()
		}
		return ""
	})
}

// TestLostShim: a container whose shim died is seen to have ended, with an agent watching
// and without.
func TestLostShim(t *testing.T) {
	for _, watched := range []bool{true, false} {
		t.Run(fmt.Sprint("watched ", watched), func(t *testing.T) {
			n := startNode(t)
			var events <-chan container.ContainerEvent
			var err error
			if watched {
				if events, err = n.Events(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			id := n.run(n.spec("l", "main", "sleep", "1000"))
			waiting, err := n.Create(t.Context(), n.spec("l", "waiting", "true"))
			if err != nil {
				t.Fatal(err)
			}
			if err := syscall.Kill(shimOf(t, n.get(id).PID), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			if watched {
				for next(t, events, id).Type != container.EventExited {
				}
			}
			eventually(t, func() string {
				all, err := n.Containers(t.Context())
				if err != nil || len(all) != 2 {
					return fmt.Sprint(all, err)
				}
				lost, created := all[0], all[1]
				if lost.State != container.StateExited || lost.ExitCode != 137 || lost.Reason != container.ReasonUnknown || lost.StartedAt.IsZero() {
					return fmt.Sprintf("lost: %+v", lost)
				}
				if watched && lost.FinishedAt.IsZero() {
					return "its end is not written down"
				}
				if created.ID != waiting || created.State != container.StateCreated {
					return fmt.Sprintf("created: %+v", created)
				}
				return ""
			})
			socket := n.shimSocket(id)
			if _, err := os.Stat(socket); err != nil {
				t.Errorf("the socket of the dead shim is not where we look for it: %v", err)
			}
			if err := n.Remove(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(socket); !os.IsNotExist(err) {
				t.Errorf("the socket of the dead shim is still there: %v", err)
			}
		})
	}
}

// shimOf is the parent of a container's first process.
func shimOf(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	var parent int
	_, after, _ := strings.Cut(string(status), "PPid:")
	if _, err := fmt.Sscan(after, &parent); err != nil {
		t.Fatal(err)
	}
	return parent
}

func TestOOM(t *testing.T) {
	n := startNode(t)
	events, err := n.Events(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	spec := n.spec("o", "main", "sh", "-c", "a=x; while true; do a=$a$a; done")
	spec.Resources.MemoryLimit = 16 << 20
	id := n.run(spec)
	eventually(t, func() string {
		if c := n.get(id); c.State != container.StateExited || c.Reason != container.ReasonOOMKilled || c.ExitCode != 137 {
			return fmt.Sprintf("%+v", c)
		}
		return ""
	})
	seen := map[container.EventType]bool{}
	for !seen[container.EventExited] || !seen[container.EventOOM] {
		seen[next(t, events, id).Type] = true
	}
}

// TestSharedShim: the containers of a pod share a shim while one of them runs, and each
// may go without the others.
func TestSharedShim(t *testing.T) {
	n := startNode(t)
	first := n.run(n.spec("s", "one", "sleep", "1000"))
	second := n.run(n.spec("s", "two", "sleep", "1000"))
	other := n.run(n.spec("s2", "one", "sleep", "1000"))
	if got := shims(t, n.dir); got != 2 {
		t.Errorf("%d shims for two pods", got)
	}
	if err := n.Remove(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if c := n.get(second); c.State != container.StateRunning {
		t.Errorf("the second after the first was removed: %+v", c)
	}
	third := n.run(n.spec("s", "three", "sleep", "1000"))
	if got := shims(t, n.dir); got != 2 {
		t.Errorf("%d shims for two pods", got)
	}
	for _, id := range []string{second, third, other} {
		if _, err := os.Stat(filepath.Join(n.cfg.StateDir, "runc", n.cfg.Namespace, id)); err != nil {
			t.Errorf("runc's state of a container is not below the agent's: %v", err)
		}
		if err := n.Remove(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	// All the pod's containers end; the next one must not join the shim that goes.
	for i := range 5 {
		id := n.run(n.spec("s", fmt.Sprint("again", i), "true"))
		if err := n.Remove(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
}

func shims(t *testing.T, dir string) int {
	t.Helper()
	return strings.Count(leftovers(t, dir), "containerd-shim")
}

// TestSweep: what an agent left that was killed while it looked into an image goes with
// the next one, and what that one does itself stays.
func TestSweep(t *testing.T) {
	n := startNode(t)
	ctx := n.scope(t.Context())
	snapshotter, _, err := n.snapshots(ctx)
	if err != nil {
		t.Fatal(err)
	}
	record, err := n.findImage(ctx, "busybox")
	if err != nil {
		t.Fatal(err)
	}
	info, err := n.imageInfo(ctx, record)
	if err != nil {
		t.Fatal(err)
	}
	leave := func(name string) string {
		mounts, err := snapshotter.View(ctx, viewPrefix+name, info.chainID)
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(n.cfg.StateDir, viewPrefix+name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := mount.All(mounts, dir); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { mount.UnmountAll(dir, 0) })
		return dir
	}
	old := leave("old")
	pipes := filepath.Join(n.cfg.StateDir, execDir, "123")
	if err := os.MkdirAll(pipes, 0o700); err != nil {
		t.Fatal(err)
	}
	n.Close()
	time.Sleep(20 * time.Millisecond) // more than the resolution of a file's time
	n.Runtime = n.newRuntime(t)
	if snapshotter, _, err = n.snapshots(ctx); err != nil {
		t.Fatal(err)
	}
	leave("own")
	if _, err := n.Events(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, gone := range []string{old, pipes} {
		if _, err := os.Stat(gone); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", gone, err)
		}
	}
	if _, err := snapshotter.Stat(ctx, viewPrefix+"old"); !isNotFound(err) {
		t.Errorf("the old view is still there: %v", err)
	}
	if _, err := snapshotter.Stat(ctx, viewPrefix+"own"); err != nil {
		t.Errorf("the new agent's own view: %v", err)
	}
}
