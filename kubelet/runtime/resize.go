package runtime

import (
	"context"
	"fmt"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/miniorch/miniorch/kubelet/cgroups"
	"github.com/miniorch/miniorch/kubelet/container"
)

// Resize changes the CPU and memory of a running container, and then labels that say so.
func (r *Runtime) Resize(ctx context.Context, id string, to container.Resources, labels map[string]string) error {
	ctx = r.scope(ctx)
	resources, err := typeurl.MarshalAny(resized(to, cgroups.SwapAccounting()))
	if err != nil {
		return fmt.Errorf("encoding resources: %w", err)
	}
	_, err = r.client.TaskService().Update(ctx, &tasks.UpdateTaskRequest{ContainerID: id, Resources: typeurl.MarshalProto(resources)})
	if err != nil {
		return fmt.Errorf("resizing container %s: %w", id, translate(err))
	}
	for key, value := range labels {
		if err := r.setLabel(ctx, id, key, value); err != nil {
			return err
		}
	}
	return nil
}

// resized names every value: what is left out of an update stays as it was.
func resized(to container.Resources, swap bool) *specs.LinuxResources {
	none := int64(-1)
	period := uint64(cgroups.DefaultPeriod)
	r := &specs.LinuxResources{
		CPU:    &specs.LinuxCPU{Shares: &to.CPUShares, Quota: &none, Period: &period},
		Memory: &specs.LinuxMemory{Limit: &none, Swap: &none},
	}
	if to.CPUQuota > 0 {
		r.CPU.Quota = &to.CPUQuota
	}
	if to.MemoryLimit > 0 {
		r.Memory.Limit, r.Memory.Swap = &to.MemoryLimit, &to.MemoryLimit
	}
	if !swap {
		r.Memory.Swap = nil
	}
	return r
}
