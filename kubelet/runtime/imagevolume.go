package runtime

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"

	"github.com/miniorch/miniorch/kubelet/container"
)

// imageVolumePrefix begins the names of snapshots that image volumes show. They are told from
// views, which do not outlive the call that makes them.
const imageVolumePrefix = "image-volume-"

// labelRoot keeps containerd's garbage collector off.
const labelRoot = "containerd.io/gc.root"

// MountImage shows the content of an image that is on the node at dir, read only. owner is the pod
// that it is for; again changes nothing.
func (r *Runtime) MountImage(ctx context.Context, ref, owner, dir string) error {
	ctx = r.scope(ctx)
	fail := func(err error) error { return fmt.Errorf("mounting image %q: %w", ref, err) }
	if info, err := mount.Lookup(dir); err == nil && info.Mountpoint == filepath.Clean(dir) {
		return nil
	}
	record, err := r.findImage(ctx, ref)
	if err != nil {
		return fail(err)
	}
	image, err := r.imageInfo(ctx, record)
	if err != nil {
		return fail(err)
	}
	snapshotter, _, err := r.snapshots(ctx)
	if err != nil {
		return fail(err)
	}
	key := imageVolumePrefix + owner + "-" + filepath.Base(dir)
	if err := translate(snapshotter.Remove(ctx, key)); err != nil && !isNotFound(err) {
		return fail(err) // an earlier attempt's, perhaps of what the tag named then
	}
	mounts, err := snapshotter.View(ctx, key, image.chainID, snapshots.WithLabels(map[string]string{
		labelRoot: formatTime(r.cfg.Clock.Now()), container.LabelPodUID: owner,
	}))
	if err != nil {
		return fail(translate(err))
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fail(err)
	}
	if err := mount.All(mounts, dir); err != nil {
		return fail(err)
	}
	return nil
}

// ReleaseImages gives up what MountImage took for a pod. What is mounted stays until it is
// unmounted.
func (r *Runtime) ReleaseImages(ctx context.Context, owner string) error {
	ctx = r.scope(ctx)
	snapshotter, _, err := r.snapshots(ctx)
	if err != nil {
		return err
	}
	var keys []string
	err = snapshotter.Walk(ctx, func(_ context.Context, info snapshots.Info) error {
		if strings.HasPrefix(info.Name, imageVolumePrefix+owner+"-") {
			keys = append(keys, info.Name)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("listing snapshots: %w", translate(err))
	}
	for _, key := range keys {
		if err := translate(snapshotter.Remove(ctx, key)); err != nil && !isNotFound(err) {
			return fmt.Errorf("releasing an image volume: %w", err)
		}
	}
	return nil
}
