package horizontalpodautoscaler

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"
)

func autoscaler(least, most int32, edits ...func(*autoscalingv2.HorizontalPodAutoscalerBehavior)) *autoscalingv2.HorizontalPodAutoscaler {
	a := &autoscalingv2.HorizontalPodAutoscaler{Spec: autoscalingv2.HorizontalPodAutoscalerSpec{MinReplicas: &least, MaxReplicas: most}}
	for _, e := range edits {
		if a.Spec.Behavior == nil {
			a.Spec.Behavior = &autoscalingv2.HorizontalPodAutoscalerBehavior{}
		}
		e(a.Spec.Behavior)
	}
	return a
}

type behavior = autoscalingv2.HorizontalPodAutoscalerBehavior

func upBy(kind autoscalingv2.HPAScalingPolicyType, n, seconds int32) func(*behavior) {
	return func(b *behavior) {
		b.ScaleUp = &autoscalingv2.HPAScalingRules{Policies: []autoscalingv2.HPAScalingPolicy{{Type: kind, Value: n, PeriodSeconds: seconds}}}
	}
}

func downBy(kind autoscalingv2.HPAScalingPolicyType, n, seconds int32) func(*behavior) {
	return func(b *behavior) {
		b.ScaleDown = &autoscalingv2.HPAScalingRules{StabilizationWindowSeconds: ptr.To(int32(0)), Policies: []autoscalingv2.HPAScalingPolicy{{Type: kind, Value: n, PeriodSeconds: seconds}}}
	}
}

func neverDown(b *behavior) {
	b.ScaleDown = &autoscalingv2.HPAScalingRules{SelectPolicy: ptr.To(autoscalingv2.DisabledPolicySelect), StabilizationWindowSeconds: ptr.To(int32(0))}
}

func upWindow(seconds int32) func(*behavior) {
	return func(b *behavior) { b.ScaleUp = &autoscalingv2.HPAScalingRules{StabilizationWindowSeconds: &seconds} }
}

func wants(replicas ...int32) (all []outcome) {
	for i, n := range replicas {
		o := outcome{Name: fmt.Sprint("metric ", i), Proposal: proposal{Replicas: n}}
		if n < 0 {
			o.Err, o.Reason = errors.New("no answer"), "FailedGetResourceMetric"
		}
		all = append(all, o)
	}
	return all
}

// ago makes marks from pairs of seconds ago and value.
func ago(pairs ...int32) (marks []mark) {
	for i := 0; i < len(pairs); i += 2 {
		marks = append(marks, mark{now.Add(-time.Duration(pairs[i]) * time.Second), pairs[i+1]})
	}
	return marks
}

