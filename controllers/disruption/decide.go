package disruption

import (
	"fmt"
	"math"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/miniorch/miniorch/pkg/api"
)

const (
	// deletionTimeout is how long an evicted pod may take to be deleted before it counts again.
	deletionTimeout = 2 * time.Minute
	// linger is how long an eviction is remembered at least, also when its pod was seen to go: a
	// second leader whose view of the pods lags behind must not count the pod again.
	linger = 10 * time.Second
)

// observed is what is decided from.
type observed struct {
	Budget *policyv1.PodDisruptionBudget
	Pods   []*corev1.Pod // that the budget selects
	// Expected is how many pods the pods' controllers want; Unmanaged tells that some pods have
	// none, Unknown why it could not be found out. Only if the budget needs it: see needsScale.
	Expected  int32
	Unmanaged bool
	Unknown   error
	Now       time.Time
}

// Plan is a budget's status, and when it changes by time alone.
type Plan struct {
	Status     policyv1.PodDisruptionBudgetStatus
	NotDeleted []*corev1.Pod // evicted long ago and still there
	Recheck    time.Duration // 0: never
}

// String prints the plan.
func (p Plan) String() string {
	s := p.Status
	return fmt.Sprintf("allow %d disruptions: %d of %d pods healthy, %d needed", s.DisruptionsAllowed, s.CurrentHealthy, s.ExpectedPods, s.DesiredHealthy)
}

// needsScale tells whether the budget is a part of what the pods' controllers want, and not
// a number of pods.
func needsScale(b *policyv1.PodDisruptionBudget) bool {
	return b.Spec.MaxUnavailable != nil || b.Spec.MinAvailable != nil && b.Spec.MinAvailable.Type == intstr.String
}

// decide computes the status. What cannot be found out allows nothing.
func decide(o observed) Plan {
	b := o.Budget
	var p Plan
	if o.Unknown != nil {
		p.Status = *b.Status.DeepCopy()
		p.Status.DisruptionsAllowed, p.Status.ObservedGeneration = 0, b.Generation
		o.allow(&p.Status, metav1.ConditionFalse, policyv1.SyncFailedReason, o.Unknown.Error())
		return p
	}
	var away map[string]bool
	p.Status.DisruptedPods, away = o.disrupted(&p)
	s := &p.Status
	s.ExpectedPods, s.DesiredHealthy = o.wanted()
	s.CurrentHealthy = healthy(o.Pods, away)
	s.ObservedGeneration = b.Generation
	s.Conditions = append(s.Conditions, b.Status.Conditions...)
	if s.ExpectedPods > 0 {
		s.DisruptionsAllowed = max(0, s.CurrentHealthy-s.DesiredHealthy)
	}
	if s.DisruptionsAllowed > 0 {
		o.allow(s, metav1.ConditionTrue, policyv1.SufficientPodsReason, "")
	} else {
		o.allow(s, metav1.ConditionFalse, policyv1.InsufficientPodsReason, "")
	}
	return p
}

func (o observed) allow(s *policyv1.PodDisruptionBudgetStatus, status metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(&s.Conditions, metav1.Condition{
		Type: policyv1.DisruptionAllowedCondition, Status: status, Reason: reason, Message: message,
		ObservedGeneration: s.ObservedGeneration, LastTransitionTime: metav1.NewTime(o.Now),
	})
}

// wanted returns how many pods there should be, and how many of them must be healthy.
func (o observed) wanted() (expected, needed int32) {
	spec := o.Budget.Spec
	switch {
	case spec.MaxUnavailable != nil:
		return o.Expected, max(0, o.Expected-part(spec.MaxUnavailable, o.Expected))
	case spec.MinAvailable == nil:
		return int32(len(o.Pods)), 0
	case spec.MinAvailable.Type == intstr.Int:
		return int32(len(o.Pods)), spec.MinAvailable.IntVal
	}
	return o.Expected, part(spec.MinAvailable, o.Expected)
}

// part resolves a number or percentage, rounding up. The API server has validated it.
func part(v *intstr.IntOrString, of int32) int32 {
	n, err := intstr.GetScaledValueFromIntOrPercent(v, int(of), true)
	if err != nil {
		return 0
	}
	return int32(min(n, math.MaxInt32))
}

// disrupted returns which evictions are still to be remembered, and the pods that are as good
// as away because of them. Who was made since has only the name of who was evicted; who was made in the
// same second may be either, and is waited for no longer than a successor deserves.
func (o observed) disrupted(p *Plan) (remembered map[string]metav1.Time, away map[string]bool) {
	evicted := o.Budget.Status.DisruptedPods
	here := map[string]*corev1.Pod{}
	for _, pod := range o.Pods {
		if at, ok := evicted[pod.Name]; ok && pod.DeletionTimestamp == nil && !pod.CreationTimestamp.After(at.Time) {
			here[pod.Name] = pod
		}
	}
	away = map[string]bool{}
	for name, at := range evicted {
		pod, still := here[name]
		keep := linger
		if still && pod.CreationTimestamp.Before(&at) {
			keep = deletionTimeout
		}
		left := at.Add(keep).Sub(o.Now)
		switch {
		case left > 0:
			if remembered == nil {
				remembered = map[string]metav1.Time{}
			}
			remembered[name], away[name] = at, still
			if p.Recheck == 0 || left < p.Recheck {
				p.Recheck = left
			}
		case keep == deletionTimeout:
			p.NotDeleted = append(p.NotDeleted, pod)
		}
	}
	return remembered, away
}

func healthy(pods []*corev1.Pod, away map[string]bool) (n int32) {
	for _, p := range pods {
		if !away[p.Name] && p.DeletionTimestamp == nil && api.IsPodReady(p) {
			n++
		}
	}
	return n
}
