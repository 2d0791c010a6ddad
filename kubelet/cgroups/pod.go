package cgroups

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// DefaultPeriod is the CPU accounting period, in microseconds, that quotas refer to.
const DefaultPeriod = 100_000

// Manager keeps the cgroups of the pods of one node.
type Manager struct {
	root      string // "/kubepods" below the node's own root
	hierarchy Hierarchy
}

// NewManager returns a manager for the tree below root, "" or "/" being the machine's
// root. It makes nothing yet.
func NewManager(root string) (*Manager, error) {
	h, err := Detect()
	if err != nil {
		return nil, err
	}
	return &Manager{root: path.Join("/", root, "kubepods"), hierarchy: h}, nil
}

// Hierarchy is where the manager's cgroups are; ask it for statistics.
func (m *Manager) Hierarchy() Hierarchy { return m.hierarchy }

// Usage reads what a cgroup has used; "" is the whole node: everything below its root.
func (m *Manager) Usage(cgroup string) (Stats, error) {
	if cgroup != "" {
		return m.hierarchy.Stats(cgroup)
	}
	if root := path.Dir(m.root); root != "/" {
		return m.hierarchy.Stats(root)
	}
	return machineUsage()
}

// PodPath is the cgroup of a pod of a given class.
func (m *Manager) PodPath(class corev1.PodQOSClass, uid types.UID) string {
	return path.Join(m.classPath(class), "pod"+string(uid))
}

func (m *Manager) classPath(class corev1.PodQOSClass) string {
	if class == corev1.PodQOSGuaranteed {
		return m.root
	}
	return path.Join(m.root, strings.ToLower(string(class)))
}

// EnsurePod makes the pod's cgroup with the limits its spec asks for and returns its path,
// the parent of its containers' cgroups. Calling it again applies changed limits.
func (m *Manager) EnsurePod(pod *corev1.Pod) (string, error) {
	class := QOSClass(pod)
	cgroup := m.PodPath(class, pod.UID)
	if err := m.make(cgroup); err != nil {
		return "", err
	}
	if class == corev1.PodQOSBestEffort {
		// The whole class shares what nobody asked for.
		if err := m.apply(m.classPath(class), Limits{CPUShares: MinShares}); err != nil {
			return "", err
		}
	}
	if err := m.apply(cgroup, PodLimits(pod)); err != nil {
		return "", err
	}
	return cgroup, nil
}

// RemovePod removes the cgroups of a pod of whatever class. Its processes must be gone.
func (m *Manager) RemovePod(uid types.UID) error {
	if uid == "" || strings.ContainsAny(string(uid), "/\x00") {
		return fmt.Errorf("removing the cgroup of a pod: bad UID %q", uid)
	}
	var errs []error
	for _, class := range []corev1.PodQOSClass{corev1.PodQOSGuaranteed, corev1.PodQOSBurstable, corev1.PodQOSBestEffort} {
		errs = append(errs, m.hierarchy.remove(m.PodPath(class, uid)))
	}
	return errors.Join(errs...)
}

// Pods lists the pods that have a cgroup.
func (m *Manager) Pods() ([]types.UID, error) {
	var out []types.UID
	for _, class := range []corev1.PodQOSClass{corev1.PodQOSGuaranteed, corev1.PodQOSBurstable, corev1.PodQOSBestEffort} {
		dir, _ := m.hierarchy.dir("memory", m.classPath(class))
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("listing pod cgroups: %w", err)
		}
		for _, e := range entries {
			if uid, ok := strings.CutPrefix(e.Name(), "pod"); ok && e.IsDir() {
				out = append(out, types.UID(uid))
			}
		}
	}
	return out, nil
}

// RemoveAll removes the whole tree; for a node that is taken down for good.
func (m *Manager) RemoveAll() error { return m.hierarchy.remove(m.root) }

// make creates a cgroup and its parents in every hierarchy.
func (m *Manager) make(cgroup string) error {
	for _, dir := range m.hierarchy.dirs(cgroup) {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("making cgroup: %w", err)
		}
	}
	if m.hierarchy.Version == V2 {
		return m.delegate(cgroup)
	}
	if mount, ok := m.hierarchy.mounts["cpuset"]; ok {
		return inheritCPUSet(mount, cgroup)
	}
	return nil
}

