package kubelet

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/miniorch/miniorch/kubelet/cgroups"
	"github.com/miniorch/miniorch/kubelet/container"
	"github.com/miniorch/miniorch/kubelet/env"
	"github.com/miniorch/miniorch/kubelet/lifecycle"
	"github.com/miniorch/miniorch/kubelet/sandbox"
	"github.com/miniorch/miniorch/pkg/api"
)

// surroundings are what was prepared for a pod before its containers.
type surroundings struct {
	sandbox  sandbox.Result
	volumes  map[string]container.Mount
	cgroup   string
	dir      string // the pod's directory on the host
	logs     string // the pod's directory of logs
	memory   int64  // of the machine, in bytes
	hostname string
	size     string // the sizes of the pod's containers that its cgroup was made for
}

// containerSpec translates a container of a pod for the runtime. env is final; subpath
// resolves the subPath of the i-th volume mount.
func containerSpec(pod *corev1.Pod, c *corev1.Container, a lifecycle.Action, around surroundings, vars []string,
	subpath func(i int, root, sub string) (string, error)) (container.ContainerSpec, error) {
	if err := unsupported(pod, c); err != nil {
		return container.ContainerSpec{}, err
	}
	mounts, err := mountsOf(pod, c, around, vars, subpath)
	if err != nil {
		return container.ContainerSpec{}, err
	}
	devices, err := devicesOf(c, around)
	if err != nil {
		return container.ContainerSpec{}, err
	}
	labels := a.Labels(pod)
	labels[lifecycle.LabelSize] = lifecycle.Size(c.Resources)
	spec := container.ContainerSpec{
		PodUID: string(pod.UID), PodNamespace: pod.Namespace, PodName: pod.Name,
		Name: c.Name, Kind: a.Kind, RestartCount: a.RestartCount,
		SpecHash: lifecycle.SpecHash(c), Labels: labels,
		Image: c.Image, Command: env.ExpandAll(c.Command, vars), Args: env.ExpandAll(c.Args, vars),
		Env: vars, WorkingDir: c.WorkingDir, TTY: c.TTY, Stdin: c.Stdin, StdinOnce: c.StdinOnce,
		Hostname:                   around.hostname,
		Mounts:                     mounts,
		Devices:                    devices,
		TerminationMessagePath:     c.TerminationMessagePath,
		TerminationMessageHostPath: filepath.Join(around.dir, "containers", c.Name, strconv.Itoa(a.RestartCount)),
		LogPath:                    filepath.Join(around.logs, c.Name, strconv.Itoa(a.RestartCount)+".log"),
		Security:                   securityOf(pod, c),
		Network:                    namespacesOf(pod, around.sandbox),
		Resources:                  resourcesOf(pod, c, around),
	}
	if c.Lifecycle != nil && c.Lifecycle.StopSignal != nil {
		spec.StopSignal = string(*c.Lifecycle.StopSignal)
	}
	if sc := c.SecurityContext; sc != nil && sc.ReadOnlyRootFilesystem != nil {
		spec.ReadonlyRootfs = *sc.ReadOnlyRootFilesystem
	}
	return spec, nil
}

// unsupported names what we would otherwise have to ignore.
func unsupported(pod *corev1.Pod, c *corev1.Container) error {
	switch share := pod.Spec.ShareProcessNamespace; {
	case share != nil && *share:
		return errors.New("shareProcessNamespace is not supported")
	case pod.Spec.HostUsers != nil && !*pod.Spec.HostUsers:
		return errors.New("user namespaces (hostUsers: false) are not supported")
	case len(pod.Spec.ResourceClaims) > 0:
		return errors.New("resourceClaims are not supported")
	case localAppArmor(pod, c):
		return errors.New("AppArmor profiles of the node are not supported")
	}
	for _, rule := range c.RestartPolicyRules {
		if rule.Action != corev1.ContainerRestartRuleActionRestart {
			return fmt.Errorf("restart rules with action %s are not supported", rule.Action)
		}
	}
	return nil
}

// localAppArmor: the container wants a profile that it relies on.
func localAppArmor(pod *corev1.Pod, c *corev1.Container) bool {
	var profile *corev1.AppArmorProfile
	if sc := pod.Spec.SecurityContext; sc != nil {
		profile = sc.AppArmorProfile
	}
	if sc := c.SecurityContext; sc != nil && sc.AppArmorProfile != nil {
		profile = sc.AppArmorProfile
	}
	return profile != nil && profile.Type == corev1.AppArmorProfileTypeLocalhost
}

