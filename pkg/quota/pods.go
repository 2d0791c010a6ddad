package quota

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/pkg/api"
)

const (
	requestsPrefix = "requests."
	limitsPrefix   = "limits."
)

// addPod adds what a pod takes of a node. A pod that is over, or that should have been gone by
// now, takes nothing: it only counts as an object.
func addPod(use corev1.ResourceList, p *corev1.Pod, now time.Time) {
	if api.IsPodTerminal(p) || overdue(p, now) {
		return
	}
	use[corev1.ResourcePods] = one()
	addCompute(use, api.PodRequests(p), api.PodLimits(p))
}

// overdue tells whether a pod's time to end is over and nobody has confirmed that it did: its
// node may be dead, and its replacement must not wait for it.
func overdue(p *corev1.Pod, now time.Time) bool {
	if p.DeletionTimestamp == nil || p.DeletionGracePeriodSeconds == nil {
		return false
	}
	return now.After(p.DeletionTimestamp.Add(time.Duration(*p.DeletionGracePeriodSeconds) * time.Second))
}

// addCompute writes requests and limits under the names that quotas have for them.
func addCompute(use, requests, limits corev1.ResourceList) {
	for name, q := range requests {
		switch {
		case isNative(string(name)):
			use[name] = q
			use[requestsPrefix+name] = q
		case strings.Contains(string(name), "/"):
			use[requestsPrefix+name] = q
		}
	}
	for name, q := range limits {
		switch name {
		case corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage:
			use[limitsPrefix+name] = q
		}
	}
}

// isNative tells whether a name is of what every node has.
func isNative(name string) bool {
	switch corev1.ResourceName(name) {
	case corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage:
		return true
	}
	return strings.HasPrefix(name, corev1.ResourceHugePagesPrefix)
}

// isPodName tells whether a quota's name limits pods.
func isPodName(name string) bool {
	if name == string(corev1.ResourcePods) || isNative(name) {
		return true
	}
	if requested, ok := strings.CutPrefix(name, requestsPrefix); ok {
		return requested != string(corev1.ResourceStorage)
	}
	return strings.HasPrefix(name, limitsPrefix)
}

// mustSpecify are the names that every container has to say something about where a quota limits them.
var mustSpecify = []corev1.ResourceName{
	corev1.ResourceCPU, corev1.ResourceLimitsCPU, corev1.ResourceLimitsMemory, corev1.ResourceMemory,
	corev1.ResourceRequestsCPU, corev1.ResourceRequestsMemory,
}

// Unspecified says what a pod's containers leave open although the quota limits it; empty if
// nothing. What the pod as a whole asks for speaks for all its containers.
func Unspecified(hard corev1.ResourceList, p *corev1.Pod) string {
	whole := corev1.ResourceList{}
	if r := p.Spec.Resources; r != nil {
		addCompute(whole, r.Requests, r.Limits)
	}
	var missing []string
	for _, name := range mustSpecify {
		if _, limited := hard[name]; !limited {
			continue
		}
		if _, said := whole[name]; said {
			continue
		}
		if silent := silentContainers(p, name); len(silent) > 0 {
			missing = append(missing, fmt.Sprintf("%s for: %s", name, strings.Join(silent, ",")))
		}
	}
	if len(missing) == 0 {
		return ""
	}
	return "must specify " + strings.Join(missing, "; ")
}

func silentContainers(p *corev1.Pod, name corev1.ResourceName) (silent []string) {
	for _, c := range slices.Concat(p.Spec.Containers, p.Spec.InitContainers) {
		said := corev1.ResourceList{}
		addCompute(said, c.Resources.Requests, c.Resources.Limits)
		if _, ok := said[name]; !ok {
			silent = append(silent, c.Name)
		}
	}
	slices.Sort(silent)
	return silent
}
