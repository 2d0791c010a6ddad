package node

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/miniorch/miniorch/kubelet/cgroups"
)

// maxPods is how many pods a node takes unless told otherwise.
const maxPods = 110

func machineCapacity(root string) (corev1.ResourceList, error) {
	c, err := cgroups.MachineCapacity()
	if err != nil {
		return nil, fmt.Errorf("measuring the machine: %w", err)
	}
	capacity := corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewQuantity(int64(c.CPUs), resource.DecimalSI),
		corev1.ResourceMemory: *resource.NewQuantity(c.Memory, resource.BinarySI),
		corev1.ResourcePods:   *resource.NewQuantity(maxPods, resource.DecimalSI),
	}
	if fs, err := statfs(root); err == nil {
		capacity[corev1.ResourceEphemeralStorage] = *resource.NewQuantity(int64(fs.Blocks)*fs.Bsize, resource.BinarySI)
	}
	return capacity, nil
}

// statfs looks at the file system of a directory, or of its nearest parent that exists.
func statfs(dir string) (unix.Statfs_t, error) {
	var fs unix.Statfs_t
	for dir != "" {
		err := unix.Statfs(dir, &fs)
		if err == nil {
			return fs, nil
		}
		if dir == "/" || err != unix.ENOENT {
			return fs, err
		}
		dir = dir[:max(strings.LastIndexByte(dir, '/'), 0)]
		if dir == "" {
			dir = "/"
		}
	}
	return fs, unix.ENOENT
}

// Pressure is what is left of the machine.
type Pressure struct {
	MemoryFree int64 // bytes
	DiskFree   int64 // bytes
	DiskSize   int64
	PIDs       int64 // in use
	MaxPIDs    int64
}

// The signs of pressure. Disks are only short when both the share and the amount are small:
// a tenth of a large disk is plenty.
const (
	memoryLow     = 100 << 20
	diskLow       = 2 << 30
	diskLowShare  = 10
	pidsHighShare = 95
)

func (p Pressure) memory() bool { return p.MemoryFree < memoryLow }
func (p Pressure) disk() bool {
	return p.DiskFree < diskLow && p.DiskFree*100 < p.DiskSize*diskLowShare
}
func (p Pressure) pids() bool { return p.MaxPIDs > 0 && p.PIDs*100 > p.MaxPIDs*pidsHighShare }

func measure(root string) (Pressure, error) {
	var p Pressure
	var err error
	if p.MemoryFree, err = cgroups.MemoryAvailable(); err != nil {
		return p, err
	}
	fs, err := statfs(root)
	if err != nil {
		return p, fmt.Errorf("measuring the disk: %w", err)
	}
	p.DiskFree, p.DiskSize = int64(fs.Bavail)*fs.Bsize, int64(fs.Blocks)*fs.Bsize
	p.MaxPIDs = number("/proc/sys/kernel/pid_max")
	if load := strings.Fields(text("/proc/loadavg")); len(load) > 3 {
		_, all, _ := strings.Cut(load[3], "/")
		p.PIDs, _ = strconv.ParseInt(all, 10, 64)
	}
	return p, nil
}

func number(path string) int64 {
	n, err := strconv.ParseInt(text(path), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func text(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// completeInfo fills what is not set from the machine.
func completeInfo(i corev1.NodeSystemInfo) corev1.NodeSystemInfo {
	set := func(s *string, value string) {
		if *s == "" {
			*s = value
		}
	}
	set(&i.MachineID, text("/etc/machine-id"))
	set(&i.SystemUUID, text("/sys/class/dmi/id/product_uuid"))
	set(&i.BootID, text("/proc/sys/kernel/random/boot_id"))
	set(&i.KernelVersion, text("/proc/sys/kernel/osrelease"))
	set(&i.OSImage, osName())
	set(&i.ContainerRuntimeVersion, "containerd://unknown")
	set(&i.KubeletVersion, Version)
	set(&i.OperatingSystem, "linux")
	set(&i.Architecture, runtime.GOARCH)
	return i
}

func osName() string {
	for line := range strings.Lines(text("/etc/os-release")) {
		if name, ok := strings.CutPrefix(line, "PRETTY_NAME="); ok {
			return strings.Trim(strings.TrimSpace(name), `"`)
		}
	}
	return "Linux"
}
