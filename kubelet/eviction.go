package kubelet

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/kubelet/lifecycle"
	"github.com/miniorch/miniorch/pkg/api"
)

// diskPause is between two measurements of volumes: no event tells that files grow.
const diskPause = 10 * time.Second

// watchDisk ends pods whose emptyDirs outgrow their limits, until ctx ends.
func (k *Kubelet) watchDisk(ctx context.Context) error {
	if k.cfg.NoFiles {
		return nil
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-k.cfg.Clock.After(diskPause):
		}
		for _, pod := range k.pods.List("", nil) {
			if ctx.Err() != nil {
				return nil
			}
			k.checkDisk(ctx, pod)
		}
	}
}

// checkDisk evicts the pod if one of its volumes is too large.
func (k *Kubelet) checkDisk(ctx context.Context, pod *corev1.Pod) {
	w := k.roster.worker(pod.UID)
	if w == nil || api.IsPodTerminal(pod) || pod.DeletionTimestamp != nil {
		return
	}
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if !limitedOnDisk(v) {
			continue
		}
		used, err := k.parts.Volumes.Used(ctx, pod, v.Name)
		if err != nil {
			if ctx.Err() == nil {
				w.log.Warn("cannot measure a volume", "volume", v.Name, "err", err)
			}
			continue
		}
		if limit := v.EmptyDir.SizeLimit; used > limit.Value() {
			w.evict(pod, fmt.Sprintf("Usage of EmptyDir volume %q exceeds the limit %q. ", v.Name, limit))
			return
		}
	}
}

// limitedOnDisk: what is in memory is limited by its file system.
func limitedOnDisk(v *corev1.Volume) bool {
	return v.EmptyDir != nil && v.EmptyDir.Medium == corev1.StorageMediumDefault &&
		v.EmptyDir.SizeLimit != nil && v.EmptyDir.SizeLimit.Sign() > 0
}

// evict has the worker end its pod.
func (w *worker) evict(pod *corev1.Pod, why string) {
	w.post(func() {
		if w.evicted != nil {
			return
		}
		w.evicted = &lifecycle.Rejection{Reason: lifecycle.ReasonEvicted, Message: why}
		w.event(pod, corev1.EventTypeWarning, lifecycle.ReasonEvicted, "%s", why)
	})
}
