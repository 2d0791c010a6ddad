package runtime

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// sweepShims ends shims that serve no container on record: what an agent leaves that is
// killed while it deletes a container.
func (r *Runtime) sweepShims(ctx context.Context) error {
	shims, err := r.shims() // before the records: a shim that starts now is not among them
	if err != nil || len(shims) == 0 {
		return err
	}
	infos, err := r.store().List(ctx)
	if err != nil {
		return fmt.Errorf("listing containers: %w", translate(err))
	}
	for _, info := range infos {
		delete(shims, info.ID)
		delete(shims, info.Labels[labelShimGroup])
	}
	for group, pid := range shims {
		r.cfg.Logger.Info("ending a shim without containers", "shim", group, "pid", pid)
		if err := unix.Kill(pid, unix.SIGTERM); err != nil && err != unix.ESRCH {
			return fmt.Errorf("ending shim %d: %w", pid, err)
		}
	}
	return nil
}

// shims finds the shims that belong to our containerd and namespace, by whose they are.
func (r *Runtime) shims() (map[string]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("looking for shims: %w", err)
	}
	found := map[string]int{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		line, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err != nil {
			continue // it has just ended
		}
		if group, ok := r.shimOf(strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")); ok {
			found[group] = pid
		}
	}
	return found, nil
}

// shimOf reads the command line of a process that may be one of our shims.
func (r *Runtime) shimOf(args []string) (group string, ok bool) {
	if filepath.Base(args[0]) != "containerd-shim-runc-v2" {
		return "", false
	}
	flags := map[string]string{}
	for i := 1; i+1 < len(args); i += 2 {
		flags[strings.TrimLeft(args[i], "-")] = args[i+1]
	}
	group = flags["id"]
	return group, group != "" && len(args)%2 == 1 && flags["namespace"] == r.cfg.Namespace && flags["address"] == r.cfg.Address
}
