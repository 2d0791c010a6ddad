package kubelet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/kubelet/container"
	"github.com/miniorch/miniorch/kubelet/env"
	"github.com/miniorch/miniorch/kubelet/lifecycle"
	"github.com/miniorch/miniorch/pkg/client"
)

// runtimeTimeout bounds a call that makes or starts a container. Such calls are not given
// up with the pod: half a container is worse than one that has to be stopped.
const runtimeTimeout = 2 * time.Minute

// startFailure is why there is no container, as the reason that users see.
type startFailure struct {
	reason string
	err    error
}

func (f *startFailure) Error() string { return f.reason + ": " + f.err.Error() }
func (f *startFailure) Unwrap() error { return f.err }

// startContainer brings the image, creates the container, starts it, and runs its postStart
// hook.
func (w *worker) startContainer(ctx context.Context, a lifecycle.Action, pod *corev1.Pod, around surroundings) (outcome, error) {
	c := containerOf(pod, a.Name)
	if c == nil {
		return nil, fmt.Errorf("the pod has no container %s", a.Name)
	}
	if a.Size != "" {
		c = c.DeepCopy()
		c.Resources = lifecycle.WithSize(c.Resources, a.Size)
	} else if err := w.fit(pod, around); err != nil {
		return nil, err
	}
	image, err := w.ensureImage(ctx, pod, c)
	if err != nil {
		return nil, err
	}
	spec, err := w.specFor(ctx, a, pod, c, around)
	if err != nil {
		w.containerEvent(pod, c.Name, corev1.EventTypeWarning, "Failed", "Error: %v", err)
		return nil, &startFailure{lifecycle.ReasonCreateContainerConf, err}
	}
	firm, cancel := context.WithTimeout(context.WithoutCancel(ctx), runtimeTimeout)
	defer cancel()
	id, err := w.create(firm, pod, spec, image)
	if err != nil {
		return nil, err
	}
	hook := c.Lifecycle != nil && c.Lifecycle.PostStart != nil
	if hook {
		w.post(func() { w.hooked[id] = true })
	}
	if err := w.start(firm, pod, c, id); err != nil {
		return nil, err
	}
	if hook {
		w.postStart(ctx, pod, c, id, around)
	}
	return func() {
		delete(w.failures, a.Name)
		delete(w.hooked, id)
	}, nil
}

// ensureImage makes the image present as the pull policy says.
func (w *worker) ensureImage(ctx context.Context, pod *corev1.Pod, c *corev1.Container) (container.Image, error) {
	policy := policyOf(c)
	if policy != corev1.PullAlways {
		image, present, err := w.k.parts.Runtime.Image(ctx, c.Image)
		if err != nil {
			return image, w.imageFailed(ctx, pod, c, "inspect", pullFailure(err))
		}
		if present {
			w.containerEvent(pod, c.Name, corev1.EventTypeNormal, "Pulled", "Container image %q already present on machine", c.Image)
			return image, nil
		}
		if policy == corev1.PullNever {
			//lint:ignore ST1005 users read it as a sentence.
			err := fmt.Errorf("Container image %q is not present with pull policy of Never", c.Image)
			w.containerEvent(pod, c.Name, corev1.EventTypeWarning, lifecycle.ReasonErrImageNeverPull, "%v", err)
			return image, &startFailure{lifecycle.ReasonErrImageNeverPull, err}
		}
	}
	credentials, missing, err := w.k.pullCredentials(ctx, pod, c.Image)
	for _, name := range missing {
		w.event(pod, corev1.EventTypeWarning, "FailedToRetrieveImagePullSecret",
			"Unable to retrieve some image pull secrets (%s); attempting to pull the image may not succeed.", name)
	}
	if err != nil {
		return container.Image{}, w.imageFailed(ctx, pod, c, "pull", pullFailure(err))
	}
	w.containerEvent(pod, c.Name, corev1.EventTypeNormal, "Pulling", "Pulling image %q", c.Image)
	began := w.k.cfg.Clock.Now()
	image, err := w.k.images.pullFor(ctx, c.Image, credentials, func(p container.PullProgress) {
		const mebi = 1 << 20
		w.containerEvent(pod, c.Name, corev1.EventTypeNormal, "Pulling", "Pulling image %q: %s, %.1f of %.1f MiB, %d of %d layers",
			c.Image, p.Stage, float64(p.Bytes)/mebi, float64(p.TotalBytes)/mebi, p.LayersDone, p.Layers)
	})
	if err != nil {
		return image, w.imageFailed(ctx, pod, c, "pull", pullFailure(err))
	}
	took := w.k.cfg.Clock.Since(began).Round(time.Millisecond)
	w.containerEvent(pod, c.Name, corev1.EventTypeNormal, "Pulled",
		"Successfully pulled image %q in %s (%s including waiting). Image size: %d bytes.", c.Image, took, took, image.Size)
	return image, nil
}

