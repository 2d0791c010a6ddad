package kubelet

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/kubelet/container"
	"github.com/miniorch/miniorch/kubelet/stats"
)

// usage remembers the measurement before, for rates.
type usage struct {
	mu     sync.Mutex
	before map[string]stats.Sample // guarded by mu; by cgroup, of those that were there last time
}

// rateWindow is the least time between two samples that make a rate. Who asks more often gets
// the rate of before.
const rateWindow = time.Second

// Usage measures the node and what runs on it. The error says what could not be measured; the
// rest is in the answer.
func (k *Kubelet) Usage() (stats.Node, error) {
	k.usage.mu.Lock()
	defer k.usage.mu.Unlock()
	now, seen := k.cfg.Clock.Now(), map[string]stats.Sample{}
	var failures []error
	sample := func(cgroup string) stats.Sample {
		used, err := k.parts.Cgroups.Usage(cgroup)
		if errors.Is(err, fs.ErrNotExist) {
			return stats.Sample{} // it has just ended
		}
		if err != nil {
			failures = append(failures, err)
			return stats.Sample{}
		}
		s := rate(stats.Sample{Stats: used, Time: now}, k.usage.before, cgroup)
		seen[cgroup] = s
		return s
	}
	node := stats.Node{Name: k.cfg.NodeName, Started: now.Add(-uptime()), Sample: sample(""), Disk: disk(k.cfg.RootDir)}
	for _, pod := range k.pods.List("", nil) {
		if p, runs := measurePod(pod, k.seen.of(pod.UID), sample); runs {
			node.Pods = append(node.Pods, p)
		}
	}
	k.usage.before = seen
	return node, firstOf(failures)
}

// firstOf is enough to tell: they are alike.
func firstOf(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	return errs[0]
}

// rate completes a sample. The one before stays the reference until it is old enough.
func rate(s stats.Sample, before map[string]stats.Sample, cgroup string) stats.Sample {
	s.Cores = -1
	old, ok := before[cgroup]
	switch took := s.Time.Sub(old.Time); {
	case !ok || s.CPU < old.CPU:
	case took < rateWindow:
		return old
	default:
		s.Cores = (s.CPU - old.CPU).Seconds() / took.Seconds()
	}
	return s
}

// measurePod measures a pod and its running containers.
func measurePod(pod *corev1.Pod, containers []container.Container, sample func(string) stats.Sample) (stats.Pod, bool) {
	out := stats.Pod{Name: pod.Name, Namespace: pod.Namespace, UID: string(pod.UID), Started: pod.CreationTimestamp.Time}
	if pod.Status.StartTime != nil {
		out.Started = pod.Status.StartTime.Time
	}
	for _, c := range containers {
		if c.State != container.StateRunning || c.CgroupPath == "" {
			continue
		}
		if len(out.Containers) == 0 {
			out.Sample = sample(path.Dir(c.CgroupPath))
		}
		out.Containers = append(out.Containers, stats.Container{Name: c.Name, Started: c.StartedAt, Sample: sample(c.CgroupPath)})
	}
	slices.SortFunc(out.Containers, func(a, b stats.Container) int { return strings.Compare(a.Name, b.Name) })
	return out, len(out.Containers) > 0
}

func uptime() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// disk measures the file system that holds a directory.
func disk(dir string) stats.Disk {
	var f unix.Statfs_t
	if unix.Statfs(dir, &f) != nil {
		return stats.Disk{}
	}
	size := uint64(f.Bsize)
	return stats.Disk{
		Capacity: f.Blocks * size, Available: f.Bavail * size, Used: (f.Blocks - f.Bfree) * size,
		Inodes: f.Files, InodesFree: f.Ffree, InodesUsed: f.Files - f.Ffree,
	}
}
