package runtime

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/oci"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/miniorch/miniorch/kubelet/cgroups"
	"github.com/miniorch/miniorch/kubelet/container"
)

// annotationShimGroup is by what containerd's runc shim knows that containers belong together.
const annotationShimGroup = "io.containerd.runc.v2.group"

// specInput is all that an OCI spec is made from.
type specInput struct {
	id       string
	want     container.ContainerSpec
	image    ocispec.ImageConfig
	user     specs.User
	group    string // the shim's
	oomFloor int
	cgroups  cgroups.Version
}

// buildSpec renders the OCI spec of a container. It reads devices and mounts of the host
// where the spec names them, and has no other effect.
func buildSpec(ctx context.Context, in specInput) (*oci.Spec, error) {
	spec, err := oci.GenerateSpec(ctx, nil, &containers.Container{ID: in.id})
	if err != nil {
		return nil, fmt.Errorf("making spec: %w", err)
	}
	steps := []func(context.Context, specInput, *oci.Spec) error{
		setProcess, setNamespaces, setMounts, setResources, setDevices, setSecurity,
	}
	for _, step := range steps {
		if err := step(ctx, in, spec); err != nil {
			return nil, fmt.Errorf("making spec: %w", err)
		}
	}
	spec.Annotations = maps.Clone(in.want.Annotations)
	if spec.Annotations == nil {
		spec.Annotations = map[string]string{}
	}
	spec.Annotations[annotationShimGroup] = in.group
	return spec, nil
}

// setProcess applies the documented precedence of a pod's command and args over the
// image's ENTRYPOINT and CMD.
func setProcess(_ context.Context, in specInput, s *oci.Spec) error {
	command, args := in.want.Command, in.want.Args
	if len(command) == 0 {
		command = in.image.Entrypoint
		if len(args) == 0 {
			args = in.image.Cmd
		}
	}
	p := s.Process
	if p.Args = slices.Concat(command, args); len(p.Args) == 0 {
		return fmt.Errorf("%w: neither the pod nor the image says what to run", container.ErrCommand)
	}
	p.Env = mergeEnv(in.image.Env, in.want)
	p.Cwd = "/"
	if in.image.WorkingDir != "" {
		p.Cwd = in.image.WorkingDir
	}
	if in.want.WorkingDir != "" {
		p.Cwd = in.want.WorkingDir
	}
	if !path.IsAbs(p.Cwd) {
		p.Cwd = "/" + p.Cwd
	}
	p.User = in.user
	p.Terminal = in.want.TTY
	// No limits of our own: containerd's are inherited, as with other runtimes.
	p.Rlimits = nil
	for _, l := range in.want.Resources.Rlimits {
		p.Rlimits = append(p.Rlimits, specs.POSIXRlimit{Type: l.Type, Soft: l.Soft, Hard: l.Hard})
	}
	score := max(in.want.Resources.OOMScoreAdj, in.oomFloor)
	p.OOMScoreAdj = &score
	s.Root.Readonly = in.want.ReadonlyRootfs
	return nil
}

// mergeEnv lets later settings of a name win and keeps the order of first appearance.
func mergeEnv(image []string, want container.ContainerSpec) []string {
	base := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	if want.TTY {
		base = append(base, "TERM=xterm")
	}
	at := map[string]int{}
	var out []string
	for _, entry := range slices.Concat(base, image, want.Env) {
		name, _, _ := strings.Cut(entry, "=")
		if i, again := at[name]; again {
			out[i] = entry
			continue
		}
		at[name] = len(out)
		out = append(out, entry)
	}
	return out
}

