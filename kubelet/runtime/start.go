package runtime

import (
	"context"
	"errors"
	"fmt"
	"strings"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"

	"github.com/miniorch/miniorch/kubelet/container"
)

// startErrorCode is the exit code Kubernetes shows for a process that never was.
const startErrorCode = 128

// Start runs a created container; one that runs already is fine. A command that cannot be executed is an error that
// wraps container.ErrCommand; the container then counts as exited with ReasonStartError.
func (r *Runtime) Start(ctx context.Context, id string) error {
	ctx = r.scope(ctx)
	info, err := r.store().Get(ctx, id)
	if err != nil {
		return fmt.Errorf("starting container %s: %w", id, translate(err))
	}
	if err := r.run(ctx, info); err != nil {
		err = startError(err)
		if errors.Is(err, container.ErrUnavailable) || ctx.Err() != nil {
			return fmt.Errorf("starting container %s: %w", id, err) // may be tried again
		}
		// What is left of the attempt goes; the record stays and tells how it ended.
		cleanup := context.WithoutCancel(ctx)
		e := exitRecord{Code: startErrorCode, Reason: container.ReasonStartError, Message: err.Error(), FinishedAt: r.cfg.Clock.Now()}
		return errors.Join(fmt.Errorf("starting container %s: %w", id, err),
			r.setLabel(cleanup, id, labelExit, e.encode()), r.deleteTask(cleanup, id))
	}
	if err := r.setLabel(ctx, id, labelStarted, formatTime(r.cfg.Clock.Now())); err != nil {
		// It runs, and that is what counts; while it does, the kernel knows since when.
		r.cfg.Logger.Warn("cannot note the start of a container", "container", id, "error", err)
	}
	return nil
}

// run creates and starts the task.
func (r *Runtime) run(ctx context.Context, info containers.Container) error {
	request, err := r.taskRequest(ctx, info)
	if err != nil {
		return err
	}
	_, err = r.client.TaskService().Create(ctx, request)
	if err != nil && info.Labels[labelShimGroup] != info.ID && shimLeft(err) && ctx.Err() == nil {
		// The shim that was to be shared ended just now: its last container did.
		if err = r.ownShim(ctx, info); err == nil {
			_, err = r.client.TaskService().Create(ctx, request)
		}
	}
	if err = translate(err); errdefs.IsAlreadyExists(err) {
		// An earlier attempt was cut off halfway.
		task, err := r.task(ctx, info.ID)
		if err != nil || task.Status == tasktypes.Status_RUNNING {
			return err
		}
	} else if err != nil {
		return err
	}
	_, err = r.client.TaskService().Start(ctx, &tasks.StartRequest{ContainerID: info.ID})
	return translate(err)
}

// taskRequest composes what containerd needs to create the task of a container.
func (r *Runtime) taskRequest(ctx context.Context, info containers.Container) (*tasks.CreateTaskRequest, error) {
	mounts, err := r.client.SnapshotService(info.Snapshotter).Mounts(ctx, info.SnapshotKey)
	if err != nil {
		return nil, fmt.Errorf("finding root file system: %w", translate(err))
	}
	request := &tasks.CreateTaskRequest{
		ContainerID: info.ID,
		Terminal:    info.Labels[labelTTY] != "",
		Stdout:      info.Labels[labelLogURI],
		Stderr:      info.Labels[labelLogURI],
	}
	if info.Labels[labelStdin] != "" && request.Terminal {
		request.Stdin = r.stdinPath(info.ID) // without a terminal it is runcWithStdin that passes it on
	}
	for _, m := range mounts {
		request.Rootfs = append(request.Rootfs, &types.Mount{Type: m.Type, Source: m.Source, Target: m.Target, Options: m.Options})
	}
	return request, nil
}

// shimLeft reports whether a task could not be created because the shim it was to join is
// gone. containerd has only words for it.
func shimLeft(err error) bool {
	text := err.Error()
	return strings.Contains(text, "ttrpc: closed") || strings.Contains(text, "shim exited") ||
		strings.Contains(text, "connection refused") || strings.Contains(text, "shim.sock") ||
		strings.Contains(text, "failed to dial")
}

// ownShim lets a container that was to join another's shim have one for itself.
func (r *Runtime) ownShim(ctx context.Context, info containers.Container) error {
	var spec oci.Spec
	if err := typeurl.UnmarshalTo(info.Spec, &spec); err != nil {
		return fmt.Errorf("decoding spec: %w", err)
	}
	spec.Annotations[annotationShimGroup] = info.ID
	encoded, err := typeurl.MarshalAny(&spec)
	if err != nil {
		return fmt.Errorf("encoding spec: %w", err)
	}
	_, err = r.store().Update(ctx, containers.Container{
		ID: info.ID, Spec: encoded, Labels: map[string]string{labelShimGroup: info.ID},
	}, "spec", "labels."+labelShimGroup)
	return translate(err)
}

// startError sorts out which failures are the command's own fault.
func startError(err error) error {
	text := err.Error()
	for _, sign := range []string{"executable file not found", "no such file or directory", "permission denied", "exec format error", "is a directory", "not a directory"} {
		if strings.Contains(text, sign) && strings.Contains(text, "exec") {
			return fmt.Errorf("%w: %w", container.ErrCommand, err)
		}
	}
	return err
}

// setLabel changes one label of a container and nothing else of it.
func (r *Runtime) setLabel(ctx context.Context, id, key, value string) error {
	_, err := r.store().Update(ctx, containers.Container{ID: id, Labels: map[string]string{key: value}}, "labels."+key)
	if err != nil {
		return fmt.Errorf("labelling container %s: %w", id, translate(err))
	}
	return nil
}
