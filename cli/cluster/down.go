package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/miniorch/miniorch/kubelet/runtime/supervise"
	"github.com/miniorch/miniorch/pkg/pki"
)

// patience is how long processes get to end after SIGTERM.
const patience = 5 * time.Second

// Down removes everything that Up made for the named cluster, in whatever state it is.
// With keepData the hosts' data directories stay, and a later Up goes on with them.
func Down(_ context.Context, c Config, keepData bool, progress *Progress) error {
	c, err := c.withDefaults()
	if err != nil {
		return err
	}
	unlock, err := exclusive(c.StateRoot)
	if err != nil {
		return err
	}
	defer unlock()
	s, ok, err := load(c)
	if err != nil {
		return err
	}
	if !ok {
		progress.Say("there is no cluster %q on this machine: nothing to do", c.Name)
		return removeIfEmpty(c.StateRoot)
	}
	plan, err := decide(s.Config, s.Number)
	if err != nil {
		return err
	}
	cl := &Cluster{Config: s.Config, Plan: plan, state: s}
	if err := cl.stopAll(progress); err != nil {
		return err
	}
	if err := cl.disconnect(progress); err != nil {
		return err
	}
	if err := cl.removeData(keepData, progress); err != nil {
		return err
	}
	return removeIfEmpty(c.StateRoot)
}

// stopAll ends every process of every host: masters get the chance to say goodbye,
// containers need not.
func (cl *Cluster) stopAll(progress *Progress) error {
	group := filepath.Dir(cl.Plan.Hosts[0].Cgroup)
	for _, h := range cl.Plan.Hosts {
		if h.Role == Master {
			if _, err := signal(h.Cgroup, unix.SIGTERM, patience); err != nil {
				return err
			}
		}
	}
	left, err := signal(group, unix.SIGKILL, 2*patience)
	if err != nil {
		return err
	}
	if left > 0 {
		return fmt.Errorf("%d processes of cluster %s do not end, see control group %s", left, cl.Plan.Name, group)
	}
	for _, h := range cl.Plan.nodes() {
		if err := sweepSockets(h); err != nil {
			return err
		}
	}
	progress.Say("all processes ended")
	return nil
}

func sweepSockets(h Host) error {
	if err := supervise.SweepSockets(filepath.Join(h.Dir, "run", "containerd")); err != nil {
		return fmt.Errorf("removing sockets of %s: %w", h.Name, err)
	}
	return nil
}

// disconnect removes mounts, namespaces, links, routes, rules and control groups. What cannot
// be removed keeps nothing else from it.
func (cl *Cluster) disconnect(progress *Progress) error {
	errs := []error{unmountBelow(cl.Plan.Dir)}
	for _, h := range cl.Plan.Hosts {
		errs = append(errs, detach(h))
	}
	if cl.state.NetNSDir {
		errs = append(errs, releaseNetNSDir())
	}
	cl.Plan.removeRules()
	errs = append(errs, deleteLink(cl.Plan.Bridge)) // routes go with the bridge
	errs = append(errs, removeCgroups(filepath.Dir(cl.Plan.Hosts[0].Cgroup)))
	removeEmptyCgroups(cl.Config.CgroupRoot)
	if err := errors.Join(errs...); err != nil {
		return err
	}
	progress.Say("namespaces, links, rules and control groups removed")
	return nil
}

// detach removes the host's namespace and its cable.
func detach(h Host) error {
	var err error
	if _, missing := os.Stat(filepath.Join(netnsDir, h.NetNS)); missing == nil {
		if err = netns.DeleteNamed(h.NetNS); err != nil {
			err = fmt.Errorf("deleting network namespace %s: %w", h.NetNS, err)
		}
	}
	return errors.Join(err, deleteLink(h.Link))
}

func deleteLink(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return nil // there is none
	}
	if err := netlink.LinkDel(link); err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("deleting link %s: %w", name, err)
	}
	return nil
}

// removeData forgets the cluster: its directory, its context, and what forwarding was before.
func (cl *Cluster) removeData(keepData bool, progress *Progress) error {
	if cl.state.Kubeconfig != "" {
		if err := cl.forgetContext(); err != nil {
			return err
		}
	}
	if cl.state.IPForward == "0" && !cl.othersRun() {
		if _, err := setIPForward("0"); err != nil {
			return err
		}
	}
	if keepData {
		progress.Say("data kept in %s", cl.Plan.Dir)
		return nil
	}
	if err := os.RemoveAll(cl.Plan.Dir); err != nil {
		return fmt.Errorf("removing data: %w", err)
	}
	progress.Say("data removed")
	return nil
}

// forgetContext takes the cluster out of the user's kubeconfig. A file that Up made goes too,
// unless others put something in.
func (cl *Cluster) forgetContext() error {
	path := cl.state.Kubeconfig
	if err := pki.UnmergeKubeconfig(path, cl.Context()); err != nil || !cl.state.NewConfig {
		return err
	}
	config, err := clientcmd.LoadFromFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if len(config.Clusters)+len(config.AuthInfos)+len(config.Contexts) > 0 {
		return nil
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	if !cl.state.NewConfigDir {
		return nil
	}
	return removeIfEmpty(filepath.Dir(path))
}

// othersRun tells whether another cluster on this machine still needs forwarding.
func (cl *Cluster) othersRun() bool {
	entries, err := os.ReadDir(cl.Config.StateRoot)
	if err != nil {
		return false
	}
	for _, e := range entries {
		if e.Name() == cl.Plan.Name {
			continue
		}
		s, ok, err := load(Config{Name: e.Name(), StateRoot: cl.Config.StateRoot})
		if err != nil || !ok {
			continue
		}
		if plan, err := decide(s.Config, s.Number); err == nil {
			if _, err := netlink.LinkByName(plan.Bridge); err == nil {
				return true
			}
		}
	}
	return false
}

func removeIfEmpty(dir string) error {
	if err := os.Remove(dir); err != nil && !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// removeEmptyCgroups removes the group that all clusters share, unless one is still in it.
func removeEmptyCgroups(path string) {
	roots, _ := filepath.Glob("/sys/fs/cgroup/*")
	for _, root := range append(roots, "/sys/fs/cgroup") {
		_ = unix.Rmdir(filepath.Join(root, path)) // busy: others use it
	}
}

// unmountBelow detaches every mount below dir, deepest last mounted first.
func unmountBelow(dir string) error {
	for range 100 { // a mount may hide others
		points, err := mountsBelow(dir)
		if err != nil || len(points) == 0 {
			return err
		}
		for i := len(points) - 1; i >= 0; i-- {
			if err := unix.Unmount(points[i], unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
				return fmt.Errorf("unmounting %s: %w", points[i], err)
			}
		}
	}
	return fmt.Errorf("mounts below %s keep coming back", dir)
}

// mountsBelow reads the mount table, in the order of mounting.
func mountsBelow(dir string) ([]string, error) {
	content, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var points []string
	for line := range strings.Lines(string(content)) {
		if fields := strings.Fields(line); len(fields) > 4 {
			if point := unescape.Replace(fields[4]); strings.HasPrefix(point, dir+"/") {
				points = append(points, point)
			}
		}
	}
	return points, nil
}