func (w *worker) imageFailed(ctx context.Context, pod *corev1.Pod, c *corev1.Container, verb string, f *startFailure) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	w.containerEvent(pod, c.Name, corev1.EventTypeWarning, "Failed", "Failed to %s image %q: %v", verb, c.Image, f.err)
	w.containerEvent(pod, c.Name, corev1.EventTypeWarning, "Failed", "Error: %s", f.reason)
	return f
}

// specFor builds everything that the runtime needs to know.
func (w *worker) specFor(ctx context.Context, a lifecycle.Action, pod *corev1.Pod, c *corev1.Container, around surroundings) (container.ContainerSpec, error) {
	facts := env.Facts{HostIPs: []string{w.k.cfg.NodeIP}, PodIPs: around.sandbox.IPs, Allocatable: w.k.node.Allocatable()}
	if pod.Spec.HostNetwork {
		facts.PodIPs = facts.HostIPs
	}
	vars, skipped, err := env.Build(pod, c, facts, w.sources(ctx, pod))
	if err != nil {
		return container.ContainerSpec{}, err
	}
	for _, s := range skipped {
		w.event(pod, corev1.EventTypeWarning, "InvalidEnvironmentVariableNames", "%s", s)
	}
	spec, err := containerSpec(pod, c, a, around, vars, func(i int, root, sub string) (string, error) {
		return w.k.parts.Volumes.Subpath(pod, c, i, root, sub)
	})
	if err != nil {
		return spec, err
	}
	target, err := w.targetPID(pod, c.Name)
	if err != nil {
		return spec, err
	}
	if target != 0 {
		spec.Network.PIDPath = fmt.Sprintf("/proc/%d/ns/pid", target)
	}
	if w.k.cfg.NoFiles {
		return spec, nil
	}
	return spec, makeFiles(spec)
}

func (w *worker) sources(ctx context.Context, pod *corev1.Pod) env.Sources {
	return env.Sources{
		Services: append(w.k.services.List(pod.Namespace, nil), w.k.apiService(pod.Namespace)...),
		ConfigMap: func(name string) (*corev1.ConfigMap, error) {
			return client.Of[*corev1.ConfigMap](w.k.transport).Get(ctx, pod.Namespace, name)
		},
		Secret: func(name string) (*corev1.Secret, error) {
			return client.Of[*corev1.Secret](w.k.transport).Get(ctx, pod.Namespace, name)
		},
	}
}

// makeFiles makes what the runtime expects to find on the host.
func makeFiles(spec container.ContainerSpec) error {
	if err := os.MkdirAll(filepath.Dir(spec.LogPath), 0o755); err != nil {
		return fmt.Errorf("making the log's directory: %w", err)
	}
	path := spec.TerminationMessageHostPath
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("making the termination message's directory: %w", err)
	}
	if err := os.WriteFile(path, nil, 0o666); err != nil {
		return fmt.Errorf("making the termination message: %w", err)
	}
	return os.Chmod(path, 0o666) // any user of the container may write it
}

// imageID names an image as the runtime's labels will: by repository and digest.
func imageID(image container.Image, ref string) string {
	for _, digest := range image.RepoDigests {
		if strings.HasPrefix(digest, qualified(ref)+"@") {
			return digest
		}
	}
	if len(image.RepoDigests) > 0 {
		return image.RepoDigests[0]
	}
	return image.ID
}

