package horizontalpodautoscaler

import (
	"math"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/utils/ptr"
)

const (
	defaultTolerance  = 0.1
	defaultDownWindow = 300 // seconds
	longestWindow     = time.Hour
)

// mark is a number at a time: a recommendation, or by how much the size was changed.
type mark struct {
	At    time.Time
	Value int32
}

// memory is what was recommended and done lately. It is a value: each decision makes a new one.
type memory struct {
	Recommended []mark // oldest first
	Up, Down    []mark // changes that were made, both positive
}

// rules are a direction's rules with all defaults.
type rules struct {
	window    time.Duration
	choice    autoscalingv2.ScalingPolicySelect
	policies  []autoscalingv2.HPAScalingPolicy
	tolerance float64
}

func rulesOf(r *autoscalingv2.HPAScalingRules, window int32, policies ...autoscalingv2.HPAScalingPolicy) rules {
	r = ptr.To(ptr.Deref(r, autoscalingv2.HPAScalingRules{}))
	out := rules{
		window:   time.Duration(ptr.Deref(r.StabilizationWindowSeconds, window)) * time.Second,
		choice:   ptr.Deref(r.SelectPolicy, autoscalingv2.MaxChangePolicySelect),
		policies: r.Policies, tolerance: defaultTolerance,
	}
	if len(out.policies) == 0 {
		out.policies = policies
	}
	if r.Tolerance != nil {
		out.tolerance = r.Tolerance.AsApproximateFloat64()
	}
	return out
}

// bothRules returns the rules of scaling up and down, the documented ones where none are given.
func bothRules(a *autoscalingv2.HorizontalPodAutoscaler) (up, down rules) {
	b := ptr.Deref(a.Spec.Behavior, autoscalingv2.HorizontalPodAutoscalerBehavior{})
	return rulesOf(b.ScaleUp, 0,
			autoscalingv2.HPAScalingPolicy{Type: autoscalingv2.PodsScalingPolicy, Value: 4, PeriodSeconds: 15},
			autoscalingv2.HPAScalingPolicy{Type: autoscalingv2.PercentScalingPolicy, Value: 100, PeriodSeconds: 15}),
		rulesOf(b.ScaleDown, defaultDownWindow,
			autoscalingv2.HPAScalingPolicy{Type: autoscalingv2.PercentScalingPolicy, Value: 100, PeriodSeconds: 15})
}

// stabilized returns the recommendation that a direction's window lets through: to grow, the
// lowest of late; to shrink, the highest.
func (m memory) stabilized(current, wanted int32, up, down rules, now time.Time) int32 {
	lowest, highest := wanted, wanted
	for _, r := range m.Recommended {
		if r.At.After(now.Add(-up.window)) {
			lowest = min(lowest, r.Value)
		}
		if r.At.After(now.Add(-down.window)) {
			highest = max(highest, r.Value)
		}
	}
	return min(max(current, lowest), highest)
}

// changed adds up the changes within a policy's period.
func changed(marks []mark, seconds int32, now time.Time) (n int32) {
	for _, m := range marks {
		if m.At.After(now.Add(-time.Duration(seconds) * time.Second)) {
			n += m.Value
		}
	}
	return n
}

// ceiling is the most replicas that the rules of scaling up allow now.
func (m memory) ceiling(current int32, r rules, now time.Time) int32 {
	if r.choice == autoscalingv2.DisabledPolicySelect {
		return current
	}
	result := int32(math.MinInt32)
	pick := func(n int32) { result = max(result, n) }
	if r.choice == autoscalingv2.MinChangePolicySelect {
		result = math.MaxInt32
		pick = func(n int32) { result = min(result, n) }
	}
	for _, p := range r.policies {
		begin := current - changed(m.Up, p.PeriodSeconds, now) + changed(m.Down, p.PeriodSeconds, now)
		if p.Type == autoscalingv2.PodsScalingPolicy {
			pick(begin + p.Value)
		} else {
			pick(ceil(float64(begin) * (1 + float64(p.Value)/100)))
		}
	}
	return max(result, current)
}

// floor is the fewest replicas that the rules of scaling down allow now.
func (m memory) floor(current int32, r rules, now time.Time) int32 {
	if r.choice == autoscalingv2.DisabledPolicySelect {
		return current
	}
	result := int32(math.MaxInt32)
	pick := func(n int32) { result = min(result, n) }
	if r.choice == autoscalingv2.MinChangePolicySelect {
		result = math.MinInt32
		pick = func(n int32) { result = max(result, n) }
	}
	for _, p := range r.policies {
		begin := current - changed(m.Up, p.PeriodSeconds, now) + changed(m.Down, p.PeriodSeconds, now)
		if p.Type == autoscalingv2.PodsScalingPolicy {
			pick(begin - p.Value)
		} else {
			pick(int32(float64(begin) * (1 - float64(p.Value)/100)))
		}
	}
	return min(result, current)
}

// remember returns the memory with a recommendation added and what is too old dropped.
func (m memory) remember(wanted int32, now time.Time) memory {
	fresh := func(all []mark) (out []mark) {
		for _, x := range all {
			if x.At.After(now.Add(-longestWindow)) {
				out = append(out, x)
			}
		}
		return out
	}
	return memory{Recommended: append(fresh(m.Recommended), mark{now, wanted}), Up: fresh(m.Up), Down: fresh(m.Down)}
}

// scaled returns the memory with a change added.
func (m memory) scaled(from, to int32, now time.Time) memory {
	if to > from {
		m.Up = append(m.Up, mark{now, to - from})
	} else if to < from {
		m.Down = append(m.Down, mark{now, from - to})
	}
	return m
}
