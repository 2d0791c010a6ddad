package runtime

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/miniorch/miniorch/kubelet/container"
)

func TestImageVolume(t *testing.T) {
	n := startNode(t)
	dir := filepath.Join(n.dir, "volume")
	for range 2 { // again changes nothing
		if err := n.MountImage(t.Context(), "busybox", "pod-1", dir); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	if _, err := os.Stat(filepath.Join(dir, "bin", "busybox")); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "x"), nil, 0o600); !errors.Is(err, unix.EROFS) {
		t.Errorf("writing into it: %v", err)
	}
	spec := n.spec("iv", "main", "sh", "-c", "ls /image/bin/busybox && ! /image/bin/busybox true")
	spec.Mounts = []container.Mount{{HostPath: dir, ContainerPath: "/image", ReadOnly: true, NoExec: true}}
	id := n.run(spec)
	eventually(t, func() string {
		if c := n.get(id); c.State != container.StateExited || c.ExitCode != 0 {
			return c.String()
		}
		return ""
	})
	if err := n.Remove(t.Context(), id); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := n.ReleaseImages(t.Context(), "pod-1"); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Unmount(dir, 0); err != nil {
		t.Error(err)
	}
	if err := n.MountImage(t.Context(), "example.com/nothing:1", "pod-1", dir); !errors.Is(err, container.ErrImageNotFound) {
		t.Errorf("of an image that is not there: %v", err)
	}
}
