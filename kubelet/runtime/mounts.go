package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/miniorch/miniorch/kubelet/cgroups"
	"github.com/miniorch/miniorch/kubelet/container"
)

// setMounts composes the container's mount table: the kernel's file systems, then what
// the pod wants, outer paths before inner ones. A pod's mount replaces a default one at
// the same place (its shared /dev/shm, for instance).
func setMounts(_ context.Context, in specInput, s *oci.Spec) error {
	var own []specs.Mount
	for _, m := range s.Mounts {
		if m.Destination != "/run" { // the image's /run is not for us to hide
			own = append(own, m)
		}
	}
	own = append(own, cgroupMount(in))
	wanted := slices.Clone(in.want.Mounts)
	if in.want.TerminationMessagePath != "" && in.want.TerminationMessageHostPath != "" {
		wanted = append(wanted, container.Mount{HostPath: in.want.TerminationMessageHostPath, ContainerPath: in.want.TerminationMessagePath})
	}
	for _, m := range wanted {
		bind, propagation, err := bindMount(m)
		if err != nil {
			return err
		}
		own = slices.DeleteFunc(own, func(o specs.Mount) bool { return o.Destination == bind.Destination })
		own = append(own, bind)
		s.Linux.RootfsPropagation = wider(s.Linux.RootfsPropagation, propagation)
	}
	slices.SortStableFunc(own, func(a, b specs.Mount) int { return depth(a.Destination) - depth(b.Destination) })
	s.Mounts = own
	return nil
}

// cgroupMount lets programs see their limits, as language runtimes want to.
func cgroupMount(in specInput) specs.Mount {
	options := []string{"nosuid", "noexec", "nodev", "relatime", "ro"}
	if in.want.Security.Privileged {
		options[len(options)-1] = "rw"
	}
	return specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: options}
}

// bindMount renders a mount and the propagation that the container's root needs for it.
func bindMount(m container.Mount) (specs.Mount, string, error) {
	source, err := filepath.EvalSymlinks(m.HostPath)
	if err != nil {
		return specs.Mount{}, "", fmt.Errorf("mounting %s: %w", m.ContainerPath, err)
	}
	out := specs.Mount{Destination: path.Clean(m.ContainerPath), Type: "bind", Source: source, Options: []string{"rbind"}}
	if !path.IsAbs(out.Destination) {
		out.Destination = "/" + out.Destination
	}
	var root string
	switch m.Propagation {
	case "", container.PropagationNone:
		out.Options = append(out.Options, "rprivate")
	case container.PropagationHostToContainer:
		out.Options, root = append(out.Options, "rslave"), "rslave"
	case container.PropagationBidirectional:
		out.Options, root = append(out.Options, "rshared"), "rshared"
	default:
		return specs.Mount{}, "", fmt.Errorf("mounting %s: unknown propagation %q", m.ContainerPath, m.Propagation)
	}
	if root != "" {
		if err := checkPropagation(source, root == "rshared"); err != nil {
			return specs.Mount{}, "", fmt.Errorf("mounting %s: %w", m.ContainerPath, err)
		}
	}
	if m.NoExec {
		out.Options = append(out.Options, "noexec")
	}
	if m.ReadOnly {
		out.Options = append(out.Options, "ro")
		if m.Recursive {
			out.Options = append(out.Options, "rro")
		}
	} else {
		out.Options = append(out.Options, "rw")
	}
	return out, root, nil
}

// checkPropagation refuses what the kernel would accept and then not do: mounts travel
// only out of a shared mount.
func checkPropagation(source string, bidirectional bool) error {
	info, err := mount.Lookup(source)
	if err != nil {
		return fmt.Errorf("finding the mount of %s: %w", source, err)
	}
	shared := strings.Contains(info.Optional, "shared:")
	slave := strings.Contains(info.Optional, "master:")
	switch {
	case shared, slave && !bidirectional:
		return nil
	case bidirectional:
		return fmt.Errorf("path %s is on %s, which is not a shared mount", source, info.Mountpoint)
	}
	return fmt.Errorf("path %s is on %s, which is neither a shared nor a slave mount", source, info.Mountpoint)
}

// wider is the more permissive of two propagations of a root file system.
func wider(a, b string) string {
	if a == "rshared" || b == "" {
		return a
	}
	return b
}

func depth(destination string) int {
	return strings.Count(path.Clean(destination), "/")
}

// makeTerminationFile makes sure that the file the termination message goes to exists.
func makeTerminationFile(want container.ContainerSpec) error {
	if want.TerminationMessageHostPath == "" {
		return nil
	}
	f, err := os.OpenFile(want.TerminationMessageHostPath, os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return fmt.Errorf("making termination message file: %w", err)
	}
	// The process may run as anybody; the umask must not keep it from writing.
	return errors.Join(f.Chmod(0o666), f.Close())
}

// cgroupVersion is that of this machine; the oldest if it cannot be told.
func cgroupVersion() cgroups.Version {
	h, err := cgroups.Detect()
	if err != nil {
		return cgroups.V1
	}
	return h.Version
}
