package network

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/kubelet/sandbox"
)

// pin makes the pod's namespaces and bind-mounts them to files, so that they live as
// long as the pod although no process may be in them: that is what other kubelets start
// a pause container for.
func (n *Network) pin(spec sandbox.Spec) (sandbox.Result, error) {
	dir := n.podDir(spec.UID)
	var box sandbox.Result
	var flags int
	pins := map[string]string{} // name under /proc/…/ns → path
	add := func(name string, flag int) string {
		flags |= flag
		pins[name] = filepath.Join(dir, name)
		return pins[name]
	}
	if !spec.HostNetwork {
		box.NetNSPath = add("net", unix.CLONE_NEWNET)
		box.UTSNSPath = add("uts", unix.CLONE_NEWUTS)
	}
	if !spec.HostIPC {
		box.IPCNSPath = add("ipc", unix.CLONE_NEWIPC)
	}
	if flags == 0 || pinned(pins) {
		return box, nil
	}
	if err := n.unpin(spec.UID); err != nil { // what a crash left half made
		return box, err
	}
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return box, err
	}
	made := make(chan error, 1)
	go func() { made <- unshare(flags, pins, spec) }()
	if err := <-made; err != nil {
		return box, fmt.Errorf("making namespaces for pod %s/%s: %w", spec.Namespace, spec.Name, err)
	}
	return box, nil
}

func (n *Network) podDir(uid types.UID) string {
	return filepath.Join(n.config.StateDir, "pods", string(uid))
}

// pinned reports whether every path is a namespace already.
func pinned(pins map[string]string) bool {
	for _, path := range pins {
		var fs unix.Statfs_t
		if unix.Statfs(path, &fs) != nil || fs.Type != unix.NSFS_MAGIC {
			return false
		}
	}
	return true
}

// unshare runs on a goroutine of its own: its thread is locked and never unlocked, so Go
// ends the thread with the goroutine and nobody else ever runs in the new namespaces.
func unshare(flags int, pins map[string]string, spec sandbox.Spec) error {
	runtime.LockOSThread()
	if err := unix.Unshare(flags); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if flags&unix.CLONE_NEWUTS != 0 && spec.Hostname != "" {
		if err := unix.Sethostname([]byte(spec.Hostname)); err != nil {
			return fmt.Errorf("setting host name %q: %w", spec.Hostname, err)
		}
	}
	if err := sysctls(spec.Sysctls); err != nil {
		return err
	}
	for name, path := range pins {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			return err
		}
		source := fmt.Sprintf("/proc/self/task/%d/ns/%s", unix.Gettid(), name)
		if err := unix.Mount(source, path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("pinning %s: %w", path, err)
		}
	}
	return nil
}

// sysctls sets the pod's own; /proc/thread-self shows the calling thread's namespaces.
func sysctls(values map[string]string) error {
	for name, value := range values {
		if !strings.HasPrefix(name, "net.") && !strings.HasPrefix(name, "kernel.shm") && !strings.HasPrefix(name, "kernel.msg") && name != "kernel.sem" && !strings.HasPrefix(name, "fs.mqueue.") {
			return fmt.Errorf("sysctl %q is not namespaced: it cannot be set for a pod", name)
		}
		path := filepath.Join("/proc/sys", filepath.FromSlash(strings.ReplaceAll(filepath.Base(name), ".", "/")))
		if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
			return fmt.Errorf("setting sysctl %s: %w", name, err)
		}
	}
	return nil
}

func (n *Network) unpin(uid types.UID) error {
	dir := n.podDir(uid)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("unpinning %s: %w", path, err)
		}
	}
	return os.RemoveAll(dir)
}
