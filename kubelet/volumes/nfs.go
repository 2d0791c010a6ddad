package volumes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// nfs mounts an export at dir unless that was done before.
func (m *Manager) nfs(ctx context.Context, dir string, src *corev1.NFSVolumeSource, options []string) error {
	if src.ReadOnly {
		options = append(slices.Clone(options), "ro")
	}
	server := src.Server
	if strings.Contains(server, ":") && !strings.HasPrefix(server, "[") {
		server = "[" + server + "]" // an IPv6 address
	}
	err := m.mountAt(ctx, "nfs", server+":"+src.Path, dir, options)
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w%s", err, nfsRemedy(exec.LookPath, os.ReadFile))
}

// nfsRemedy says what a machine lacks that cannot mount NFS; empty if it seems to lack nothing.
func nfsRemedy(lookPath func(string) (string, error), readFile func(string) ([]byte, error)) string {
	if _, err := lookPath("mount.nfs"); err != nil {
		return "\nThe node lacks mount.nfs: install the package nfs-common (nfs-utils on some systems)"
	}
	if known, err := readFile("/proc/filesystems"); err == nil && !slices.Contains(strings.Fields(string(known)), "nfs4") {
		return "\nThe node's kernel does not know NFS, or has not loaded it: try modprobe nfs"
	}
	return ""
}

// mountAt mounts source at dir unless that was done before.
func (m *Manager) mountAt(ctx context.Context, fsType, source, dir string, options []string) error {
	mounted, err := m.cfg.Mounter.Mounted(dir)
	if err != nil || mounted {
		return err
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	if err := m.cfg.Mounter.Mount(ctx, fsType, source, dir, options); err != nil {
		return errors.Join(fmt.Errorf("mount failed: %w", err), os.Remove(dir))
	}
	return nil
}
