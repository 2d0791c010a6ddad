package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

const netnsDir = "/run/netns"

// addressesInUse returns the numbers whose host network this machine has an address in.
func addressesInUse() ([]int, error) {
	addresses, err := netlink.AddrList(nil, netlink.FAMILY_V4)
	if err != nil {
		return nil, fmt.Errorf("listing addresses: %w", err)
	}
	var taken []int
	for _, a := range addresses {
		if ip := a.IP.To4(); ip[0] == 10 && ip[1] == 89 {
			taken = append(taken, int(ip[2]))
		}
	}
	return taken, nil
}

// ensureBridge makes the datacentre network with this machine on it.
func (p Plan) ensureBridge() error {
	if _, err := netlink.LinkByName(p.Bridge); err != nil {
		if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: p.Bridge}}); err != nil {
			return fmt.Errorf("adding bridge %s: %w", p.Bridge, err)
		}
	}
	bridge, err := netlink.LinkByName(p.Bridge)
	if err != nil {
		return err
	}
	address := &netlink.Addr{IPNet: &net.IPNet{IP: p.Gateway().AsSlice(), Mask: net.CIDRMask(p.Network.Bits(), 32)}}
	if err := netlink.AddrReplace(bridge, address); err != nil {
		return fmt.Errorf("giving %s to %s: %w", address, p.Bridge, err)
	}
	return netlink.LinkSetUp(bridge)
}

// ensureHost makes the host's namespace and its cable to the bridge.
func (p Plan) ensureHost(h Host) error {
	ns, err := ensureNetNS(h.NetNS)
	if err != nil {
		return err
	}
	defer ns.Close()
	bridge, err := netlink.LinkByName(p.Bridge)
	if err != nil {
		return err
	}
	inside, err := netlink.NewHandleAt(ns)
	if err != nil {
		return err
	}
	defer inside.Close()
	if _, err := inside.LinkByName("eth0"); err != nil {
		veth := &netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: h.Link, MasterIndex: bridge.Attrs().Index, Flags: net.FlagUp},
			PeerName:  "eth0", PeerNamespace: netlink.NsFd(ns),
		}
		if err := netlink.LinkAdd(veth); err != nil {
			return fmt.Errorf("joining %s to %s: %w", h.Name, p.Bridge, err)
		}
	}
	for _, name := range []string{"lo", "eth0"} {
		link, err := inside.LinkByName(name)
		if err != nil {
			return err
		}
		if name == "eth0" {
			address := &netlink.Addr{IPNet: &net.IPNet{IP: h.IP.AsSlice(), Mask: net.CIDRMask(p.Network.Bits(), 32)}}
			if err := inside.AddrReplace(link, address); err != nil {
				return fmt.Errorf("giving %s to %s: %w", h.IP, h.Name, err)
			}
		}
		if err := inside.LinkSetUp(link); err != nil {
			return err
		}
	}
	return inside.RouteReplace(&netlink.Route{Gw: p.Gateway().AsSlice()})
}

// ensureNetNSDir makes /run/netns a mount of its own that mount namespaces share, as
// `ip netns add` does when it finds none. Done later by somebody else it would hide our
// namespaces' mounts below another one. It reports whether there was none.
func ensureNetNSDir() (made bool, err error) {
	if err := os.MkdirAll(netnsDir, 0o755); err != nil {
		return false, err
	}
	share := func() error { return unix.Mount("", netnsDir, "none", unix.MS_SHARED|unix.MS_REC, "") }
	if share() == nil {
		return false, nil
	}
	if err := unix.Mount(netnsDir, netnsDir, "none", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return false, fmt.Errorf("mounting %s on itself: %w", netnsDir, err)
	}
	return true, share()
}

