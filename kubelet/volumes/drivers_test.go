package volumes

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/kubelet/container"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/client/clienttest"
)

func block(v *corev1.PersistentVolume) { v.Spec.VolumeMode = ptr.To(corev1.PersistentVolumeBlock) }

// A device is handed out as it is, or what its file system holds; and nobody takes one for the other.
func TestLocalDevices(t *testing.T) {
	dir := t.TempDir()
	device, link := filepath.Join(dir, "disk"), filepath.Join(dir, "by-id")
	if err := unix.Mknod(device, unix.S_IFBLK|0o600, int(unix.Mkdev(7, 0))); err != nil {
		t.Skipf("device nodes cannot be made here: %v", err)
	}
	if err := os.Symlink(device, link); err != nil {
		t.Fatal(err)
	}
	xfs := "xfs"
	for _, tc := range []struct {
		name   string
		change func(*corev1.PersistentVolume)
		device bool // the container wants one
		want   container.Mount
		mount  string
		err    string
	}{
		{name: "device", change: block, device: true, want: container.Mount{HostPath: device, Device: true}},
		{name: "by a link", change: func(v *corev1.PersistentVolume) { block(v); v.Spec.Local.Path = link }, device: true, want: container.Mount{HostPath: device, Device: true}},
		{name: "file system", change: func(v *corev1.PersistentVolume) { v.Spec.MountOptions = []string{"noatime"} }, mount: "ext4 " + device + " noatime"},
		{name: "file system of a type", change: func(v *corev1.PersistentVolume) { v.Spec.Local.FSType = &xfs }, mount: "xfs " + device + " "},
		{name: "device as a directory", change: block, err: "error processing PVC default/c: volume data has volumeMode Block, but is specified in volumeMounts"},
		{name: "directory as a device", change: func(*corev1.PersistentVolume) {}, device: true, err: "volume data has volumeMode Filesystem, but is specified in volumeDevices"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m, _ := manager(t, boundClaim(), volumeOf(corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: device}}, tc.change))
			pod := podWith(claimVolume())
			pod.Spec.Containers = []corev1.Container{{VolumeMounts: []corev1.VolumeMount{{Name: "data"}}}}
			if tc.device {
				pod.Spec.Containers = []corev1.Container{{VolumeDevices: []corev1.VolumeDevice{{Name: "data"}}}}
			}
			mounts, err := m.Prepare(t.Context(), pod)
			if tc.err != "" || err != nil {
				if err == nil || tc.err == "" || !strings.Contains(err.Error(), tc.err) {
					t.Fatalf("error %v, want %q", err, tc.err)
				}
				return
			}
			got := mounts["data"]
			if tc.mount != "" {
				if b, err := os.ReadFile(filepath.Join(got.HostPath, "mounted")); string(b) != tc.mount {
					t.Errorf("mounted %q (%v), want %q", b, err, tc.mount)
				}
			} else if got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

// drives plays a driver that shows one directory.
type drives struct {
	dir   string
	calls []string
}

func (d *drives) Mount(_ context.Context, pod *corev1.Pod, pv *corev1.PersistentVolume, readOnly bool) (string, bool, error) {
	d.calls = append(d.calls, fmt.Sprintf("mount %s for %s, read only %v", pv.Name, pod.Name, readOnly))
	return d.dir, true, nil
}

func (d *drives) Unmount(context.Context, types.UID) error {
	d.calls = append(d.calls, "unmount")
	return nil
}

// What a driver mounts is given to the pod's group, unless it is only read, and taken back with the pod.
func TestVolumesOfDrivers(t *testing.T) {
	for _, readOnly := range []bool{false, true} {
		d := &drives{dir: t.TempDir()}
		if err := os.WriteFile(filepath.Join(d.dir, "f"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		m, _ := manager(t, boundClaim(), volumeOf(corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{Driver: "d", ReadOnly: readOnly}}))
		m.cfg.Drivers = d
		pod := podWith(claimVolume())
		group := int64(os.Getgid())
		pod.Spec.SecurityContext = &corev1.PodSecurityContext{FSGroup: &group}
		mounts, err := m.Prepare(t.Context(), pod)
		if err != nil || mounts["data"].HostPath != d.dir || mounts["data"].ReadOnly != readOnly {
			t.Fatalf("mounted %+v, %v", mounts, err)
		}
		info, err := os.Stat(filepath.Join(d.dir, "f"))
		if given := err == nil && info.Mode().Perm() == 0o660; given == readOnly {
			t.Errorf("read only %v: the file has mode %v", readOnly, info.Mode())
		}
		if err := m.Teardown(t.Context(), pod.UID); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("[mount pv for p, read only %v unmount]", readOnly)
		if got := fmt.Sprint(d.calls); got != want {
			t.Errorf("calls %s, want %s", got, want)
		}
	}
}

// slow plays a driver whose volume is not attached yet.
type slow struct {
	drives
	begun, attached chan struct{}
}

func (s *slow) Mount(context.Context, *corev1.Pod, *corev1.PersistentVolume, bool) (string, bool, error) {
	close(s.begun)
	<-s.attached
	return s.dir, false, nil
}

// A pod that waits for a volume holds up no other, and hears of what has changed meanwhile.
func TestUpdatesArriveWhileAPodWaits(t *testing.T) {
	cm := &corev1.ConfigMap{ObjectMeta: meta("cm"), Data: map[string]string{"a": "1"}}
	m, transport := manager(t, cm, boundClaim(), volumeOf(corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{Driver: "d"}}))
	s := &slow{drives{dir: t.TempDir()}, make(chan struct{}), make(chan struct{})}
	m.cfg.Drivers = s
	clienttest.Run(t, m.Run)
	quick, waits := podWith(configMapVolume()), podWith(configMapVolume(), claimVolume())
	waits.UID = "u2"
	if _, err := m.Prepare(t.Context(), quick); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := m.Prepare(context.Background(), waits)
		done <- err
	}()
	<-s.begun
	changed := cm.DeepCopy()
	changed.Data["a"] = "2"
	if _, err := client.Of[*corev1.ConfigMap](transport).Update(t.Context(), changed); err != nil {
		t.Fatal(err)
	}
	sees := func(pod *corev1.Pod) func() (bool, string) {
		return func() (bool, string) {
			got := read(t, filepath.Join(m.volumeDir(pod.UID, &pod.Spec.Volumes[0]), "a"))
			return got == "2", got
		}
	}
	eventually(t, sees(quick))
	close(s.attached)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	eventually(t, sees(waits))
}
