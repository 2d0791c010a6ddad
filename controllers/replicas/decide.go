package replicas

import (
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/controllers/names"
	"github.com/miniorch/miniorch/pkg/api"
)

// burst is how many pods one reconcile creates or deletes at most.
const burst = 500

// Plan is what is to be done about the pods of one ReplicaSet.
type Plan struct {
	Create []string      // names of pods to create
	Delete []*corev1.Pod // surplus pods, in the order of dispensability
}

// String prints the plan.
func (p Plan) String() string {
	return fmt.Sprintf("create %d, delete %d", len(p.Create), len(p.Delete))
}

// Empty tells whether there is nothing to do.
func (p Plan) Empty() bool { return len(p.Create) == 0 && len(p.Delete) == 0 }

// observed is what is decided from.
type observed struct {
	Set  *appsv1.ReplicaSet
	Pods []*corev1.Pod // all that the set controls, finished and terminating ones too
	// Neighbours counts, per node, the active pods of all sets with the same controller
	// (the other revisions of a Deployment). Nil: only this set's own.
	Neighbours map[string]int
	Free       []string // names that no pod of the set is known to have had, the first ones first
	Now        time.Time
}

// decide compares the number of active pods with the number that is desired.
func decide(o observed) Plan {
	if o.Set.DeletionTimestamp != nil {
		return Plan{}
	}
	active := activePods(o.Pods)
	diff := len(active) - desired(o.Set)
	switch {
	case diff < 0:
		return Plan{Create: newNames(o, min(-diff, burst))}
	case diff > 0:
		return Plan{Delete: victims(active, min(diff, burst), o.Neighbours, o.Now)}
	}
	return Plan{}
}

func desired(rs *appsv1.ReplicaSet) int {
	if rs.Spec.Replicas == nil {
		return 1
	}
	return int(*rs.Spec.Replicas)
}

func activePods(all []*corev1.Pod) []*corev1.Pod {
	var active []*corev1.Pod
	for _, p := range all {
		if api.IsPodActive(p) {
			active = append(active, p)
		}
	}
	return active
}

func sequence(rs *appsv1.ReplicaSet) names.Sequence { return names.For(rs.Name+"-", rs.UID) }

func newNames(o observed, count int) []string { return names.Free(o.Free, count, o.Pods) }
