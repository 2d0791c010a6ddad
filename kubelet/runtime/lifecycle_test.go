package runtime

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/miniorch/miniorch/kubelet/container"
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
