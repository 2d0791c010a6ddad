package replicas

import (
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/pkg/api"
)

// failure is why a plan could not be carried out, as the ReplicaFailure condition tells it.
type failure struct {
	reason string // "FailedCreate", "FailedDelete"
	err    error
}

// newStatus computes the status from the pods as they were observed. recheck is the time
// after which a ready pod becomes available; 0 if none will by time alone.
func newStatus(rs *appsv1.ReplicaSet, all []*corev1.Pod, fail *failure, now time.Time) (status appsv1.ReplicaSetStatus, recheck time.Duration) {
	status = *rs.Status.DeepCopy()
	status.ObservedGeneration = rs.Generation
	status.Replicas, status.FullyLabeledReplicas, status.ReadyReplicas, status.AvailableReplicas = 0, 0, 0, 0
	terminating := int32(0)
	template := labels.SelectorFromSet(rs.Spec.Template.Labels)
	for _, p := range all {
		if p.DeletionTimestamp != nil && !api.IsPodTerminal(p) {
			terminating++
		}
		if !api.IsPodActive(p) {
			continue
		}
		status.Replicas++
		if template.Matches(labels.Set(p.Labels)) {
			status.FullyLabeledReplicas++
		}
		if api.IsPodReady(p) {
			status.ReadyReplicas++
		}
		available, wait := api.IsPodAvailable(p, rs.Spec.MinReadySeconds, now)
		if available {
			status.AvailableReplicas++
		}
		if wait > 0 && (recheck == 0 || wait < recheck) {
			recheck = wait
		}
	}
	status.TerminatingReplicas = ptr.To(terminating)
	setFailure(&status, fail, now)
	return status, recheck
}

// setFailure sets or removes the ReplicaFailure condition. A failure that lasts keeps its
// first message, so that the condition does not flap.
func setFailure(status *appsv1.ReplicaSetStatus, fail *failure, now time.Time) {
	at := slices.IndexFunc(status.Conditions, func(c appsv1.ReplicaSetCondition) bool {
		return c.Type == appsv1.ReplicaSetReplicaFailure
	})
	switch {
	case fail == nil && at >= 0:
		status.Conditions = slices.Delete(status.Conditions, at, at+1)
	case fail != nil && at < 0:
		status.Conditions = append(status.Conditions, appsv1.ReplicaSetCondition{
			Type: appsv1.ReplicaSetReplicaFailure, Status: corev1.ConditionTrue,
			LastTransitionTime: metav1.NewTime(now), Reason: fail.reason, Message: fail.err.Error(),
		})
	}
}
