package volumes

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	corev1 "k8s.io/api/core/v1"
)

// What members of the pod's group may do in its volumes.
const (
	groupFile os.FileMode = 0o660
	groupDir  os.FileMode = 0o770 | os.ModeSetgid
)

// giveToGroup gives everything beneath root to the group, unless the pod is content with a root
// that is as it should be.
func giveToGroup(root string, group int64, policy *corev1.PodFSGroupChangePolicy) error {
	if policy != nil && *policy == corev1.FSGroupChangeOnRootMismatch {
		if info, err := os.Stat(root); err == nil && hasGroup(info, group) {
			return nil
		}
	}
	// The root comes last: by it an attempt that was interrupted is told from one that was not.
	var top fs.FileInfo
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if path == root {
			top = info
			return nil
		}
		return giveOne(path, info, group)
	})
	if err != nil {
		return err
	}
	return giveOne(root, top, group)
}

func giveOne(path string, info fs.FileInfo, group int64) error {
	if err := os.Lchown(path, -1, int(group)); err != nil {
		return err
	}
	mode := info.Mode()
	switch {
	case mode&os.ModeSymlink != 0:
		return nil // it has no mode of its own
	case mode.IsDir():
		mode |= groupDir
	default:
		mode |= groupFile
	}
	return os.Chmod(path, mode&(os.ModePerm|os.ModeSetgid|os.ModeSetuid|os.ModeSticky))
}

func hasGroup(info fs.FileInfo, group int64) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int64(st.Gid) == group && info.Mode()&groupDir == groupDir
}