func namespacesOf(pod *corev1.Pod, box sandbox.Result) container.Namespaces {
	n := container.Namespaces{
		NetPath: box.NetNSPath, IPCPath: box.IPCNSPath, UTSPath: box.UTSNSPath,
		HostNetwork: pod.Spec.HostNetwork, HostIPC: pod.Spec.HostIPC, HostPID: pod.Spec.HostPID,
		HostUTS: pod.Spec.HostNetwork,
	}
	return n
}

func mountsOf(pod *corev1.Pod, c *corev1.Container, around surroundings, vars []string,
	subpath func(i int, root, sub string) (string, error)) ([]container.Mount, error) {
	var mounts []container.Mount
	for i := range c.VolumeMounts {
		vm := &c.VolumeMounts[i]
		volume, ok := around.volumes[vm.Name]
		if !ok {
			return nil, fmt.Errorf("cannot find volume %q to mount into container %q", vm.Name, c.Name)
		}
		m := container.Mount{
			HostPath: volume.HostPath, ContainerPath: vm.MountPath, ReadOnly: vm.ReadOnly || volume.ReadOnly,
			NoExec: volume.NoExec,
		}
		if !filepath.IsAbs(m.ContainerPath) {
			m.ContainerPath = "/" + m.ContainerPath
		}
		if vm.MountPropagation != nil {
			m.Propagation = container.Propagation(*vm.MountPropagation)
		}
		if r := vm.RecursiveReadOnly; r != nil && *r != corev1.RecursiveReadOnlyDisabled {
			m.Recursive = true
		}
		sub := vm.SubPath
		if vm.SubPathExpr != "" {
			if sub = env.ExpandAll([]string{vm.SubPathExpr}, vars)[0]; strings.Contains(sub, "$(") {
				return nil, fmt.Errorf("subPathExpr %q of volume %q names a variable that is not set", vm.SubPathExpr, vm.Name)
			}
			if filepath.IsAbs(sub) || slices.Contains(strings.Split(sub, "/"), "..") { // as the API has it of a subPath
				return nil, fmt.Errorf("subPath %q of volume %q must be a relative path without '..'", sub, vm.Name)
			}
		}
		if sub != "" {
			var err error
			if m.HostPath, err = subpath(i, volume.HostPath, sub); err != nil {
				return nil, fmt.Errorf("failed to prepare subPath for volumeMount %q of container %q: %w", vm.Name, c.Name, err)
			}
		}
		mounts = append(mounts, m)
	}
	for _, name := range managedFiles {
		path := "/etc/" + name
		if !slices.ContainsFunc(mounts, func(m container.Mount) bool { return filepath.Clean(m.ContainerPath) == path }) {
			mounts = append(mounts, container.Mount{HostPath: filepath.Join(around.dir, "etc", name), ContainerPath: path})
		}
	}
	return mounts, nil
}

// devicesOf are the volumes that the container gets as block devices.
func devicesOf(c *corev1.Container, around surroundings) ([]container.Device, error) {
	var devices []container.Device
	for _, d := range c.VolumeDevices {
		volume, ok := around.volumes[d.Name]
		if !ok || !volume.Device {
			return nil, fmt.Errorf("cannot find device %q for container %q", d.Name, c.Name)
		}
		permissions := "rwm"
		if volume.ReadOnly {
			permissions = "r"
		}
		devices = append(devices, container.Device{HostPath: volume.HostPath, ContainerPath: d.DevicePath, Permissions: permissions})
	}
	return devices, nil
}

// managedFiles are the files of /etc that a pod's containers share.
var managedFiles = []string{"hosts", "hostname", "resolv.conf"}