// delegate switches the controllers on from the root down to cgroup, so that it and its
// children have them (v2). A controller the machine lacks is left out.
func (m *Manager) delegate(cgroup string) error {
	dir := m.hierarchy.mounts[""]
	for _, part := range append([]string{""}, strings.Split(strings.Trim(cgroup, "/"), "/")...) {
		dir = filepath.Join(dir, part)
		available, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
		if err != nil {
			return fmt.Errorf("reading controllers: %w", err)
		}
		for _, c := range strings.Fields(string(available)) {
			err := write(dir, "cgroup.subtree_control", "+"+c)
			// A controller can be busy or, for rdma and the like, not for delegation.
			if err != nil && (c == "cpu" || c == "memory" || c == "pids") {
				return err
			}
		}
	}
	return nil
}

// inheritCPUSet copies the parents' CPUs and memory nodes: on v1 a cpuset is born empty
// and nothing can run in it.
func inheritCPUSet(mount, cgroup string) error {
	dir := mount
	for _, part := range strings.Split(strings.Trim(cgroup, "/"), "/") {
		parent := dir
		dir = filepath.Join(dir, part)
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			have, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				return fmt.Errorf("reading cpuset: %w", err)
			}
			if strings.TrimSpace(string(have)) != "" {
				continue
			}
			from, err := os.ReadFile(filepath.Join(parent, file))
			if err != nil {
				return fmt.Errorf("reading cpuset: %w", err)
			}
			if err := write(dir, file, strings.TrimSpace(string(from))); err != nil {
				return err
			}
		}
	}
	return nil
}

// apply writes limits; zero values remove the limit.
func (m *Manager) apply(cgroup string, l Limits) error {
	for _, w := range m.writes(l) {
		dir, ok := m.hierarchy.dir(w.controller, cgroup)
		if !ok {
			continue
		}
		err := write(dir, w.file, w.value)
		if err != nil && !(w.optional && errors.Is(err, fs.ErrNotExist)) {
			return err
		}
	}
	return nil
}

// setting is one value of one file of a cgroup.
type setting struct {
	controller, file, value string
	optional                bool // the kernel may be built without it
}

// writes is the pure translation of limits to files.
func (m *Manager) writes(l Limits) []setting {
	shares := max(l.CPUShares, MinShares)
	if m.hierarchy.Version == V2 {
		quota := "max"
		if l.CPUQuota > 0 {
			quota = strconv.FormatInt(l.CPUQuota, 10)
		}
		return []setting{
			{"cpu", "cpu.weight", strconv.FormatUint(Weight(shares), 10), false},
			{"cpu", "cpu.max", quota + " " + strconv.Itoa(DefaultPeriod), true},
			{"memory", "memory.max", orUnlimited(l.Memory, "max"), false},
			{"pids", "pids.max", orUnlimited(l.PIDs, "max"), true},
		}
	}
	return []setting{
		{"cpu", "cpu.shares", strconv.FormatUint(shares, 10), false},
		{"cpu", "cpu.cfs_period_us", strconv.Itoa(DefaultPeriod), true},
		{"cpu", "cpu.cfs_quota_us", orUnlimited(l.CPUQuota, "-1"), true},
		{"memory", "memory.limit_in_bytes", orUnlimited(l.Memory, "-1"), false},
		{"pids", "pids.max", orUnlimited(l.PIDs, "max"), true},
	}
}

func orUnlimited(n int64, unlimited string) string {
	if n <= 0 {
		return unlimited
	}
	return strconv.FormatInt(n, 10)
}

// write sets one file. Cgroup files take a value in a single write.
func write(dir, file, value string) error {
	err := os.WriteFile(filepath.Join(dir, file), []byte(value), 0)
	if errors.Is(err, unix.EINTR) {
		err = os.WriteFile(filepath.Join(dir, file), []byte(value), 0)
	}
	if err != nil {
		return fmt.Errorf("setting %s to %q: %w", file, value, err)
	}
	return nil
}
