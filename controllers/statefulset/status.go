package statefulset

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/pkg/api"
)

// countStatus computes the status from the pods as they were observed.
func (s *step) countStatus() {
	status := s.Set.Status.DeepCopy()
	status.ObservedGeneration = s.Set.Generation
	status.CurrentRevision, status.UpdateRevision = s.current.Name, s.update().Name
	status.Replicas, status.ReadyReplicas, status.AvailableReplicas = 0, 0, 0
	status.CurrentReplicas, status.UpdatedReplicas = 0, 0
	if status.CollisionCount == nil {
		status.CollisionCount = ptr.To[int32](0)
	}
	for _, p := range s.Pods {
		s.countPod(status, p)
	}
	n := int32(desired(s.Set))
	rolling := s.Set.Spec.UpdateStrategy.Type != appsv1.OnDeleteStatefulSetStrategyType
	if rolling && status.UpdatedReplicas == n && status.ReadyReplicas == n && status.Replicas == n {
		status.CurrentRevision, status.CurrentReplicas = status.UpdateRevision, status.UpdatedReplicas
	}
	s.plan.Status = *status
}

func (s *step) countPod(status *appsv1.StatefulSetStatus, p *corev1.Pod) {
	status.Replicas++
	if p.Status.Phase == corev1.PodRunning && api.IsPodReady(p) {
		status.ReadyReplicas++
		available, wait := api.IsPodAvailable(p, s.Set.Spec.MinReadySeconds, s.Now)
		if available {
			status.AvailableReplicas++
		}
		s.again(wait)
	}
	if p.DeletionTimestamp != nil {
		return
	}
	if revisionOf(p) == status.CurrentRevision {
		status.CurrentReplicas++
	}
	if revisionOf(p) == status.UpdateRevision {
		status.UpdatedReplicas++
	}
}

// countCollision notes that the newest revision's name is taken, so that it gets another.
func (p *Plan) countCollision() {
	p.Status.CollisionCount = ptr.To(ptr.Deref(p.Status.CollisionCount, 0) + 1)
}

// writeStatus stores the status if it changed.
func (c *Controller) writeStatus(ctx context.Context, set *appsv1.StatefulSet, status appsv1.StatefulSetStatus) error {
	return control.WriteStatus(ctx, c.set, set, set.Status, status, func(changed *appsv1.StatefulSet) { changed.Status = status })
}
