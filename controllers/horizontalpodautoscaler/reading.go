package horizontalpodautoscaler

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/pkg/api"
)

const (
	// cpuInitialization is how long a pod's CPU is looked at with suspicion after its start:
	// starting takes more than serving.
	cpuInitialization = 5 * time.Minute
	// firstReadiness is how long after its start a pod that is not ready has never been.
	firstReadiness = 30 * time.Second
)

// sample is what one pod was measured at.
type sample struct {
	Value  int64 // in thousandths
	Time   time.Time
	Window time.Duration
}

// samples are by the pods' names.
type samples map[string]sample

// crowd is the pods of a target, sorted by what their samples are worth.
type crowd struct {
	ready   int             // pods that serve and were measured
	unready map[string]bool // were measured too early, or do not serve yet
	missing map[string]bool // were not measured
	ignored map[string]bool // go, or have failed
}

// sortPods tells which samples count. isCPU: a pod that starts takes more than it will.
func sortPods(pods []*corev1.Pod, measured samples, isCPU bool, now time.Time) crowd {
	c := crowd{unready: map[string]bool{}, missing: map[string]bool{}, ignored: map[string]bool{}}
	for _, p := range pods {
		s, known := measured[p.Name]
		switch {
		case p.DeletionTimestamp != nil || p.Status.Phase == corev1.PodFailed:
			c.ignored[p.Name] = true
		case p.Status.Phase == corev1.PodPending:
			c.unready[p.Name] = true
		case !known:
			c.missing[p.Name] = true
		case isCPU && starting(p, s, now):
			c.unready[p.Name] = true
		default:
			c.ready++
		}
	}
	return c
}

// starting tells whether a pod's CPU is that of its start.
func starting(p *corev1.Pod, s sample, now time.Time) bool {
	ready := api.PodCondition(p, corev1.PodReady)
	if ready == nil || p.Status.StartTime == nil {
		return true
	}
	since := ready.LastTransitionTime.Time
	if p.Status.StartTime.Add(cpuInitialization).After(now) {
		return ready.Status == corev1.ConditionFalse || s.Time.Before(since.Add(s.Window)) // measured in part before it was ready
	}
	return ready.Status == corev1.ConditionFalse && p.Status.StartTime.Add(firstReadiness).After(since) // it has never been ready
}

// without returns the samples that count.
func (c crowd) without(measured samples) samples {
	out := make(samples, len(measured))
	for name, s := range measured {
		if !c.unready[name] && !c.ignored[name] {
			out[name] = s
		}
	}
	return out
}

// requests adds up what each pod asks for of a resource, of one container if it is named.
// Every pod that counts must ask for something, or nothing is known.
func requests(pods []*corev1.Pod, name corev1.ResourceName, container string) (map[string]int64, error) {
	out := map[string]int64{}
	for _, p := range pods {
		if whole := p.Spec.Resources; container == "" && whole != nil {
			if q, ok := whole.Requests[name]; ok {
				out[p.Name] = q.MilliValue()
				continue
			}
		}
		var sum int64
		for _, c := range lasting(p) {
			if container != "" && c.Name != container {
				continue
			}
			q, ok := c.Resources.Requests[name]
			if !ok {
				return nil, fmt.Errorf("missing request for %s in container %s of Pod %s", name, c.Name, p.Name)
			}
			sum += q.MilliValue()
		}
		out[p.Name] = sum
	}
	return out, nil
}

// lasting are the containers that run as long as the pod does.
func lasting(p *corev1.Pod) []corev1.Container {
	all := slices.Clone(p.Spec.Containers)
	for i := range p.Spec.InitContainers {
		if api.IsSidecar(&p.Spec.InitContainers[i]) {
			all = append(all, p.Spec.InitContainers[i])
		}
	}
	return all
}
