package runtime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/moby/sys/signal"

	"github.com/miniorch/miniorch/kubelet/container"
)

// Stop signals a container, kills it after the grace period, and returns once it has
// exited; at once if it is not running. Several may be under way: the first to run out of
// patience wins.
func (r *Runtime) Stop(ctx context.Context, id string, req container.StopRequest) error {
	ctx = r.scope(ctx)
	info, err := r.store().Get(ctx, id)
	if err != nil {
		if isNotFound(err) {
			return nil
		}
		return fmt.Errorf("stopping container %s: %w", id, translate(err))
	}
	if req.Grace <= 0 {
		return r.killAndWait(ctx, id)
	}
	name := cmp.Or(req.Signal, info.Labels[labelStopSignal], "SIGTERM")
	number, err := signal.ParseSignal(strings.ToUpper(name))
	if err != nil {
		r.cfg.Logger.Warn("unknown stop signal, sending SIGTERM", "container", id, "signal", name)
		number = syscall.SIGTERM
	}
	if err := r.signal(ctx, id, number, false); err != nil {
		return fmt.Errorf("stopping container %s: %w", id, err)
	}
	patience, cancel := context.WithCancel(ctx)
	defer cancel()
	timer := r.cfg.Clock.NewTimer(req.Grace)
	defer timer.Stop()
	exited := make(chan error, 1)
	go func() { exited <- r.waitExit(patience, id) }()
	select {
	case err := <-exited:
		return err
	case <-timer.C():
		cancel()
		<-exited
		return r.killAndWait(ctx, id)
	}
}

// killLimit is how long a killed process may take to go. Only one that is stuck in the
// kernel takes longer, and then there is nothing to do but to say so.
const killLimit = 30 * time.Second

func (r *Runtime) killAndWait(ctx context.Context, id string) error {
	if err := r.kill(ctx, id); err != nil {
		return fmt.Errorf("stopping container %s: %w", id, err)
	}
	ctx, cancel := context.WithTimeout(ctx, killLimit)
	defer cancel()
	return r.waitExit(ctx, id)
}

// kill ends every process of a container, also those that outlived the first one in a
// PID namespace they share with others.
func (r *Runtime) kill(ctx context.Context, id string) error {
	return r.signal(ctx, id, syscall.SIGKILL, true)
}

func (r *Runtime) signal(ctx context.Context, id string, number syscall.Signal, all bool) error {
	_, err := r.client.TaskService().Kill(ctx, &tasks.KillRequest{ContainerID: id, Signal: uint32(number), All: all})
	err = translate(err)
	if err == nil || isNotFound(err) {
		return nil
	}
	// Only started containers have processes; a created one has runc's waiting init,
	// which shims refuse to signal "all" of in some versions.
	if all && !errors.Is(err, container.ErrUnavailable) {
		return r.signal(ctx, id, number, false)
	}
	return fmt.Errorf("sending %v: %w", number, err)
}

// waitExit returns when the container's first process has ended.
func (r *Runtime) waitExit(ctx context.Context, id string) error {
	_, err := r.client.TaskService().Wait(ctx, &tasks.WaitRequest{ContainerID: id})
	if err = translate(err); err == nil || isNotFound(err) {
		return nil
	}
	return fmt.Errorf("waiting for container %s: %w", id, err)
}

// Remove deletes a container with its processes, root file system and record; its log
// stays. Removing what is gone already is no error.
func (r *Runtime) Remove(ctx context.Context, id string) error {
	ctx = r.scope(ctx)
	info, err := r.store().Get(ctx, id)
	if err != nil {
		if isNotFound(err) {
			return nil
		}
		return fmt.Errorf("removing container %s: %w", id, translate(err))
	}
	if err := r.deleteTask(ctx, id); err != nil {
		return fmt.Errorf("removing container: %w", err)
	}
	r.removeDeadSocket(info.Labels[labelShimGroup])
	if err := r.removeStdio(id); err != nil {
		return fmt.Errorf("removing container %s: %w", id, err)
	}
	if info.SnapshotKey != "" {
		err := translate(r.client.SnapshotService(info.Snapshotter).Remove(ctx, info.SnapshotKey))
		if err != nil && !isNotFound(err) {
			return fmt.Errorf("removing root file system of container %s: %w", id, err)
		}
	}
	// The record goes last: as long as anything is left, somebody knows.
	if err := translate(r.store().Delete(ctx, id)); err != nil && !isNotFound(err) {
		return fmt.Errorf("removing container %s: %w", id, err)
	}
	return nil
}
