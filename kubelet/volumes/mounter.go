package volumes

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Mounter is what the volumes need of the kernel.
type Mounter interface {
	// Tmpfs mounts memory of at most size bytes (0: the kernel's default) at dir.
	Tmpfs(dir string, size int64) error
	// Bind shows what f has open at target.
	Bind(f *os.File, target string) error
	// Mount mounts source, a file system of the given type, at dir.
	Mount(ctx context.Context, fsType, source, dir string, options []string) error
	// Mounted reports whether something is mounted at dir.
	Mounted(dir string) (bool, error)
	// UnmountBeneath unmounts everything at dir and beneath.
	UnmountBeneath(dir string) error
}

// mountPatience is how long a server may take to answer.
const mountPatience = 2 * time.Minute

// Kernel is the real Mounter.
type Kernel struct{}

// Tmpfs mounts memory at dir.
func (Kernel) Tmpfs(dir string, size int64) error {
	options := ""
	if size > 0 {
		options = "size=" + strconv.FormatInt(size, 10)
	}
	return unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, options)
}

// Bind binds what f has open: the path by which it was found plays no part any more.
func (Kernel) Bind(f *os.File, target string) error {
	return unix.Mount(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), target, "", unix.MS_BIND|unix.MS_REC, "")
}

// Mount calls mount(8), which knows the helpers of file systems.
func (Kernel) Mount(ctx context.Context, fsType, source, dir string, options []string) error {
	ctx, cancel := context.WithTimeout(ctx, mountPatience)
	defer cancel()
	args := []string{"-t", fsType}
	if len(options) > 0 {
		args = append(args, "-o", strings.Join(options, ","))
	}
	args = append(args, source, dir)
	out, err := exec.CommandContext(ctx, "mount", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w\nMounting command: mount\nMounting arguments: %s\nOutput: %s", err, strings.Join(args, " "), bytes.TrimSpace(out))
	}
	return nil
}

// Mounted looks dir up in the kernel's table.
func (Kernel) Mounted(dir string) (bool, error) {
	points, err := mountPoints()
	return slices.Contains(points, resolved(dir)), err
}

// UnmountBeneath unmounts in the reverse order of mounting.
func (Kernel) UnmountBeneath(dir string) error {
	points, err := mountPoints()
	if err != nil {
		return err
	}
	dir = resolved(dir)
	var errs []error
	for _, p := range slices.Backward(points) {
		if !beneath(p, dir) {
			continue
		}
		if err := unix.Unmount(p, unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) {
			// Busy: something still has it open. Nobody can open more.
			if err := unix.Unmount(p, unix.UMOUNT_NOFOLLOW|unix.MNT_DETACH); err != nil {
				errs = append(errs, fmt.Errorf("unmounting %s: %w", p, err))
			}
		}
	}
	// What comes next removes files: it must not find those of a volume that is still there.
	if points, err = mountPoints(); err != nil {
		return err
	}
	if i := slices.IndexFunc(points, func(p string) bool { return beneath(p, dir) }); i >= 0 {
		errs = append(errs, fmt.Errorf("%s is still mounted", points[i]))
	}
	return errors.Join(errs...)
}

func beneath(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

// resolved is dir as the kernel names it.
func resolved(dir string) string {
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		return real
	}
	return filepath.Clean(dir)
}

// mountPoints lists what is mounted, in the order of mounting.
func mountPoints() ([]string, error) {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var points []string
	for line := range strings.Lines(string(table)) {
		if fields := strings.Fields(line); len(fields) > 4 {
			points = append(points, unescape(fields[4]))
		}
	}
	return points, nil
}

// unescape turns \040 and the like back into bytes.
func unescape(s string) string {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				out.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		out.WriteByte(s[i])
	}
	return out.String()
}

// inherit gives sub the mode and group of the volume that it was made in.
func inherit(volume *os.Root, sub string, info os.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	if err := volume.Chmod(sub, info.Mode().Perm()|info.Mode()&os.ModeSetgid); err != nil {
		return err
	}
	return volume.Chown(sub, int(st.Uid), int(st.Gid))
}
