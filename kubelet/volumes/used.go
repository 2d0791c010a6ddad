package volumes

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"

	corev1 "k8s.io/api/core/v1"
)

// Used measures how much of the disk the files of an emptyDir take; what is there under several
// names counts once.
func (m *Manager) Used(ctx context.Context, pod *corev1.Pod, volume string) (int64, error) {
	var dir string
	for i := range pod.Spec.Volumes {
		if v := &pod.Spec.Volumes[i]; v.Name == volume {
			dir = m.volumeDir(pod.UID, v)
		}
	}
	var used int64
	counted := map[uint64]bool{} // inodes with several names
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it has just been removed
		}
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return nil
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			if st.Nlink > 1 && !d.IsDir() {
				if counted[st.Ino] {
					return nil
				}
				counted[st.Ino] = true
			}
			const block = 512 // the unit of st_blocks, whatever the file system's own
			used += st.Blocks * block
		}
		return ctx.Err()
	})
	if err != nil {
		return 0, fmt.Errorf("measuring volume %q: %w", volume, err)
	}
	return used, nil
}
