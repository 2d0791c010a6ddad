package kubelet

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/kubelet/container"
)

// mountImages brings the images of a pod's image volumes and shows them where the volumes are.
func (w *worker) mountImages(ctx context.Context, pod *corev1.Pod, volumes map[string]container.Mount) error {
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if v.Image == nil {
			continue
		}
		// As if for a container: by its policy, with its messages.
		if _, err := w.ensureImage(ctx, pod, &corev1.Container{Image: v.Image.Reference, ImagePullPolicy: v.Image.PullPolicy}); err != nil {
			return fmt.Errorf("volume %q: %w", v.Name, err)
		}
		if err := w.k.parts.Runtime.MountImage(ctx, v.Image.Reference, string(pod.UID), volumes[v.Name].HostPath); err != nil {
			return fmt.Errorf("volume %q: %w", v.Name, err)
		}
	}
	return nil
}

// releaseImages gives up what mountImages took, of a pod of which no more than its UID may be known.
// Whoever tears down the volumes unmounts them.
func (w *worker) releaseImages(ctx context.Context, uid types.UID) error {
	if _, err := os.Stat(filepath.Join(w.k.podDir(uid), "volumes", "image")); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return w.k.parts.Runtime.ReleaseImages(ctx, string(uid))
}
