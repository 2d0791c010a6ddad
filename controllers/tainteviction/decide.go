package tainteviction

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/pkg/api"
)

// observed is what is decided from.
type observed struct {
	Pod    *corev1.Pod
	Taints []corev1.Taint        // of its node
	Since  map[taintID]time.Time // since when each NoExecute taint is there
	Now    time.Time
}

// taintID tells taints apart.
type taintID struct {
	key, value string
	effect     corev1.TaintEffect
}

func idOf(t corev1.Taint) taintID { return taintID{t.Key, t.Value, t.Effect} }

// Plan is what becomes of a pod: Evict now, Wait, or (the zero Plan) nothing.
type Plan struct {
	Evict bool
	Wait  time.Duration // until eviction; 0: there is none to wait for
	taint string
}

// String prints the plan.
func (p Plan) String() string {
	switch {
	case p.Evict:
		return "evict because of " + p.taint
	case p.Wait > 0:
		return fmt.Sprintf("evict in %s because of %s", p.Wait, p.taint)
	}
	return "stay"
}

// decide finds the first moment at which the pod no longer tolerates one of the taints. The
// time that a toleration grants runs from when the taint and the pod met.
func decide(o observed) Plan {
	if o.Pod.DeletionTimestamp != nil || api.IsPodTerminal(o.Pod) {
		return Plan{}
	}
	var plan Plan
	for i := range o.Taints {
		t := &o.Taints[i]
		if t.Effect != corev1.TaintEffectNoExecute {
			continue
		}
		granted, forever := grant(o.Pod, t)
		if forever {
			continue
		}
		left := met(o, t).Add(granted).Sub(o.Now)
		if granted <= 0 || left <= 0 {
			return Plan{Evict: true, taint: t.ToString()}
		}
		if plan.Wait == 0 || left < plan.Wait {
			plan = Plan{Wait: left, taint: t.ToString()}
		}
	}
	return plan
}

// grant returns how long the pod's first matching toleration bears the taint; nothing if
// none matches.
func grant(p *corev1.Pod, t *corev1.Taint) (d time.Duration, forever bool) {
	for i := range p.Spec.Tolerations {
		if tol := &p.Spec.Tolerations[i]; api.Tolerates(tol, t) {
			if tol.TolerationSeconds == nil {
				return 0, true
			}
			return time.Duration(*tol.TolerationSeconds) * time.Second, false
		}
	}
	return 0, false
}

// met returns since when the pod is on a node with the taint.
func met(o observed, t *corev1.Taint) time.Time {
	since := o.Pod.CreationTimestamp.Time
	if c := api.PodCondition(o.Pod, corev1.PodScheduled); c != nil && c.Status == corev1.ConditionTrue {
		since = c.LastTransitionTime.Time
	}
	if tainted, ok := o.Since[idOf(*t)]; ok && tainted.After(since) {
		since = tainted
	}
	return since
}
