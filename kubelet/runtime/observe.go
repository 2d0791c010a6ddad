package runtime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/core/containers"

	"golang.org/x/sys/unix"

	"github.com/miniorch/miniorch/kubelet/cgroups"
	"github.com/miniorch/miniorch/kubelet/container"
)

// Containers returns every container that miniorch made on this node, oldest first.
func (r *Runtime) Containers(ctx context.Context) ([]container.Container, error) {
	ctx = r.scope(ctx)
	// Tasks before containers: a task that is reaped in between has left its exit in the
	// container's labels by the time those are read.
	response, err := r.client.TaskService().List(ctx, &tasks.ListTasksRequest{})
	if err != nil {
		return nil, fmt.Errorf("listing tasks: %w", translate(err))
	}
	byID := make(map[string]*tasktypes.Process, len(response.Tasks))
	for _, t := range response.Tasks {
		byID[t.ID] = t
	}
	infos, err := r.store().List(ctx, ours)
	if err != nil {
		return nil, fmt.Errorf("listing containers: %w", translate(err))
	}
	out := make([]container.Container, 0, len(infos))
	for _, info := range infos {
		task := byID[info.ID]
		if task != nil || !maybeLost(info) {
			out = append(out, observe(info, task))
			continue
		}
		// Started after the tasks were listed, or lost.
		c, err := r.inspect(ctx, info)
		if errors.Is(err, container.ErrNotFound) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	sortByAge(out)
	return out, nil
}

// maybeLost reports whether a container's record says that it started and not that it
// ended. If such a one has no task, its shim died, with the machine for instance.
func maybeLost(info containers.Container) bool {
	_, ended := decodeExit(info.Labels[labelExit])
	return info.Labels[labelStarted] != "" && !ended
}

// PodContainers returns the containers of one pod, oldest first. It asks only the shims
// of that pod, where Containers asks all of them.
func (r *Runtime) PodContainers(ctx context.Context, podUID string) ([]container.Container, error) {
	ctx = r.scope(ctx)
	infos, err := r.store().List(ctx, podFilter(podUID))
	if err != nil {
		return nil, fmt.Errorf("listing containers: %w", translate(err))
	}
	var out []container.Container
	for _, info := range infos {
		c, err := r.inspect(ctx, info)
		if errors.Is(err, container.ErrNotFound) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	sortByAge(out)
	return out, nil
}

// Container returns one container.
func (r *Runtime) Container(ctx context.Context, id string) (container.Container, error) {
	ctx = r.scope(ctx)
	info, err := r.store().Get(ctx, id)
	if err != nil {
		return container.Container{}, fmt.Errorf("looking up container %s: %w", id, translate(err))
	}
	return r.inspect(ctx, info)
}

// inspect joins a container's record with its task.
func (r *Runtime) inspect(ctx context.Context, info containers.Container) (container.Container, error) {
	if _, ended := decodeExit(info.Labels[labelExit]); ended {
		return observe(info, nil), nil
	}
	task, err := r.task(ctx, info.ID)
	if err == nil {
		return observe(info, task), nil
	}
	if !isNotFound(err) {
		return container.Container{}, fmt.Errorf("looking up task %s: %w", info.ID, err)
	}
	// No task: never started, or reaped since the record was read. Read it again.
	started := maybeLost(info) // before its task was looked up
	if info, err = r.store().Get(ctx, info.ID); err != nil {
		return container.Container{}, fmt.Errorf("looking up container: %w", translate(err))
	}
	c := observe(info, nil)
	if started && maybeLost(info) {
		c = withExit(c, lostExit(time.Time{}))
	}
	return c, nil
}

// lostExit is how a container ended whose end nobody saw.
func lostExit(seen time.Time) exitRecord {
	const killed = 137
	return exitRecord{
		Code: killed, Reason: container.ReasonUnknown, FinishedAt: seen,
		Message: "The container could not be located when its state was looked up: its shim died",
	}
}

func (r *Runtime) task(ctx context.Context, id string) (*tasktypes.Process, error) {
	response, err := r.client.TaskService().Get(ctx, &tasks.GetRequest{ContainerID: id})
	if err != nil {
		return nil, translate(err)
	}
	return response.Process, nil
}

// observe is the join of a container's record and its task, which may be nil. Its only
// effect is to read, for a task that has just ended, whether the kernel killed it for
// memory.
func observe(info containers.Container, task *tasktypes.Process) container.Container {
	c := fromLabels(info.ID, info.Labels)
	c.CreatedAt = info.CreatedAt
	c.StartedAt = parseTime(info.Labels[labelStarted])
	if e, ended := decodeExit(info.Labels[labelExit]); ended {
		return withExit(c, e)
	}
	switch {
	case task == nil, task.Status == tasktypes.Status_CREATED:
		c.State = container.StateCreated
	case task.Status == tasktypes.Status_STOPPED:
		return withExit(c, exitOf(task, cgroups.OOMKills(c.CgroupPath) > 0))
	default: // running, paused, pausing, or a shim that could not say
		c.State = container.StateRunning
		c.PID = int(task.Pid)
		if c.StartedAt.IsZero() {
			c.StartedAt = processStart(c.PID)
		}
	}
	return c
}

// withExit completes the observation of a container that has ended.
func withExit(c container.Container, e exitRecord) container.Container {
	c.State = container.StateExited
	c.ExitCode, c.Reason, c.Message, c.FinishedAt = e.Code, e.Reason, e.Message, e.FinishedAt
	if e.Code > 128 && e.Code <= 128+64 {
		c.Signal = e.Code - 128
	}
	if c.StartedAt.IsZero() && e.Reason != container.ReasonStartError {
		c.StartedAt = c.CreatedAt // the agent died between the start and noting its time
	}
	return c
}

// exitOf says how a stopped task ended.
func exitOf(task *tasktypes.Process, oomKilled bool) exitRecord {
	e := exitRecord{Code: int(task.ExitStatus), Reason: container.ReasonCompleted}
	if task.ExitedAt != nil {
		e.FinishedAt = task.ExitedAt.AsTime()
	}
	switch {
	case e.Code != 0 && oomKilled:
		e.Reason = container.ReasonOOMKilled
	case e.Code != 0:
		e.Reason = container.ReasonError
	}
	return e
}

// processStart reads when a process began, to the kernel's clock tick.
func processStart(pid int) time.Time {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return time.Time{}
	}
	// The second field is the command in parentheses and may hold anything; the start
	// time is the 20th field behind it.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 20 {
		return time.Time{}
	}
	ticks, err := strconv.ParseInt(string(fields[19]), 10, 64)
	if err != nil {
		return time.Time{}
	}
	const perSecond = 100 // USER_HZ, fixed for user space on every Linux port we build for
	var up, now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &up) != nil || unix.ClockGettime(unix.CLOCK_REALTIME, &now) != nil {
		return time.Time{}
	}
	age := up.Nano() - ticks*int64(time.Second/perSecond)
	return time.Unix(0, now.Nano()-age)
}

func sortByAge(cs []container.Container) {
	slices.SortStableFunc(cs, func(a, b container.Container) int { return a.CreatedAt.Compare(b.CreatedAt) })
}

// ours selects every container that miniorch made.
var ours = "labels." + strconv.Quote(container.LabelPodUID)

// podFilter selects a pod's containers in containerd's filter language.
func podFilter(podUID string) string {
	return "labels." + strconv.Quote(container.LabelPodUID) + "==" + strconv.Quote(podUID)
}
