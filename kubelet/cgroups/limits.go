package cgroups

import (
	"math"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/miniorch/miniorch/pkg/api"
)

// MinShares is the smallest weight the kernel accepts, for who asks for no CPU.
const MinShares = 2

// Limits bounds a cgroup. Zero means no bound.
type Limits struct {
	CPUShares uint64
	CPUQuota  int64 // microseconds per DefaultPeriod
	Memory    int64
	PIDs      int64
}

// Shares is the CPU weight of a request: 1024 for a whole CPU.
func Shares(request resource.Quantity) uint64 {
	const perCPU, most = 1024, 262144
	return uint64(min(max(request.MilliValue()*perCPU/1000, MinShares), most))
}

// Quota is the time per DefaultPeriod that a CPU limit allows; 0 for no limit. The kernel
// refuses less than a millisecond.
func Quota(limit resource.Quantity) int64 {
	if limit.IsZero() {
		return 0
	}
	const least = 1000
	return max(limit.MilliValue()*DefaultPeriod/1000, least)
}

// Weight is the v2 weight (1 to 10000) for a v1 number of shares (2 to 262144), the
// mapping that container runtimes agreed on: log-curved such that 1024 shares, one CPU,
// come out as the default weight of 100.
func Weight(shares uint64) uint64 {
	l := math.Log2(float64(min(max(shares, 2), 262144)))
	return uint64(math.Ceil(math.Pow(10, (l*l+125*l)/612.0-7.0/34.0)))
}

// PodLimits are the limits of a pod as a whole: those that it names itself, or else the sums of
// its containers'. A sum is a limit only if every container has one.
func PodLimits(pod *corev1.Pod) Limits {
	requests, bounds := api.PodRequests(pod), api.PodLimits(pod)
	limits := Limits{CPUShares: Shares(requests[corev1.ResourceCPU])}
	if bounded(pod, corev1.ResourceCPU) {
		limits.CPUQuota = Quota(bounds[corev1.ResourceCPU])
	}
	if bounded(pod, corev1.ResourceMemory) {
		limits.Memory = bounds.Memory().Value()
	}
	return limits
}

// bounded reports whether the pod, or else every container of it, has a limit of the resource.
func bounded(pod *corev1.Pod, name corev1.ResourceName) bool {
	if r := pod.Spec.Resources; r != nil {
		if q := r.Limits[name]; !q.IsZero() {
			return true
		}
	}
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			if q, ok := list[i].Resources.Limits[name]; !ok || q.IsZero() {
				return false
			}
		}
	}
	return true
}

// QOSClass is the pod's class: what its status says, else what its requests and limits make it.
func QOSClass(pod *corev1.Pod) corev1.PodQOSClass {
	if pod.Status.QOSClass != "" {
		return pod.Status.QOSClass
	}
	return api.PodQOS(pod)
}

// SwapAccounting reports whether the kernel can limit swap separately from memory.
func SwapAccounting() bool {
	h, err := Detect()
	if err != nil {
		return false
	}
	if h.Version == V2 {
		// The root has no such file; any other cgroup will do.
		found, _ := filepath.Glob(filepath.Join(h.mounts[""], "*", "memory.swap.max"))
		return len(found) > 0
	}
	dir, _ := h.dir("memory", "/")
	_, err = os.Stat(filepath.Join(dir, "memory.memsw.limit_in_bytes"))
	return err == nil
}
