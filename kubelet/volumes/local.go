package volumes

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/pkg/claims"
)

// local returns the directory of a local volume, which is there and belongs to the pod's group. If the
// path is a device, that is what the file system on it holds.
func (m *Manager) local(ctx context.Context, pod *corev1.Pod, v *corev1.Volume, pv *corev1.PersistentVolume, readOnly bool) (string, error) {
	if claims.IsLocalPath(pv) {
		if err := m.makeLocalPath(ctx, pv); err != nil {
			return "", err
		}
	}
	dir := pv.Spec.Local.Path
	info, err := localInfo(pv)
	switch {
	case err != nil:
		return "", err
	case isType(info.Mode(), corev1.HostPathBlockDev):
		dir = m.volumeDir(pod.UID, v)
		if err := m.mountDevice(ctx, pv, dir); err != nil {
			return "", err
		}
	case !info.IsDir():
		return "", fmt.Errorf("path %q is neither a directory nor a block device", dir)
	}
	if group := fsGroup(pod); group != nil && !readOnly {
		return dir, giveToGroup(dir, *group, pod.Spec.SecurityContext.FSGroupChangePolicy)
	}
	return dir, nil
}

// localDevice returns the device that a volume of mode Block is.
func localDevice(pv *corev1.PersistentVolume) (string, error) {
	if pv.Spec.Local == nil {
		return "", fmt.Errorf("volumes of type %s and mode Block are not supported", sourceOf(pv))
	}
	info, err := localInfo(pv)
	if err != nil {
		return "", err
	}
	if !isType(info.Mode(), corev1.HostPathBlockDev) {
		return "", fmt.Errorf("path %q is not a block device", pv.Spec.Local.Path)
	}
	return filepath.EvalSymlinks(pv.Spec.Local.Path) // names below /dev/disk are links
}

func localInfo(pv *corev1.PersistentVolume) (fs.FileInfo, error) {
	info, err := os.Stat(pv.Spec.Local.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, said{fmt.Errorf("MountVolume.NewMounter initialization failed for volume %q : path %q does not exist", pv.Name, pv.Spec.Local.Path)}
	}
	return info, err
}

// mountDevice mounts the file system on a local device. None is made there: what looks empty to us may be
// somebody's data.
func (m *Manager) mountDevice(ctx context.Context, pv *corev1.PersistentVolume, dir string) error {
	fsType := "ext4"
	if t := pv.Spec.Local.FSType; t != nil && *t != "" {
		fsType = *t
	}
	if err := m.mountAt(ctx, fsType, pv.Spec.Local.Path, dir, mountOptions(pv)); err != nil {
		return fmt.Errorf("%w\nIs there a file system of type %s on the device? The node makes none", err, fsType)
	}
	return nil
}
