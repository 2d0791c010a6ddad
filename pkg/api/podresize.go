package api

import (
	corev1 "k8s.io/api/core/v1"
)

// PodAllocated returns what the pod's node has set aside for it: what it requests, or while it may
// not have another size, what it had before.
func PodAllocated(p *corev1.Pod) corev1.ResourceList {
	if PodCondition(p, corev1.PodResizePending) == nil {
		return PodRequests(p)
	}
	return podResources(p, func(name string, r *corev1.ResourceRequirements) corev1.ResourceList {
		if allocated, _ := sizeOf(p, name); allocated != nil {
			return allocated
		}
		return r.Requests
	})
}

// PodFootprint returns what nobody else may have of the pod's node: the largest of what it requests,
// what is set aside for it and what it has, which differ while it is resized. A size that the node
// can never grant does not count.
func PodFootprint(p *corev1.Pod) corev1.ResourceList {
	if len(p.Status.ContainerStatuses)+len(p.Status.InitContainerStatuses) == 0 {
		return PodRequests(p)
	}
	pending := PodCondition(p, corev1.PodResizePending)
	infeasible := pending != nil && pending.Reason == corev1.PodReasonInfeasible
	return podResources(p, func(name string, r *corev1.ResourceRequirements) corev1.ResourceList {
		allocated, actual := sizeOf(p, name)
		if allocated == nil && actual == nil {
			return r.Requests
		}
		most := allocated.DeepCopy()
		if most == nil {
			most = corev1.ResourceList{}
		}
		if actual != nil {
			raiseTo(most, actual.Requests)
		}
		if !infeasible {
			raiseTo(most, r.Requests)
		}
		return most
	})
}

// sizeOf returns what the status says of a container's size, or of the whole pod's: what is set
// aside, and what there is. Nil: it says nothing.
func sizeOf(p *corev1.Pod, container string) (allocated corev1.ResourceList, actual *corev1.ResourceRequirements) {
	if container == "" {
		return p.Status.AllocatedResources, p.Status.Resources
	}
	for _, list := range [][]corev1.ContainerStatus{p.Status.ContainerStatuses, p.Status.InitContainerStatuses} {
		for i := range list {
			if list[i].Name == container {
				return list[i].AllocatedResources, list[i].Resources
			}
		}
	}
	return nil, nil
}
