package lifecycle

import (
	corev1 "k8s.io/api/core/v1"
)

// QOS returns a pod's quality of service class: Guaranteed if every container limits cpu
// and memory to what it requests, BestEffort if none asks for anything, Burstable otherwise.
func QOS(pod *corev1.Pod) corev1.PodQOSClass {
	if pod.Status.QOSClass != "" {
		return pod.Status.QOSClass
	}
	guaranteed, asks := true, false
	for _, cs := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range cs {
			r := &cs[i].Resources
			for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
				limit, request := r.Limits[name], r.Requests[name]
				asks = asks || !limit.IsZero() || !request.IsZero()
				if limit.IsZero() || !request.IsZero() && limit.Cmp(request) != 0 {
					guaranteed = false
				}
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
