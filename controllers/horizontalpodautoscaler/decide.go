package horizontalpodautoscaler

import (
	"fmt"
	"slices"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// observed is what is decided from.
type observed struct {
	Autoscaler *autoscalingv2.HorizontalPodAutoscaler
	Replicas   int32 // that the target wants now
	Metrics    []outcome
	Memory     memory
	Now        time.Time
}

// outcome is what one metric of the autoscaler came to.
type outcome struct {
	Proposal proposal
	Status   autoscalingv2.MetricStatus
	Name     string // as messages call it
	Reason   string // of the condition, if Err is not nil
	Err      error
}

// Plan is what is to be done about one target, and what is to be said about it.
type Plan struct {
	From, To   int32
	Why        string // of the change
	Conditions []autoscalingv2.HorizontalPodAutoscalerCondition
	Current    []autoscalingv2.MetricStatus
	Memory     memory // if the plan is carried out
	Failure    *outcome
}

// Empty tells whether the size stays.
func (p Plan) Empty() bool { return p.From == p.To }

// String prints the plan.
func (p Plan) String() string {
	if p.Empty() {
		return fmt.Sprintf("stay at %d", p.From)
	}
	return fmt.Sprintf("scale %d→%d: %s", p.From, p.To, p.Why)
}

// bounds returns the fewest and the most replicas.
func bounds(a *autoscalingv2.HorizontalPodAutoscaler) (least, most int32) {
	return ptr.Deref(a.Spec.MinReplicas, 1), a.Spec.MaxReplicas
}

// measures tells whether the metrics decide, and not the bounds alone.
func measures(a *autoscalingv2.HorizontalPodAutoscaler, replicas int32) bool {
	least, most := bounds(a)
	return replicas != 0 && replicas >= least && replicas <= most || replicas == 0 && least == 0
}

// decide compares what the metrics ask for with what the bounds and rules allow.
func decide(o observed) Plan {
	a := o.Autoscaler
	least, most := bounds(a)
	p := Plan{From: o.Replicas, To: o.Replicas, Conditions: slices.Clone(a.Status.Conditions), Current: a.Status.CurrentMetrics, Memory: o.Memory}
	if len(p.Memory.Recommended) == 0 { // we know of nothing before: what is there was recommended by somebody
		p.Memory.Recommended = []mark{{o.Now, o.Replicas}}
	}
	c := conditions{&p.Conditions, o.Now}
	switch {
	case o.Replicas == 0 && least != 0:
		c.set(autoscalingv2.ScalingActive, corev1.ConditionFalse, "ScalingDisabled", "scaling is disabled since the replica count of the target is zero")
		return p
	case o.Replicas > most:
		p.To, p.Why = most, "Current number of replicas above Spec.MaxReplicas"
	case o.Replicas < least:
		p.To, p.Why = least, "Current number of replicas below Spec.MinReplicas"
	default:
		o.follow(&p, c)
	}
	if p.Failure == nil && p.To != p.From {
		p.Memory = p.Memory.scaled(p.From, p.To, o.Now)
	}
	return p
}

// follow moves the plan to where the metrics lead.
func (o observed) follow(p *Plan, c conditions) {
	best, failed := o.highest()
	p.Current = nil
	for _, m := range o.Metrics {
		if m.Err == nil {
			p.Current = append(p.Current, m.Status)
		}
	}
	// A metric that is not known could ask for more than the others: then nobody goes.
	if best == nil || failed != nil && best.Proposal.Replicas < o.Replicas {
		p.Failure = failed
		c.set(autoscalingv2.ScalingActive, corev1.ConditionFalse, failed.Reason, "the HPA was unable to compute the replica count: %v", failed.Err)
		return
	}
	c.set(autoscalingv2.ScalingActive, corev1.ConditionTrue, "ValidMetricFound", "the HPA was able to successfully calculate a replica count from %s", best.Name)
	p.Why = "All metrics below target"
	if best.Proposal.Replicas > o.Replicas {
		p.Why = best.Name + " above target"
	}
	o.limit(p, best.Proposal.Replicas, c)
}

// highest returns the metric that asks for most replicas, and the first one that failed.
func (o observed) highest() (best, failed *outcome) {
	for i := range o.Metrics {
		m := &o.Metrics[i]
		switch {
		case m.Err != nil:
			if failed == nil {
				failed = m
			}
		case best == nil || m.Proposal.Replicas > best.Proposal.Replicas:
			best = m
		}
	}
	return best, failed
}

// limit brings what is wanted within the windows, the policies and the bounds, and says which of them held it back.
func (o observed) limit(p *Plan, wanted int32, c conditions) {
	up, down := bothRules(o.Autoscaler)
	stable := p.Memory.stabilized(o.Replicas, wanted, up, down, o.Now)
	switch {
	case stable > wanted:
		c.set(autoscalingv2.AbleToScale, corev1.ConditionTrue, "ScaleDownStabilized", "recent recommendations were higher than current one, applying the highest recent recommendation")
	case stable < wanted:
		c.set(autoscalingv2.AbleToScale, corev1.ConditionTrue, "ScaleUpStabilized", "recent recommendations were lower than current one, applying the lowest recent recommendation")
	default:
		c.set(autoscalingv2.AbleToScale, corev1.ConditionTrue, "ReadyForNewScale", "recommended size matches current size")
	}
	before := p.Memory
	p.Memory = p.Memory.remember(wanted, o.Now)
	least, most := bounds(o.Autoscaler)
	limited := func(reason, message string) {
		c.set(autoscalingv2.ScalingLimited, corev1.ConditionTrue, reason, "%s", message)
	}
	p.To = stable
	if stable > o.Replicas {
		allowed := before.ceiling(o.Replicas, up, o.Now)
		switch {
		case stable > min(allowed, most) && allowed < most:
			p.To = allowed
			limited("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate")
			return
		case stable > most:
			p.To = most
			limited("TooManyReplicas", "the desired replica count is more than the maximum replica count")
			return
		}
	} else if stable < o.Replicas {
		allowed := before.floor(o.Replicas, down, o.Now)
		switch {
		case stable < max(allowed, least) && allowed > least:
			p.To = allowed
			limited("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate")
			return
		case stable < least:
			p.To = least
			limited("TooFewReplicas", "the desired replica count is less than the minimum replica count")
			return
		}
	}
	c.set(autoscalingv2.ScalingLimited, corev1.ConditionFalse, "DesiredWithinRange", "the desired count is within the acceptable range")
}

// conditions edits a list of conditions at one moment.
type conditions struct {
	all *[]autoscalingv2.HorizontalPodAutoscalerCondition
	now time.Time
}

// set changes a condition; its time is that of the last change of its status.
func (c conditions) set(t autoscalingv2.HorizontalPodAutoscalerConditionType, status corev1.ConditionStatus, reason, format string, args ...any) {
	fresh := autoscalingv2.HorizontalPodAutoscalerCondition{
		Type: t, Status: status, Reason: reason, Message: fmt.Sprintf(format, args...), LastTransitionTime: metav1.NewTime(c.now),
	}
	for i := range *c.all {
		was := &(*c.all)[i]
		if was.Type != t {
			continue
		}
		if was.Status == status {
			fresh.LastTransitionTime = was.LastTransitionTime
		}
		*was = fresh
		return
	}
	*c.all = append(*c.all, fresh)
}