func TestDecide(t *testing.T) {
	long := memory{Recommended: ago(3000, 1)} // nothing lately
	pods, percent := autoscalingv2.PodsScalingPolicy, autoscalingv2.PercentScalingPolicy
	for _, tc := range []struct {
		reason   string
		a        *autoscalingv2.HorizontalPodAutoscaler
		replicas int32
		metrics  []outcome
		memory   memory
		want     string
		says     string // reasons of conditions that matter
	}{
		{"enough", autoscaler(1, 10), 3, wants(3), long, "stay at 3", "ValidMetricFound ReadyForNewScale DesiredWithinRange"},
		{"more", autoscaler(1, 10), 3, wants(5), long, "scale 3→5: metric 0 above target", "ReadyForNewScale DesiredWithinRange"},
		{"the metric that asks for most counts", autoscaler(1, 10), 3, wants(4, 6, 2), long, "scale 3→6: metric 1 above target", "ValidMetricFound"},
		{"more than allowed", autoscaler(1, 5), 3, wants(6), long, "scale 3→5: metric 0 above target", "TooManyReplicas"},
		{"doubling at most, or four", autoscaler(1, 100), 10, wants(50), long, "scale 10→20: metric 0 above target", "ScaleUpLimit"},
		{"four at least", autoscaler(1, 100), 1, wants(50), long, "scale 1→5: metric 0 above target", "ScaleUpLimit"},
		{"fewer, and it was so for long", autoscaler(1, 10), 5, wants(2), memory{Recommended: ago(400, 5, 290, 2)}, "scale 5→2: All metrics below target", "ReadyForNewScale"},
		{"fewer, but a moment ago it was more", autoscaler(1, 10), 5, wants(2), memory{Recommended: ago(100, 4)}, "scale 5→4: All metrics below target", "ScaleDownStabilized"},
		{"just started: what is there was wanted", autoscaler(1, 10), 5, wants(2), memory{}, "stay at 5", "ScaleDownStabilized"},
		{"fewer than allowed", autoscaler(3, 10), 5, wants(1), long, "scale 5→3: All metrics below target", "TooFewReplicas"},
		{"too many already", autoscaler(1, 4), 9, nil, long, "scale 9→4: Current number of replicas above Spec.MaxReplicas", ""},
		{"too few already", autoscaler(3, 4), 1, nil, long, "scale 1→3: Current number of replicas below Spec.MinReplicas", ""},
		{"none: somebody has switched it off", autoscaler(1, 4), 0, nil, long, "stay at 0", "ScalingDisabled"},
		{"a metric fails, another asks for more", autoscaler(1, 10), 3, wants(-1, 5), long, "scale 3→5: metric 1 above target", "ValidMetricFound"},
		{"a metric fails: nobody goes", autoscaler(1, 10), 3, wants(-1, 1), long, "stay at 3", "FailedGetResourceMetric"},
		{"all fail", autoscaler(1, 10), 3, wants(-1), long, "stay at 3", "FailedGetResourceMetric"},
		{"so many pods in a period", autoscaler(1, 100, upBy(pods, 3, 60)), 10, wants(50), memory{Recommended: ago(3000, 1), Up: ago(30, 2)}, "scale 10→11: metric 0 above target", "ScaleUpLimit"},
		{"and then no more", autoscaler(1, 100, upBy(pods, 3, 60)), 11, wants(50), memory{Recommended: ago(3000, 1), Up: ago(30, 2, 15, 1)}, "stay at 11", "ScaleUpLimit"},
		{"a part in a period", autoscaler(1, 100, downBy(percent, 10, 60)), 50, wants(1), long, "scale 50→45: All metrics below target", "ScaleDownLimit"},
		{"of what there was when it began", autoscaler(1, 100, downBy(percent, 10, 60)), 45, wants(1), memory{Recommended: ago(3000, 1), Down: ago(30, 5)}, "stay at 45", "ScaleDownLimit"},
		{"never down", autoscaler(1, 100, neverDown), 45, wants(1), long, "stay at 45", "ScaleDownLimit"},
		{"up only when it lasts", autoscaler(1, 100, upWindow(60)), 4, wants(8), memory{Recommended: ago(30, 5)}, "scale 4→5: metric 0 above target", "ScaleUpStabilized"},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			p := decide(observed{Autoscaler: tc.a, Replicas: tc.replicas, Metrics: tc.metrics, Memory: tc.memory, Now: now})
			if got := p.String(); got != tc.want {
				t.Errorf("decide = %s, want %s", got, tc.want)
			}
			var reasons []string
			for _, c := range p.Conditions {
				reasons = append(reasons, c.Reason)
			}
			for w := range strings.FieldsSeq(tc.says) {
				if !slices.Contains(reasons, w) {
					t.Errorf("conditions say %v, want %s", reasons, w)
				}
			}
			if (p.Failure != nil) != strings.HasPrefix(tc.says, "Failed") {
				t.Errorf("failure %v", p.Failure)
			}
		})
	}
}

func TestToleranceOfADirection(t *testing.T) {
	a := autoscaler(1, 10, func(b *behavior) {
		b.ScaleUp = &autoscalingv2.HPAScalingRules{Tolerance: ptr.To(resource.MustParse("0.5"))}
	})
	up, down := bothRules(a)
	if up.tolerance != 0.5 || down.tolerance != defaultTolerance {
		t.Errorf("tolerances %v and %v, want 0.5 and the default", up.tolerance, down.tolerance)
	}
}

func TestMemoryForgets(t *testing.T) {
	m := memory{Recommended: ago(4000, 1, 10, 2), Up: ago(4000, 1), Down: ago(5, 1)}.remember(7, now)
	if len(m.Recommended) != 2 || len(m.Up) != 0 || len(m.Down) != 1 {
		t.Errorf("%+v", m)
	}
}
