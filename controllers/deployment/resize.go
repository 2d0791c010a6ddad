package deployment

import (
	"cmp"
	"math"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
)

// wasResized tells whether the Deployment's size was changed since its sets were last scaled.
func (r *rollout) wasResized() bool {
	for _, rs := range r.sets {
		want, ok := annotatedSize(rs, desiredKey)
		if ok && replicas(rs) > 0 && want != desired(r.d) {
			return true
		}
	}
	return false
}

func annotatedSize(rs *appsv1.ReplicaSet, key string) (int32, bool) {
	n, err := strconv.ParseInt(rs.Annotations[key], 10, 32)
	return int32(n), err == nil
}

// resize changes the number of pods without changing which templates they come from: in
// the middle of a rollout every set keeps its share.
func (r *rollout) resize() {
	active := r.active()
	switch only := r.onlyOne(active); {
	case only != nil:
		r.scale(only, desired(r.d))
	case r.saturated():
		for _, rs := range r.old {
			if r.now(rs) > 0 {
				r.scale(rs, 0)
			}
		}
	case r.d.Spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType:
		r.share(active)
	case !r.d.Spec.Paused: // the strategy was changed in the middle of a rollout
		r.recreate()
	}
}

func (r *rollout) active() []*appsv1.ReplicaSet {
	var out []*appsv1.ReplicaSet
	for _, rs := range r.sets {
		if replicas(rs) > 0 {
			out = append(out, rs)
		}
	}
	return out
}

// onlyOne returns the set that takes all pods: the only one with pods, or if there is none
// the newest one. Nil if several have pods, or if there is no set.
func (r *rollout) onlyOne(active []*appsv1.ReplicaSet) *appsv1.ReplicaSet {
	switch {
	case len(active) == 1:
		return active[0]
	case len(active) > 1:
		return nil
	case r.newest != nil:
		return r.newest
	case len(r.old) > 0:
		return r.old[len(r.old)-1]
	}
	return nil
}

// saturated tells whether the newest set has all pods that are wanted, all available.
func (r *rollout) saturated() bool {
	if r.newest == nil {
		return false
	}
	noted, ok := annotatedSize(r.newest, desiredKey)
	want := desired(r.d)
	return ok && noted == want && replicas(r.newest) == want && r.newest.Status.AvailableReplicas == want
}

// share distributes the difference between what exists and what may exist over the active
// sets, in proportion to their sizes. Rounding leftovers go to the largest.
func (r *rollout) share(active []*appsv1.ReplicaSet) {
	var total, allowed int32
	for _, rs := range active {
		total += replicas(rs)
	}
	if desired(r.d) > 0 {
		allowed = desired(r.d) + maxSurge(r.d)
	}
	toAdd := allowed - total
	largestFirst(active, toAdd > 0)

	sizes, added := make([]int32, len(active)), int32(0)
	for i, rs := range active {
		sizes[i] = replicas(rs)
		if toAdd != 0 {
			n := r.proportion(rs, toAdd, added)
			sizes[i] += n
			added += n
		}
	}
	for i, rs := range active {
		if i == 0 {
			sizes[i] = max(0, sizes[i]+toAdd-added)
		}
		r.scale(rs, sizes[i])
	}
}

// largestFirst sorts by size; among equals the newest comes first when adding, the oldest
// when removing.
func largestFirst(sets []*appsv1.ReplicaSet, newestFirst bool) {
	slices.SortStableFunc(sets, func(a, b *appsv1.ReplicaSet) int {
		if c := cmp.Compare(replicas(b), replicas(a)); c != 0 {
			return c
		}
		if newestFirst {
			return b.CreationTimestamp.Compare(a.CreationTimestamp.Time)
		}
		return a.CreationTimestamp.Compare(b.CreationTimestamp.Time)
	})
}

// proportion is the set's part of toAdd, of which added is given away already.
func (r *rollout) proportion(rs *appsv1.ReplicaSet, toAdd, added int32) int32 {
	if replicas(rs) == 0 {
		return 0
	}
	left, part := toAdd-added, r.fraction(rs)
	if toAdd > 0 {
		return min(part, left)
	}
	return max(part, left)
}

// fraction is how much rs grows so that its share of the Deployment's maximum stays the same.
func (r *rollout) fraction(rs *appsv1.ReplicaSet) int32 {
	if desired(r.d) == 0 {
		return -replicas(rs)
	}
	before, ok := annotatedSize(rs, maxKey)
	if !ok || before == 0 {
		before = r.d.Status.Replicas
	}
	if before == 0 {
		return 0
	}
	after := float64(replicas(rs)) * float64(desired(r.d)+maxSurge(r.d)) / float64(before)
	return int32(math.Round(after)) - replicas(rs)
}
