// Package cgroups makes the pods' part of the cgroup tree and reads usage from it, on
// cgroup v1 and v2. The tree is
//
//	<root>/kubepods/pod<uid>/<container>             Guaranteed
//	<root>/kubepods/burstable/pod<uid>/<container>
//	<root>/kubepods/besteffort/pod<uid>/<container>
//
// The levels down to the pod are ours; a container's own cgroup is made and removed by
// runc. Paths are given as runc takes them: absolute from the root of every hierarchy.
package cgroups

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Version tells the two generations of cgroups apart.
type Version int

// The versions. A machine that mounts both is V1 if its controllers are there.
const (
	V1 Version = 1
	V2 Version = 2
)

// Hierarchy is where the machine's controllers are mounted.
type Hierarchy struct {
	Version Version
	// mounts is the mount point of each controller; on v2 only "", the unified one.
	mounts map[string]string
}

// unifiedRoot is where every distribution mounts cgroups.
const unifiedRoot = "/sys/fs/cgroup"

// controllers are those of v1 that a pod's cgroup is made in, as runc does for a
// container's.
var controllers = []string{"cpu", "cpuacct", "memory", "pids", "cpuset", "devices", "freezer", "blkio", "systemd", "net_cls", "net_prio", "perf_event", "hugetlb", "rdma", "misc", unified}

// unified stands for the controller-less version 2 hierarchy of a hybrid machine.
const unified = "unified"

// machine is the hierarchy of this machine, found once.
var machine = sync.OnceValues(func() (Hierarchy, error) {
	mounts, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return Hierarchy{}, fmt.Errorf("finding cgroups: %w", err)
	}
	defer mounts.Close()
	var stat unix.Statfs_t
	if err := unix.Statfs(unifiedRoot, &stat); err != nil {
		return Hierarchy{}, fmt.Errorf("finding cgroups at %s: %w", unifiedRoot, err)
	}
	if stat.Type == unix.CGROUP2_SUPER_MAGIC {
		return Hierarchy{Version: V2, mounts: map[string]string{"": unifiedRoot}}, nil
	}
	found := parseMounts(bufio.NewScanner(mounts))
	if found["memory"] == "" || found["cpu"] == "" {
		return Hierarchy{}, errors.New("finding cgroups: neither version 2 nor the cpu and memory controllers of version 1 are mounted")
	}
	return Hierarchy{Version: V1, mounts: found}, nil
})

// Detect returns the hierarchy of this machine.
func Detect() (Hierarchy, error) { return machine() }

// parseMounts finds the v1 controllers in the lines of a mountinfo file.
func parseMounts(lines *bufio.Scanner) map[string]string {
	found := map[string]string{}
	for lines.Scan() {
		before, after, ok := strings.Cut(lines.Text(), " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !ok || len(left) < 5 || len(right) < 3 {
			continue
		}
		if right[0] == "cgroup2" {
			// A hybrid machine: runc makes each container's cgroup here as well.
			found[unified] = left[4]
		}
		if right[0] != "cgroup" {
			continue
		}
		for option := range strings.SplitSeq(right[2], ",") {
			name := strings.TrimPrefix(option, "name=")
			if _, twice := found[name]; !twice {
				found[name] = left[4]
			}
		}
	}
	out := map[string]string{}
	for _, c := range controllers {
		if found[c] != "" {
			out[c] = found[c]
		}
	}
	return out
}

// dir is the directory of cgroup in the hierarchy of a controller.
func (h Hierarchy) dir(controller, cgroup string) (string, bool) {
	if h.Version == V2 {
		controller = ""
	}
	mount, ok := h.mounts[controller]
	return filepath.Join(mount, path.Clean("/"+cgroup)), ok
}

// dirs are the directories of cgroup in all distinct hierarchies.
func (h Hierarchy) dirs(cgroup string) []string {
	seen := map[string]bool{}
	var out []string
	for _, mount := range h.mounts {
		if dir := filepath.Join(mount, path.Clean("/"+cgroup)); !seen[dir] {
			seen[dir] = true
			out = append(out, dir)
		}
	}
	return out
}

// remove deletes cgroup and everything below it, deepest first. What is gone already is
// fine; processes in it are not.
func (h Hierarchy) remove(cgroup string) error {
	var errs []error
	for _, dir := range h.dirs(cgroup) {
		errs = append(errs, removeTree(dir))
	}
	return errors.Join(errs...)
}

func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("removing cgroup %s: %w", dir, err)
	}
	return nil
}

// rmdir removes one cgroup. The kernel calls it busy for some moments after its last process
// has ended.
func rmdir(dir string) error {
	err := unix.Rmdir(dir)
	for pause := time.Millisecond; errors.Is(err, unix.EBUSY) && pause < 512*time.Millisecond; pause *= 2 {
		time.Sleep(pause)
		err = unix.Rmdir(dir)
	}
	return err
}
