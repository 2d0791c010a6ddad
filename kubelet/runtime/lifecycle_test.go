package runtime

import (
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/kubelet/container"
	"github.com/miniorch/miniorch/kubelet/logs"
)

func TestLifecycle(t *testing.T) {
	n := startNode(t)
	id := n.run(n.spec("a", "main", "sh", "-c", "echo hello; exec sleep 1000"))
	c := n.get(id)
	if c.State != container.StateRunning || c.PID == 0 || c.StartedAt.IsZero() {
		t.Fatalf("after start: %+v", c)
	}
	if c.Name != "main" || c.PodUID != "a" || c.Kind != container.KindApp || !strings.HasPrefix(c.ImageID, "docker.io/library/busybox@sha256:") {
		t.Errorf("identity: %+v", c)
	}
	eventually(t, func() string { return wantLog(c.LogPath, "hello\n") })
	begin := time.Now()
	if err := n.Stop(t.Context(), id, container.StopRequest{Grace: 300 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	// sleep as PID 1 ignores SIGTERM: only SIGKILL ends it.
	if took := time.Since(begin); took < 300*time.Millisecond {
		t.Errorf("stopped after %v, before the grace period was over", took)
	}
	if c = n.get(id); c.State != container.StateExited || c.ExitCode != 137 || c.Reason != container.ReasonError || c.FinishedAt.IsZero() {
		t.Errorf("after stop: %+v", c)
	}
	for range 2 { // the second time nothing is left to do
		if err := n.Remove(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	all, err := n.Containers(t.Context())
	if err != nil || len(all) != 0 {
		t.Errorf("after remove: %v, %v", all, err)
	}
}

// wantLog compares the text of a log with want.
func wantLog(path, want string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	var text strings.Builder
	for line := range strings.Lines(string(data)) {
		if fields := strings.SplitN(line, " ", 4); len(fields) == 4 {
			text.WriteString(fields[3])
		}
	}
	if text.String() != want {
		return "log is " + text.String() + ", want " + want
	}
	return ""
}

// TestStop: the image's stop signal is honoured, a handler gets its time, and a shorter
// stop beside a longer one wins.
func TestStop(t *testing.T) {
	n := startNode(t)
	spec := n.spec("g", "main", "sh", "-c", "trap 'echo got it; exit 6' USR1; echo ready; while true; do sleep 0.02; done")
	spec.Image = "example/configured:v1" // STOPSIGNAL SIGUSR1
	id := n.run(spec)
	path := n.get(id).LogPath
	eventually(t, func() string { return wantLog(path, "ready\n") })
	if err := n.Stop(t.Context(), id, container.StopRequest{Grace: 10 * time.Second}); err != nil {
		t.Fatal(err)
	}
	if c := n.get(id); c.ExitCode != 6 {
		t.Errorf("after the stop: %+v", c)
	}
	eventually(t, func() string { return wantLog(path, "ready\ngot it\n") })

	stubborn := n.run(n.spec("g", "stubborn", "sleep", "1000"))
	long := make(chan error, 1)
	go func() { long <- n.Stop(t.Context(), stubborn, container.StopRequest{Grace: time.Hour}) }()
	begin := time.Now()
	if err := n.Stop(t.Context(), stubborn, container.StopRequest{Signal: "SIGHUP", Grace: 100 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	if err := <-long; err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > 2*time.Minute {
		t.Errorf("the longer stop took %v", took)
	}
	for range 2 { // of what is not there or has ended
		if err := n.Stop(t.Context(), stubborn, container.StopRequest{Grace: time.Hour}); err != nil {
			t.Error(err)
		}
		if err := n.Remove(t.Context(), stubborn); err != nil {
			t.Fatal(err)
		}
	}
}

// TestInterruptedStart: a start that was cut off is completed by the next one.
func TestInterruptedStart(t *testing.T) {
	n := startNode(t)
	id, err := n.Create(t.Context(), n.spec("i", "main", "sleep", "1000"))
	if err != nil {
		t.Fatal(err)
	}
	if c := n.get(id); c.State != container.StateCreated {
		t.Errorf("created: %+v", c)
	}
	ctx := n.scope(t.Context())
	info, err := n.store().Get(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	request, err := n.taskRequest(ctx, info)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.client.TaskService().Create(ctx, request); err != nil {
		t.Fatal(err)
	}
	if c := n.get(id); c.State != container.StateCreated {
		t.Errorf("with a task that was not started: %+v", c)
	}
	for range 2 { // the second finds it running
		if err := n.Start(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if c := n.get(id); c.State != container.StateRunning {
			t.Errorf("started: %+v", c)
		}
	}
	// One that stays as it is must be removable as well.
	half, err := n.Create(t.Context(), n.spec("i", "half", "sleep", "1000"))
	if err != nil {
		t.Fatal(err)
	}
	if info, err = n.store().Get(ctx, half); err != nil {
		t.Fatal(err)
	}
	if request, err = n.taskRequest(ctx, info); err != nil {
		t.Fatal(err)
	}
	if _, err := n.client.TaskService().Create(ctx, request); err != nil {
		t.Fatal(err)
	}
	if err := n.Remove(t.Context(), half); err != nil {
		t.Error(err)
	}
}

// TestFollowedLog: who follows the log of a container that ends gets all of it.
func TestFollowedLog(t *testing.T) {
	n := startNode(t)
	events, err := n.Events(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	spec := n.spec("f", "main", "sh", "-c", "sleep 0.1; seq 1 20000; sleep 0.1; seq 20001 100000; echo end")
	spec.LogMaxBytes, spec.LogMaxFiles = 1<<20, 100
	id := n.run(spec)
	exited := make(chan struct{})
	go func() {
		for e := range events {
			if e.ID == id && e.Type == container.EventExited {
				close(exited)
			}
		}
	}()
	reader := logs.NewReader(logs.Config{})
	defer reader.Close()
	var out strings.Builder
	if err := reader.Read(t.Context(), spec.LogPath, &corev1.PodLogOptions{Follow: true}, exited, &out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 100001 || lines[0] != "1" || lines[99999] != "100000" || lines[100000] != "end" {
		t.Errorf("%d lines, from %q to %q", len(lines), lines[0], lines[len(lines)-1])
	}
}
