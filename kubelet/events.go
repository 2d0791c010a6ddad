package kubelet

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/pkg/client"
)

// event tells users what has happened to a pod.
func (w *worker) event(pod *corev1.Pod, kind, reason, format string, args ...any) {
	w.k.events.Event(pod, kind, reason, format, args...)
}

// containerEvent is event for one container of the pod.
func (w *worker) containerEvent(pod *corev1.Pod, name, kind, reason, format string, args ...any) {
	if name == "" { // the image of a volume
		w.event(pod, kind, reason, format, args...)
		return
	}
	about := client.ReferenceTo(pod)
	list := "containers"
	for i := range pod.Spec.InitContainers {
		if pod.Spec.InitContainers[i].Name == name {
			list = "initContainers"
		}
	}
	if ephemeralOf(pod, name) != nil {
		list = "ephemeralContainers"
	}
	about.FieldPath = fmt.Sprintf("spec.%s{%s}", list, name)
	w.k.events.EventAbout(about, kind, reason, format, args...)
}
