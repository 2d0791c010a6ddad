package api

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// PodRequests returns what a node must set aside for the pod: the most that it asks for
// at any moment. While an init container runs, the sidecars before it run too; after
// them, all sidecars run beside the containers. Requests of the pod itself replace the
// sum of its containers'; the overhead comes on top.
func PodRequests(p *corev1.Pod) corev1.ResourceList {
	return podResources(p, requested)
}

// PodLimits returns the most that the pod may use, by the same rules. A resource that one of
// the containers does not limit is still listed with the sum of the others.
func PodLimits(p *corev1.Pod) corev1.ResourceList {
	return podResources(p, func(_ string, r *corev1.ResourceRequirements) corev1.ResourceList { return r.Limits })
}

// counted says what counts of the resources of a container, by its name, or of the whole pod, which
// has none.
type counted func(container string, r *corev1.ResourceRequirements) corev1.ResourceList

func requested(_ string, r *corev1.ResourceRequirements) corev1.ResourceList { return r.Requests }

func podResources(p *corev1.Pod, of counted) corev1.ResourceList {
	total := corev1.ResourceList{}
	for i := range p.Spec.Containers {
		addTo(total, of(p.Spec.Containers[i].Name, &p.Spec.Containers[i].Resources))
	}
	sidecars, peak := corev1.ResourceList{}, corev1.ResourceList{}
	for i := range p.Spec.InitContainers {
		c := &p.Spec.InitContainers[i]
		if IsSidecar(c) {
			addTo(sidecars, of(c.Name, &c.Resources))
			raiseTo(peak, sidecars)
			continue
		}
		moment := sidecars.DeepCopy()
		addTo(moment, of(c.Name, &c.Resources))
		raiseTo(peak, moment)
	}
	addTo(total, sidecars)
	raiseTo(total, peak)
	if p.Spec.Resources != nil {
		for name, q := range of("", p.Spec.Resources) {
			total[name] = q.DeepCopy()
		}
	}
	for name, q := range p.Spec.Overhead {
		if sum, ok := total[name]; ok {
			sum.Add(q)
			total[name] = sum
		} else {
			total[name] = q.DeepCopy()
		}
	}
	return total
}

// addTo adds each quantity of more to the one in sum.
func addTo(sum, more corev1.ResourceList) {
	for name, q := range more {
		s := sum[name]
		s.Add(q)
		sum[name] = s
	}
}

// raiseTo raises each quantity of high to at least the one in other.
func raiseTo(high, other corev1.ResourceList) {
	for name, q := range other {
		if h, ok := high[name]; !ok || h.Cmp(q) < 0 {
			high[name] = q.DeepCopy()
		}
	}
}

// PodQOS returns the quality of service class that the pod's requests and limits earn:
// Guaranteed when every container limits CPU and memory and asks for just as much,
// BestEffort when none asks for or limits either, Burstable in between.
func PodQOS(p *corev1.Pod) corev1.PodQOSClass {
	if r := p.Spec.Resources; r != nil && (len(r.Requests) > 0 || len(r.Limits) > 0) {
		return qosOf([]corev1.ResourceRequirements{*r})
	}
	var all []corev1.ResourceRequirements
	for _, c := range p.Spec.InitContainers {
		all = append(all, c.Resources)
	}
	for _, c := range p.Spec.Containers {
		all = append(all, c.Resources)
	}
	return qosOf(all)
}

func qosOf(all []corev1.ResourceRequirements) corev1.PodQOSClass {
	asks, guaranteed := false, true
	for _, r := range all {
		for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			limit := positive(r.Limits, name)
			asks = asks || limit != nil || positive(r.Requests, name) != nil
			request, given := r.Requests[name] // without one, the limit is asked for
			if limit == nil || (given && request.Cmp(*limit) != 0) {
				guaranteed = false
			}
		}
	}
	switch {
	case !asks:
		return corev1.PodQOSBestEffort
	case guaranteed:
		return corev1.PodQOSGuaranteed
	}
	return corev1.PodQOSBurstable
}

// positive returns the quantity of a resource if it is there and above zero.
func positive(l corev1.ResourceList, name corev1.ResourceName) *resource.Quantity {
	q, ok := l[name]
	if !ok || q.Sign() <= 0 {
		return nil
	}
	return &q
}