func securityOf(pod *corev1.Pod, c *corev1.Container) container.Security {
	var s container.Security
	if p := pod.Spec.SecurityContext; p != nil {
		s.User, s.Group = p.RunAsUser, p.RunAsGroup
		s.RunAsNonRoot = p.RunAsNonRoot != nil && *p.RunAsNonRoot
		s.SupplementalGroups = slices.Clone(p.SupplementalGroups)
		if p.FSGroup != nil && !slices.Contains(s.SupplementalGroups, *p.FSGroup) {
			s.SupplementalGroups = append(s.SupplementalGroups, *p.FSGroup)
		}
		s.Seccomp, s.SeccompProfile = seccompOf(p.SeccompProfile)
	}
	sc := c.SecurityContext
	if sc == nil {
		return withDefaultSeccomp(s)
	}
	if sc.RunAsUser != nil {
		s.User = sc.RunAsUser
	}
	if sc.RunAsGroup != nil {
		s.Group = sc.RunAsGroup
	}
	if sc.RunAsNonRoot != nil {
		s.RunAsNonRoot = *sc.RunAsNonRoot
	}
	s.Privileged = sc.Privileged != nil && *sc.Privileged
	s.NoNewPrivileges = sc.AllowPrivilegeEscalation != nil && !*sc.AllowPrivilegeEscalation
	s.UnmaskedProc = sc.ProcMount != nil && *sc.ProcMount == corev1.UnmaskedProcMount
	if sc.SeccompProfile != nil {
		s.Seccomp, s.SeccompProfile = seccompOf(sc.SeccompProfile)
	}
	if caps := sc.Capabilities; caps != nil {
		for _, name := range caps.Add {
			s.AddCapabilities = append(s.AddCapabilities, string(name))
		}
		for _, name := range caps.Drop {
			s.DropCapabilities = append(s.DropCapabilities, string(name))
		}
	}
	return withDefaultSeccomp(s)
}

func seccompOf(p *corev1.SeccompProfile) (container.Seccomp, string) {
	if p == nil {
		return "", ""
	}
	profile := ""
	if p.LocalhostProfile != nil {
		profile = filepath.Join("/var/lib/kubelet/seccomp", filepath.Clean("/"+*p.LocalhostProfile))
	}
	return container.Seccomp(p.Type), profile
}

// withDefaultSeccomp: what is not said is unconfined, as the API documents.
func withDefaultSeccomp(s container.Security) container.Security {
	if s.Seccomp == "" || s.Privileged {
		s.Seccomp, s.SeccompProfile = container.SeccompUnconfined, ""
	}
	return s
}

func resourcesOf(pod *corev1.Pod, c *corev1.Container, around surroundings) container.Resources {
	requests, limits := c.Resources.Requests, c.Resources.Limits
	cpu := requests[corev1.ResourceCPU]
	if cpu.IsZero() {
		cpu = limits[corev1.ResourceCPU]
	}
	r := container.Resources{
		CgroupParent: around.cgroup,
		CPUShares:    cgroups.Shares(cpu),
		MemoryLimit:  limits.Memory().Value(),
		OOMScoreAdj:  oomScore(pod, c, around.memory),
	}
	if limit := limits[corev1.ResourceCPU]; !limit.IsZero() {
		r.CPUQuota, r.CPUPeriod = cgroups.Quota(limit), 100_000
	}
	for name, q := range limits {
		if size, ok := strings.CutPrefix(string(name), corev1.ResourceHugePagesPrefix); ok {
			if r.HugepageLimit == nil {
				r.HugepageLimit = map[string]uint64{}
			}
			r.HugepageLimit[hugepage(size)] = uint64(q.Value())
		}
	}
	return r
}

// hugepage names a page size as the kernel's cgroups do: 2Mi is "2MB", 1Gi "1GB".
func hugepage(size string) string {
	q, err := resource.ParseQuantity(size)
	if err != nil {
		return size
	}
	switch v := q.Value(); {
	case v >= 1<<30:
		return fmt.Sprintf("%dGB", v>>30)
	case v >= 1<<20:
		return fmt.Sprintf("%dMB", v>>20)
	default:
		return fmt.Sprintf("%dKB", v>>10)
	}
}

// oomScore says whom the kernel kills first: best effort, then those who use much more than
// they asked for; guaranteed pods last.
func oomScore(pod *corev1.Pod, c *corev1.Container, memory int64) int {
	switch api.PodQOS(pod) {
	case corev1.PodQOSGuaranteed:
		return -997
	case corev1.PodQOSBestEffort:
		return 1000
	}
	if memory <= 0 {
		return 999
	}
	share := float64(c.Resources.Requests.Memory().Value()) / float64(memory)
	return min(999, max(3, 1000-int(math.Round(1000*share))))
}