// setNamespaces joins the pod's namespaces, stays in the host's, or makes new ones.
func setNamespaces(_ context.Context, in specInput, s *oci.Spec) error {
	n := in.want.Network
	s.Linux.Namespaces = []specs.LinuxNamespace{{Type: specs.MountNamespace}}
	join := func(kind specs.LinuxNamespaceType, path string, host bool) {
		if !host {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: kind, Path: path})
		}
	}
	hostUTS := n.HostUTS || n.HostNetwork
	join(specs.NetworkNamespace, n.NetPath, n.HostNetwork)
	join(specs.IPCNamespace, n.IPCPath, n.HostIPC)
	join(specs.UTSNamespace, n.UTSPath, hostUTS)
	join(specs.PIDNamespace, n.PIDPath, n.HostPID)
	if in.cgroups == cgroups.V2 && !in.want.Security.Privileged {
		join(specs.CgroupNamespace, "", false)
	}
	// The name of a shared UTS namespace belongs to whoever made it.
	if !hostUTS && n.UTSPath == "" {
		s.Hostname = in.want.Hostname
	}
	s.Linux.Sysctl = maps.Clone(n.Sysctls)
	return nil
}

// setResources limits the container's cgroup.
func setResources(_ context.Context, in specInput, s *oci.Spec) error {
	want := in.want.Resources
	s.Linux.CgroupsPath = path.Join("/", want.CgroupParent, in.id)
	r := s.Linux.Resources
	cpu := &specs.LinuxCPU{Cpus: want.CPUSetCPUs}
	if want.CPUShares > 0 {
		cpu.Shares = &want.CPUShares
	}
	if want.CPUQuota > 0 {
		period := want.CPUPeriod
		if period == 0 {
			period = cgroups.DefaultPeriod
		}
		cpu.Quota, cpu.Period = &want.CPUQuota, &period
	}
	if *cpu != (specs.LinuxCPU{}) {
		r.CPU = cpu
	}
	if want.MemoryLimit > 0 {
		// Swap equal to the limit means none of it.
		r.Memory = &specs.LinuxMemory{Limit: &want.MemoryLimit, Swap: &want.MemoryLimit}
		if !cgroups.SwapAccounting() {
			r.Memory.Swap = nil
		}
	}
	if want.PIDs > 0 {
		r.Pids = &specs.LinuxPids{Limit: &want.PIDs}
	}
	for size, limit := range want.HugepageLimit {
		r.HugepageLimits = append(r.HugepageLimits, specs.LinuxHugepageLimit{Pagesize: size, Limit: limit})
	}
	return nil
}

// setDevices gives access to the devices asked for; a privileged container sees them all.
func setDevices(ctx context.Context, in specInput, s *oci.Spec) error {
	if in.want.Security.Privileged {
		if err := oci.WithHostDevices(ctx, nil, nil, s); err != nil {
			return err
		}
		if err := oci.WithAllDevicesAllowed(ctx, nil, nil, s); err != nil {
			return err
		}
	}
	for _, d := range in.want.Devices {
		permissions := d.Permissions
		if permissions == "" {
			permissions = "rwm"
		}
		if err := oci.WithDevices(d.HostPath, d.ContainerPath, permissions)(ctx, nil, nil, s); err != nil {
			return fmt.Errorf("device %s: %w", d.HostPath, err)
		}
	}
	return nil
}

// setSecurity sets capabilities and filters. The order matters: the default seccomp
// profile is derived from the capabilities.
func setSecurity(ctx context.Context, in specInput, s *oci.Spec) error {
	want := in.want.Security
	s.Process.NoNewPrivileges = want.NoNewPrivileges
	if want.Privileged {
		return oci.WithPrivileged(ctx, nil, nil, s)
	}
	caps, err := capabilitySet(s.Process.Capabilities.Bounding, want.AddCapabilities, want.DropCapabilities)
	if err != nil {
		return err
	}
	if err := oci.WithCapabilities(caps)(ctx, nil, nil, s); err != nil {
		return err
	}
	if want.UnmaskedProc {
		s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = nil, nil
	}
	switch want.Seccomp {
	case "", container.SeccompUnconfined:
	case container.SeccompRuntimeDefault:
		return seccomp.WithDefaultProfile()(ctx, nil, nil, s)
	case container.SeccompLocalhost:
		return seccomp.WithProfile(want.SeccompProfile)(ctx, nil, nil, s)
	default:
		return fmt.Errorf("unknown seccomp profile type %q", want.Seccomp)
	}
	return nil
}
