package volumes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// nfs mounts an export at dir unless that was done before.
func (m *Manager) nfs(ctx context.Context, dir string, src *corev1.NFSVolumeSource, options []string) error {
	mounted, err := m.cfg.Mounter.Mounted(dir)
	if err != nil || mounted {
		return err
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	options = slices.Clone(options)
	if src.ReadOnly {
		options = append(options, "ro")
	}
	server := src.Server
	if strings.Contains(server, ":") && !strings.HasPrefix(server, "[") {
		server = "[" + server + "]" // an IPv6 address
	}
	if err := m.cfg.Mounter.Mount(ctx, "nfs", server+":"+src.Path, dir, options); err != nil {
		return errors.Join(fmt.Errorf("mount failed: %w", err), os.Remove(dir))
	}
	return nil
}
