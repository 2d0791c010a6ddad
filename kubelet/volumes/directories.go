package volumes

import (
	"fmt"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/miniorch/miniorch/pkg/api"
)

// emptyDir makes the directory that a pod's containers share, on disk or in memory.
func (m *Manager) emptyDir(dir string, pod *corev1.Pod, src *corev1.EmptyDirVolumeSource) error {
	switch src.Medium {
	case corev1.StorageMediumDefault:
	case corev1.StorageMediumMemory:
		if err := m.tmpfs(dir, m.memorySize(pod, src.SizeLimit)); err != nil {
			return err
		}
	default:
		return fmt.Errorf("emptyDir medium %q is not supported", src.Medium)
	}
	return open(dir, fsGroup(pod))
}

// open lets every user of the pod's containers into a volume's directory; what is made there
// belongs to the pod's group, if it has one. Other users of the host do not get that far: see
// private.
func open(dir string, group *int64) error {
	mode := os.FileMode(0o777)
	if group != nil {
		mode |= os.ModeSetgid
		if err := os.Chown(dir, -1, int(*group)); err != nil {
			return err
		}
	}
	return os.Chmod(dir, mode)
}

// private keeps the host's users out of all pods' directories. Containers do not pass there:
// they see what is bound into them.
func (m *Manager) private() error {
	dir := filepath.Join(m.cfg.RootDir, "pods")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	return os.Chmod(dir, 0o750) // somebody else may have made it
}

// tmpfs mounts memory at dir unless that was done before.
func (m *Manager) tmpfs(dir string, size int64) error {
	mounted, err := m.cfg.Mounter.Mounted(dir)
	if err != nil || mounted {
		return err
	}
	if err := m.cfg.Mounter.Tmpfs(dir, size); err != nil {
		return fmt.Errorf("mounting tmpfs at %s: %w", dir, err)
	}
	return nil
}

// memorySize is what a volume in memory may hold: no more than its limit, than what the pod's
// containers may use together, and than the node gives to pods. Else it would fill up at a
// size that nobody named, or have its writer killed before it is full.
func (m *Manager) memorySize(pod *corev1.Pod, limit *resource.Quantity) int64 {
	allocatable := m.cfg.Allocatable()
	size := allocatable.Memory().Value()
	smaller := func(q *resource.Quantity) {
		if v := q.Value(); v > 0 && (size == 0 || v < size) {
			size = v
		}
	}
	if limit != nil {
		smaller(limit)
	}
	for i := range pod.Spec.Containers {
		if pod.Spec.Containers[i].Resources.Limits.Memory().IsZero() {
			return size
		}
	}
	limits := api.PodLimits(pod)
	smaller(limits.Memory())
	return size
}

// checkHostPath makes sure that a path of the host is what the pod says it is.
func checkHostPath(src *corev1.HostPathVolumeSource) error {
	want := corev1.HostPathUnset
	if src.Type != nil {
		want = *src.Type
	}
	switch want {
	case corev1.HostPathUnset:
		return nil
	case corev1.HostPathDirectoryOrCreate:
		if _, err := os.Stat(src.Path); os.IsNotExist(err) {
			return os.MkdirAll(src.Path, 0o755)
		}
		want = corev1.HostPathDirectory
	case corev1.HostPathFileOrCreate:
		if f, err := os.OpenFile(src.Path, os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0o644); err == nil {
			return f.Close()
		}
		want = corev1.HostPathFile
	}
	info, err := os.Stat(src.Path)
	if err != nil {
		return fmt.Errorf("hostPath type check failed: %w", err)
	}
	if !isType(info.Mode(), want) {
		return fmt.Errorf("hostPath type check failed: %s is not a %s", src.Path, want)
	}
	return nil
}

func isType(mode os.FileMode, t corev1.HostPathType) bool {
	switch t {
	case corev1.HostPathDirectory:
		return mode.IsDir()
	case corev1.HostPathFile:
		return mode.IsRegular()
	case corev1.HostPathSocket:
		return mode&os.ModeSocket != 0
	case corev1.HostPathCharDev:
		return mode&os.ModeCharDevice != 0
	case corev1.HostPathBlockDev:
		return mode&os.ModeDevice != 0 && mode&os.ModeCharDevice == 0
	}
	return false
}

// Subpath returns a path that shows sub of a volume and nothing else, whatever links the
// volume's content holds: sub is opened beneath the volume's root, and what was opened is
// bound to a place of our own. A missing sub is made as a directory.
func (m *Manager) Subpath(pod *corev1.Pod, c *corev1.Container, mount int, root, sub string) (string, error) {
	info, err := os.Stat(root)
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return "", fmt.Errorf("subPath %q of a volume that is a file", sub)
	}
	volume, err := os.OpenRoot(root)
	if err != nil {
		return "", err
	}
	defer volume.Close()
	if _, err := volume.Stat(sub); os.IsNotExist(err) {
		if err := volume.MkdirAll(sub, 0o750); err != nil {
			return "", fmt.Errorf("making subPath %q: %w", sub, err)
		}
		// The volume's own mode and group hold for what is made in it.
		if err := inherit(volume, sub, info); err != nil {
			return "", err
		}
	}
	f, err := volume.Open(sub)
	if err != nil {
		return "", fmt.Errorf("opening subPath %q: %w", sub, err)
	}
	defer f.Close()
	target := filepath.Join(m.podDir(pod.UID), "volume-subpaths", c.Name, fmt.Sprint(mount))
	if err := m.bind(f, target); err != nil {
		return "", fmt.Errorf("binding subPath %q: %w", sub, err)
	}
	return target, nil
}

func (m *Manager) bind(f *os.File, target string) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	// A restarted container sees what sub is now, as its first instance did then.
	if err := m.cfg.Mounter.UnmountBeneath(target); err != nil {
		return err
	}
	if err := os.RemoveAll(target); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	if info.IsDir() {
		err = os.Mkdir(target, 0o755)
	} else {
		err = os.WriteFile(target, nil, 0o644)
	}
	if err != nil {
		return err
	}
	return m.cfg.Mounter.Bind(f, target)
}
