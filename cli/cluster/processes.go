package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// hierarchy returns the mount point of the control-group hierarchy that marks a host's
// processes: the unified one, or on a cgroup v1 machine that of one controller.
func hierarchy() (root string, unified bool, err error) {
	const mount = "/sys/fs/cgroup"
	var fs unix.Statfs_t
	if err := unix.Statfs(mount, &fs); err != nil {
		return "", false, fmt.Errorf("looking for control groups: %w", err)
	}
	if fs.Type == unix.CGROUP2_SUPER_MAGIC {
		return mount, true, nil
	}
	for _, controller := range []string{"pids", "freezer", "memory"} {
		if _, err := os.Stat(filepath.Join(mount, controller, "cgroup.procs")); err == nil {
			return filepath.Join(mount, controller), false, nil
		}
	}
	return "", false, errors.New("no control-group hierarchy is mounted below /sys/fs/cgroup")
}

// joinCgroup moves a process into a control group, made if needed. What the process
// starts from then on is in it too: so we know a host's processes without any pid file.
func joinCgroup(path string, pid int) error {
	root, unified, err := hierarchy()
	if err != nil {
		return err
	}
	dir := filepath.Join(root, path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making control group: %w", err)
	}
	if unified {
		delegate(root, filepath.Dir(path))
	}
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o644); err != nil {
		return fmt.Errorf("moving process %d to control group %s: %w", pid, path, err)
	}
	return nil
}

// delegate turns the controllers that pods need on along the path. A controller that the
// machine does not offer is left to the kubelet's own check.
func delegate(root, path string) {
	dir := root
	for _, part := range strings.Split(strings.Trim(path, "/"), "/") {
		for _, controller := range []string{"+cpu", "+memory", "+pids", "+io", "+cpuset"} {
			_ = os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte(controller), 0o644)
		}
		dir = filepath.Join(dir, part)
	}
	for _, controller := range []string{"+cpu", "+memory", "+pids", "+io", "+cpuset"} {
		_ = os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte(controller), 0o644)
	}
}

// processes lists the processes in the control group and all below it, of whatever
// hierarchy, newest first.
func processes(cgroup string) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		content, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cgroup"))
		if err == nil && within(cgroup, string(content)) {
			pids = append(pids, pid)
		}
	}
	slices.Reverse(pids)
	return pids, nil
}

// within reads the content of /proc/PID/cgroup: lines "id:controllers:path".
func within(cgroup, memberships string) bool {
	for line := range strings.Lines(memberships) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) == 3 && (parts[2] == cgroup || strings.HasPrefix(parts[2], cgroup+"/")) {
			return true
		}
	}
	return false
}

// frozenPatience is how long killed processes get to end before they are taken for frozen.
const frozenPatience = 500 * time.Millisecond

// signal sends sig to every process of the control group and waits until all have ended,
// at most for the patience given. It reports how many are left.
func signal(cgroup string, sig unix.Signal, patience time.Duration) (left int, err error) {
	deadline := time.Now().Add(patience)
	for {
		pids, err := processes(cgroup)
		if err != nil || len(pids) == 0 {
			return 0, err
		}
		until := deadline
		if sig == unix.SIGKILL {
			until = earlier(deadline, time.Now().Add(frozenPatience))
		}
		left, err = signalAll(pids, sig, until)
		if err != nil || left > 0 && !time.Now().Before(deadline) {
			return left, err
		}
		if left > 0 {
			thaw(cgroup)
		}
		// Again: who was starting a process while we read may have hidden it.
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// thaw lets the processes of the control group and of all below it run. runc freezes a
// container while it kills what is in it; a runc that is killed itself meanwhile leaves it
// frozen, and in cgroup v1 what is frozen does not even end on SIGKILL.
func thaw(cgroup string) {
	_ = filepath.WalkDir(filepath.Join("/sys/fs/cgroup/freezer", cgroup), func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			// Errors: the group has gone, or is the root, which has no state. What cannot be
			// thawed shows as a process that is left.
			_ = os.WriteFile(filepath.Join(path, "freezer.state"), []byte("THAWED"), 0o644)
		}
		return nil
	})
}

// signalAll signals the processes and waits for the end of each. A process has ended when
// its last thread has: only then are its sockets and locks free for a successor, so
// looking for it in /proc would be too early.
func signalAll(pids []int, sig unix.Signal, deadline time.Time) (left int, err error) {
	var waits []unix.PollFd
	defer func() {
		for _, w := range waits {
			unix.Close(int(w.Fd))
		}
	}()
	for _, pid := range pids {
		fd, err := unix.PidfdOpen(pid, 0)
		if errors.Is(err, unix.ESRCH) {
			continue
		}
		if err != nil {
			return len(pids), fmt.Errorf("watching process %d: %w", pid, err)
		}
		waits = append(waits, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
		if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			return len(pids), fmt.Errorf("signalling process %d: %w", pid, err)
		}
	}
	for i := range waits {
		if !ended(waits[i:i+1], deadline) {
			left++
		}
	}
	return left, nil
}

// ended waits for the process behind one pidfd.
func ended(wait []unix.PollFd, deadline time.Time) bool {
	for {
		n, err := unix.Poll(wait, max(0, int(time.Until(deadline).Milliseconds())))
		if n > 0 || !errors.Is(err, unix.EINTR) {
			return n > 0
		}
	}
}

// agents lists the processes that were started for a host: master or node agent and its containerd.
func agents(h Host) ([]int, error) { return processes(h.Cgroup + "/agent") }

// removeCgroups removes the control group and all below it from every hierarchy.
func removeCgroups(path string) error {
	roots := []string{"/sys/fs/cgroup"}
	if more, err := filepath.Glob("/sys/fs/cgroup/*"); err == nil {
		roots = append(roots, more...)
	}
	var errs []error
	for _, root := range roots {
		top := filepath.Join(root, path)
		if _, err := os.Stat(top); err != nil {
			continue
		}
		var dirs []string
		err := filepath.WalkDir(top, func(p string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, p)
			}
			return nil // groups vanish while we walk
		})
		errs = append(errs, err)
		for _, dir := range slices.Backward(dirs) {
			if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
				errs = append(errs, fmt.Errorf("removing control group %s: %w", dir, err))
			}
		}
	}
	return errors.Join(errs...)
}
