package deployment

import (
	"math"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func replicas(rs *appsv1.ReplicaSet) int32 {
	if rs.Spec.Replicas == nil {
		return 1
	}
	return *rs.Spec.Replicas
}

func desired(d *appsv1.Deployment) int32 {
	if d.Spec.Replicas == nil {
		return 1
	}
	return *d.Spec.Replicas
}

// bounds resolves maxSurge (rounded up) and maxUnavailable (rounded down). Both zero would
// never move: then one pod may be unavailable.
func bounds(d *appsv1.Deployment) (surge, unavailable int32) {
	rolling := d.Spec.Strategy.RollingUpdate
	if d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		return 0, 0
	}
	quarter := intstr.FromString("25%")
	maxSurge, maxUnavailable := &quarter, &quarter
	if rolling != nil && rolling.MaxSurge != nil {
		maxSurge = rolling.MaxSurge
	}
	if rolling != nil && rolling.MaxUnavailable != nil {
		maxUnavailable = rolling.MaxUnavailable
	}
	surge = scaled(maxSurge, desired(d), true)
	unavailable = min(scaled(maxUnavailable, desired(d), false), desired(d))
	if surge == 0 && unavailable == 0 {
		unavailable = 1
	}
	return surge, unavailable
}

// scaled resolves a number or percentage. The API server has validated it; what cannot be
// read counts as zero.
func scaled(v *intstr.IntOrString, total int32, up bool) int32 {
	n, err := intstr.GetScaledValueFromIntOrPercent(v, int(total), up)
	if err != nil || n < 0 {
		return 0
	}
	return int32(min(n, math.MaxInt32))
}

func maxSurge(d *appsv1.Deployment) int32 {
	surge, _ := bounds(d)
	return surge
}

// minAvailable is how many pods must stay available during the rollout.
func minAvailable(d *appsv1.Deployment) int32 {
	_, unavailable := bounds(d)
	return desired(d) - unavailable
}

// roll grows the newest set within maxSurge and shrinks old ones within maxUnavailable. Both
// happen in one step: pods that are yet to come are counted as unavailable.
func (r *rollout) roll() {
	r.growNewest()
	if r.newest == nil { // it is being created; the next step sees it
		return
	}
	r.shrinkOld()
}

func (r *rollout) growNewest() {
	room := desired(r.d) + maxSurge(r.d) - r.present()
	if r.newest == nil {
		r.create = r.newSet(max(0, min(room, desired(r.d))))
		return
	}
	missing := desired(r.d) - r.now(r.newest)
	switch {
	case missing < 0:
		r.scale(r.newest, desired(r.d))
	case missing > 0 && room > 0:
		r.scale(r.newest, r.now(r.newest)+min(room, missing))
	}
}

// present is how many pods there may be now: a set that was told to shrink may not have done so yet.
func (r *rollout) present() int32 {
	var n int32
	for _, rs := range r.sets {
		n += max(r.now(rs), rs.Status.Replicas)
	}
	return n
}

// shrinkOld takes away old pods that the rollout can spare: first those that are not
// available anyway, then available ones, oldest set first.
func (r *rollout) shrinkOld() {
	pending := max(0, r.now(r.newest)-r.newest.Status.AvailableReplicas)
	spare := r.total() - minAvailable(r.d) - pending
	for _, rs := range r.old {
		broken := r.now(rs) - min(rs.Status.AvailableReplicas, r.now(rs))
		if n := min(spare, broken); n > 0 {
			r.scale(rs, r.now(rs)-n)
			spare -= n
		}
	}
	available := min(r.newest.Status.AvailableReplicas, r.now(r.newest))
	for _, rs := range r.old {
		available += min(rs.Status.AvailableReplicas, r.now(rs))
	}
	spare = min(spare, available-minAvailable(r.d))
	for _, rs := range r.old {
		if n := min(spare, r.now(rs)); n > 0 {
			r.scale(rs, r.now(rs)-n)
			spare -= n
		}
	}
}

// recreate empties the old sets, waits until none of their pods is left, not even a
// terminating one, and only then fills the new one.
func (r *rollout) recreate() {
	waiting := false
	for _, rs := range r.old {
		if r.now(rs) > 0 {
			r.scale(rs, 0)
			waiting = true
		}
		waiting = waiting || !gone(rs)
	}
	switch {
	case waiting:
	case r.newest == nil:
		r.create = r.newSet(desired(r.d))
	case r.now(r.newest) != desired(r.d):
		r.scale(r.newest, desired(r.d))
	}
}

// gone tells whether a set has reported that its last pod is away.
func gone(rs *appsv1.ReplicaSet) bool {
	terminating := rs.Status.TerminatingReplicas
	return rs.Status.ObservedGeneration >= rs.Generation && rs.Status.Replicas == 0 && (terminating == nil || *terminating == 0)
}