// releaseNetNSDir undoes ensureNetNSDir unless somebody has namespaces there.
func releaseNetNSDir() error {
	entries, err := os.ReadDir(netnsDir)
	if err != nil || len(entries) > 0 {
		return nil
	}
	if err := unix.Unmount(netnsDir, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("unmounting %s: %w", netnsDir, err)
	}
	return nil
}

// ensureNetNS opens the named namespace, made if it does not exist, without moving any
// thread that Go goes on using.
func ensureNetNS(name string) (netns.NsHandle, error) {
	if ns, err := netns.GetFromName(name); err == nil {
		if isNamespace(filepath.Join(netnsDir, name)) {
			return ns, nil
		}
		ns.Close()
		if err := os.Remove(filepath.Join(netnsDir, name)); err != nil { // a crash between making and mounting
			return -1, err
		}
	}
	type made struct {
		ns  netns.NsHandle
		err error
	}
	result := make(chan made, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		ns, err := netns.NewNamed(name)
		result <- made{ns, err}
	}()
	r := <-result
	if r.err != nil {
		return -1, fmt.Errorf("making network namespace %s: %w", name, r.err)
	}
	return r.ns, nil
}

func isNamespace(path string) bool {
	var fs unix.Statfs_t
	return unix.Statfs(path, &fs) == nil && fs.Type == unix.NSFS_MAGIC
}

// start runs a program as the host: in its namespace and control group, in a session of
// its own, with its output in the host's log. It does not wait.
func start(h Host, program string) error {
	log, err := os.OpenFile(h.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	ns, err := netns.GetFromName(h.NetNS)
	if err != nil {
		return fmt.Errorf("opening network namespace %s: %w", h.NetNS, err)
	}
	defer ns.Close()
	cmd := exec.Command(program, h.Args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked; the child has this thread's namespace
		if err := netns.Set(ns); err != nil {
			started <- err
			return
		}
		started <- cmd.Start()
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("starting %s for %s: %w", program, h.Name, err)
	}
	if err := joinCgroup(h.Cgroup+"/agent", cmd.Process.Pid); err != nil {
		return errors.Join(err, cmd.Process.Kill())
	}
	return cmd.Process.Release()
}

// setIPForward turns forwarding on or restores it; it returns what was there.
func setIPForward(value string) (before string, err error) {
	const path = "/proc/sys/net/ipv4/ip_forward"
	content, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	if before = strings.TrimSpace(string(content)); before == value {
		return before, nil
	}
	return before, os.WriteFile(path, []byte(value), 0o644)
}

// hostRules lets hosts reach the world behind this machine's address, and keeps a
// FORWARD policy of drop (Docker sets one) from cutting them off. What stays on the bridge keeps its
// source: where bridge netfilter is on, these rules see packets between hosts, too.
func (p Plan) hostRules() [][]string {
	comment := []string{"-m", "comment", "--comment", "miniorch cluster " + p.Name}
	rule := func(table, chain string, match ...string) []string {
		return append(append([]string{table, chain}, match...), comment...)
	}
	return [][]string{
		append(rule("nat", "POSTROUTING", "-s", p.Network.String(), "!", "-d", p.Network.String(), "!", "-o", p.Bridge), "-j", "MASQUERADE"),
		append(rule("filter", "FORWARD", "-i", p.Bridge), "-j", "ACCEPT"),
		append(rule("filter", "FORWARD", "-o", p.Bridge), "-j", "ACCEPT"),
	}
}

func (p Plan) ensureRules() error {
	for _, r := range p.hostRules() {
		if iptables("-C", r) == nil {
			continue
		}
		if err := iptables("-A", r); err != nil {
			return err
		}
	}
	return nil
}

func (p Plan) removeRules() {
	for _, r := range p.hostRules() {
		for iptables("-D", r) == nil { // a rule may be there twice
		}
	}
}

func iptables(operation string, rule []string) error {
	args := append([]string{"-w", "-t", rule[0], operation, rule[1]}, rule[2:]...)
	if out, err := exec.Command("iptables", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("iptables %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}