func (w *worker) create(ctx context.Context, pod *corev1.Pod, spec container.ContainerSpec, image container.Image) (string, error) {
	id, err := w.k.parts.Runtime.Create(ctx, spec)
	if err != nil {
		w.containerEvent(pod, spec.Name, corev1.EventTypeWarning, "Failed", "Error: %v", err)
		if errors.Is(err, container.ErrRunAsNonRoot) {
			return "", &startFailure{lifecycle.ReasonCreateContainerConf, err}
		}
		return "", &startFailure{lifecycle.ReasonCreateContainerError, err}
	}
	w.k.seen.add(container.Container{
		ID: id, PodUID: spec.PodUID, PodNamespace: spec.PodNamespace, PodName: spec.PodName, Name: spec.Name,
		Kind: spec.Kind, RestartCount: spec.RestartCount, SpecHash: spec.SpecHash, Image: spec.Image, ImageID: imageID(image, spec.Image),
		State: container.StateCreated, CreatedAt: w.k.cfg.Clock.Now(), LogPath: spec.LogPath,
		TerminationMessagePath: spec.TerminationMessageHostPath, Labels: spec.Labels,
		CgroupPath: path.Join("/", spec.Resources.CgroupParent, id),
	})
	w.containerEvent(pod, spec.Name, corev1.EventTypeNormal, "Created", "Created container: %s", spec.Name)
	return id, nil
}

// start starts a created container. A process that cannot be started counts as one that has
// exited, so that the restart policy and its back-off apply.
func (w *worker) start(ctx context.Context, pod *corev1.Pod, c *corev1.Container, id string) error {
	err := w.k.parts.Runtime.Start(ctx, id)
	now := w.k.cfg.Clock.Now()
	if err == nil {
		w.k.seen.change(id, func(seen *container.Container) {
			if seen.State == container.StateCreated { // the event may have been quicker
				seen.State, seen.StartedAt = container.StateRunning, now
			}
		})
		w.poke()
		w.containerEvent(pod, c.Name, corev1.EventTypeNormal, "Started", "Started container %s", c.Name)
		return nil
	}
	w.containerEvent(pod, c.Name, corev1.EventTypeWarning, "Failed", "Error: %v", err)
	if errors.Is(err, container.ErrUnavailable) || ctx.Err() != nil {
		return &startFailure{lifecycle.ReasonRunContainerError, err}
	}
	w.k.seen.change(id, func(seen *container.Container) {
		seen.State, seen.ExitCode, seen.Reason, seen.Message = container.StateExited, 128, container.ReasonStartError, err.Error()
		seen.StartedAt, seen.FinishedAt = time.Unix(0, 0), now
	})
	w.post(func() { delete(w.failures, c.Name) })
	return nil
}

// startFailed keeps a failure for the status and the back-off.
func (w *worker) startFailed(a lifecycle.Action, err error, now time.Time) {
	reason := lifecycle.ReasonCreateContainerError
	message := err.Error()
	var f *startFailure
	if errors.As(err, &f) {
		reason, message = f.reason, f.err.Error()
	}
	attempts := 1
	if before, ok := w.failures[a.Name]; ok && before.Reason == reason {
		attempts = before.Attempts + 1
	}
	w.failures[a.Name] = lifecycle.Failure{
		Reason: reason, Message: message, At: now, Attempts: attempts, Brief: errors.Is(err, container.ErrUnavailable),
	}
}

func containerOf(pod *corev1.Pod, name string) *corev1.Container {
	for _, cs := range [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		for i := range cs {
			if cs[i].Name == name {
				return &cs[i]
			}
		}
	}
	if debug := ephemeralOf(pod, name); debug != nil {
		return (*corev1.Container)(&debug.EphemeralContainerCommon)
	}
	return nil
}

func ephemeralOf(pod *corev1.Pod, name string) *corev1.EphemeralContainer {
	for i := range pod.Spec.EphemeralContainers {
		if pod.Spec.EphemeralContainers[i].Name == name {
			return &pod.Spec.EphemeralContainers[i]
		}
	}
	return nil
}

// targetPID finds the first process of the container that an ephemeral one is to look into; 0 if
// it wants none.
func (w *worker) targetPID(pod *corev1.Pod, name string) (int, error) {
	debug := ephemeralOf(pod, name)
	if debug == nil || debug.TargetContainerName == "" {
		return 0, nil
	}
	for _, c := range w.k.seen.of(pod.UID) {
		if c.Name == debug.TargetContainerName && c.State == container.StateRunning && c.PID != 0 {
			return c.PID, nil
		}
	}
	return 0, fmt.Errorf("the target container %q does not run", debug.TargetContainerName)
}
