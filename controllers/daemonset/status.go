package daemonset

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/pkg/api"
)

// countStatus computes the status from the nodes and pods as they were observed. Of several pods on
// a node the oldest counts.
func (s *step) countStatus() {
	status := s.Set.Status.DeepCopy()
	*status = appsv1.DaemonSetStatus{
		ObservedGeneration: s.Set.Generation, CollisionCount: status.CollisionCount, Conditions: status.Conditions,
		DesiredNumberScheduled: int32(len(s.wanted)),
	}
	for _, n := range s.wanted {
		s.countNode(status, n.Name)
	}
	for _, n := range s.Nodes {
		if len(s.on[n.Name]) > 0 && s.fits[n.Name] != fit {
			status.NumberMisscheduled++
		}
	}
	status.NumberUnavailable = status.DesiredNumberScheduled - status.NumberAvailable
	s.plan.Status = *status
}

func (s *step) countNode(status *appsv1.DaemonSetStatus, node string) {
	pods := s.on[node]
	if len(pods) == 0 {
		return
	}
	status.CurrentNumberScheduled++
	p := pods[0]
	if api.IsPodReady(p) {
		status.NumberReady++
		available, wait := api.IsPodAvailable(p, s.Set.Spec.MinReadySeconds, s.Now)
		if available {
			status.NumberAvailable++
		}
		s.again(wait)
	}
	for _, p := range pods[1:] { // a new one beside the old one is waited for as well
		_, wait := api.IsPodAvailable(p, s.Set.Spec.MinReadySeconds, s.Now)
		s.again(wait)
	}
	if s.isUpdated(p) {
		status.UpdatedNumberScheduled++
	}
}

// countCollision notes that the newest revision's name is taken, so that it gets another.
func (p *Plan) countCollision() {
	p.Status.CollisionCount = ptr.To(ptr.Deref(p.Status.CollisionCount, 0) + 1)
}

// writeStatus stores the status if it changed.
func (c *Controller) writeStatus(ctx context.Context, set *appsv1.DaemonSet, status appsv1.DaemonSetStatus) error {
	return control.WriteStatus(ctx, c.set, set, set.Status, status, func(changed *appsv1.DaemonSet) { changed.Status = status })
}
