package kubelet

import (
	"context"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/kubelet/container"
	"github.com/miniorch/miniorch/kubelet/lifecycle"
	"github.com/miniorch/miniorch/pkg/api"
)

// refusal says why a pod cannot be given the resources that it wants now; nil if it wants none
// but those it has, or can have them.
func (k *Kubelet) refusal(pod *corev1.Pod, containers []container.Container) *lifecycle.Refusal {
	if len(lifecycle.Outsized(pod, containers)) == 0 {
		return nil
	}
	var others []*corev1.Pod
	for _, p := range k.pods.List("", nil) {
		if p.UID != pod.UID && !api.IsPodTerminal(p) {
			others = append(others, p)
		}
	}
	return lifecycle.Resize(pod, others, k.node.Object())
}

// wakeDeferred has the pods look again that wait for room to grow.
func (k *Kubelet) wakeDeferred() {
	k.roster.mu.Lock()
	defer k.roster.mu.Unlock()
	for _, w := range k.roster.workers {
		if w.deferred.Load() {
			w.poke()
		}
	}
}

// resize gives running containers what their pod wants them to have by now. The pod's own control
// group is wide enough for both while they change.
func (w *worker) resize(ctx context.Context, pod *corev1.Pod, around surroundings) (outcome, error) {
	todo := lifecycle.Outsized(pod, w.k.seen.of(pod.UID))
	if _, err := w.k.parts.Cgroups.EnsurePod(lifecycle.Widened(pod, todo)); err != nil {
		return nil, fmt.Errorf("widening the pod's cgroup: %w", err)
	}
	for _, o := range todo {
		if !o.InPlace {
			continue
		}
		to := resourcesOf(pod, o.Spec, around)
		if err := w.tooSmall(o.Container, to.MemoryLimit); err != nil {
			return nil, err
		}
		labels := map[string]string{lifecycle.LabelSize: lifecycle.Size(o.Spec.Resources)}
		if err := w.k.parts.Runtime.Resize(ctx, o.Container.ID, to, labels); err != nil {
			return nil, fmt.Errorf("resizing container %s: %w", o.Spec.Name, err)
		}
		w.k.seen.change(o.Container.ID, func(c *container.Container) {
			c.Labels = maps.Clone(c.Labels)
			maps.Copy(c.Labels, labels)
		})
		w.containerEvent(pod, o.Spec.Name, corev1.EventTypeNormal, "ResizeCompleted", "Container %s has the resources %s", o.Spec.Name, lifecycle.Size(o.Spec.Resources))
	}
	if _, err := w.k.parts.Cgroups.EnsurePod(pod); err != nil {
		return nil, fmt.Errorf("narrowing the pod's cgroup: %w", err)
	}
	size := lifecycle.PodSize(pod)
	return func() { w.around.size, w.resizeError = size, "" }, nil
}

// tooSmall fails if a container uses more memory than it is to be limited to: the kernel would
// kill it.
func (w *worker) tooSmall(c container.Container, limit int64) error {
	if limit == 0 || c.CgroupPath == "" {
		return nil
	}
	used, err := w.k.parts.Cgroups.Usage(c.CgroupPath)
	if err == nil && used.WorkingSet > uint64(limit) {
		return fmt.Errorf("attempting to set the memory limit of container %s to %d, below its usage of %d", c.Name, limit, used.WorkingSet)
	}
	return nil
}

// fit has the pod's cgroup follow a spec that changed before a container is started.
func (w *worker) fit(pod *corev1.Pod, around surroundings) error {
	if lifecycle.PodSize(pod) == around.size {
		return nil
	}
	if _, err := w.k.parts.Cgroups.EnsurePod(pod); err != nil {
		return fmt.Errorf("changing the pod's cgroup: %w", err)
	}
	return nil
}
