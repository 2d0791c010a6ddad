package cluster

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What a runc left frozen that was killed while it killed, ends all the same.
func TestKillEndsFrozenProcesses(t *testing.T) {
	const freezer = "/sys/fs/cgroup/freezer"
	if os.Geteuid() != 0 {
		t.Skip("control groups need root")
	}
	if _, err := os.Stat(filepath.Join(freezer, "cgroup.procs")); err != nil {
		t.Skip("only cgroup v1 has a freezer that SIGKILL does not get through")
	}
	group := fmt.Sprintf("/motest-%d", os.Getpid())
	dir := filepath.Join(freezer, group, "pod")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		thaw(group)
		_ = cmd.Process.Kill()
		<-ended
		if err := removeCgroups(group); err != nil {
			t.Error(err)
		}
	})
	for file, content := range map[string]string{"cgroup.procs": fmt.Sprint(cmd.Process.Pid), "freezer.state": "FROZEN"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	left, err := signal(group, unix.SIGKILL, 10*time.Second)
	if err != nil || left != 0 {
		t.Errorf("%d processes left, %v", left, err)
	}
}
