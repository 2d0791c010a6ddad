package admission

import (
	"context"

	corev1 "k8s.io/api/core/v1"
)

// The two priority classes that every cluster has. Others come with the PriorityClass kind.
const (
	systemClusterCritical = "system-cluster-critical"
	systemNodeCritical    = "system-node-critical"
)

// priorities of the built-in classes.
var priorities = map[string]int32{
	"":                    0,
	systemClusterCritical: 2_000_000_000,
	systemNodeCritical:    2_000_001_000,
}

// Priority turns a pod's priorityClassName into a number, which the scheduler compares. It
// leaves preemptionPolicy empty, which Kubernetes sets: nothing preempts here.
type Priority struct{}

// Name implements Plugin.
func (Priority) Name() string { return "Priority" }

// Admit implements Mutator.
func (Priority) Admit(_ context.Context, r *Request) error {
	pod, ok := r.Object.(*corev1.Pod)
	if !ok || r.Subresource != "" {
		return nil
	}
	switch r.Operation {
	case Create:
		return resolvePriority(r, pod)
	case Update:
		// A writer that does not know the fields must not clear them.
		if old, ok := r.Old.(*corev1.Pod); ok {
			if pod.Spec.Priority == nil {
				pod.Spec.Priority = old.Spec.Priority
			}
			if pod.Spec.PreemptionPolicy == nil {
				pod.Spec.PreemptionPolicy = old.Spec.PreemptionPolicy
			}
		}
	}
	return nil
}

func resolvePriority(r *Request, pod *corev1.Pod) error {
	class := pod.Spec.PriorityClassName
	value, known := priorities[class]
	if !known {
		return Forbid(r, "no PriorityClass with name %v was found", class)
	}
	if pod.Spec.Priority != nil && *pod.Spec.Priority != value {
		return Forbid(r, "the integer value of priority (%d) must not be provided in pod spec; priority admission controller computed %d from the given PriorityClass name",
			*pod.Spec.Priority, value)
	}
	pod.Spec.Priority = &value
	return nil
}
