package disruption

import (
	"errors"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

var now = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// pods makes pods from words: "ready", "sick", "going" (ready and being deleted).
func pods(words ...string) (out []*corev1.Pod) {
	for i, w := range words {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("p", i)}}
		if w != "sick" {
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		}
		if w == "going" {
			p.DeletionTimestamp = ptr.To(metav1.NewTime(now))
		}
		out = append(out, p)
	}
	return out
}

func born(at time.Time, pods ...*corev1.Pod) []*corev1.Pod {
	for _, p := range pods {
		p.CreationTimestamp = metav1.NewTime(at)
	}
	return pods
}

func least(v string) policyv1.PodDisruptionBudgetSpec {
	n := intstr.Parse(v)
	return policyv1.PodDisruptionBudgetSpec{MinAvailable: &n}
}

func most(v string) policyv1.PodDisruptionBudgetSpec {
	n := intstr.Parse(v)
	return policyv1.PodDisruptionBudgetSpec{MaxUnavailable: &n}
}

func TestDecide(t *testing.T) {
	ago := func(d time.Duration) metav1.Time { return metav1.NewTime(now.Add(-d)) }
	for _, tc := range []struct {
		reason    string
		spec      policyv1.PodDisruptionBudgetSpec
		pods      []*corev1.Pod
		scale     int32
		disrupted map[string]metav1.Time
		want      string
		recheck   time.Duration
	}{
		{"a number must stay", least("2"), pods("ready", "ready", "ready"), 0, nil, "allow 1 disruptions: 3 of 3 pods healthy, 2 needed", 0},
		{"a sick pod is none to spare", least("2"), pods("ready", "ready", "sick"), 0, nil, "allow 0 disruptions: 2 of 3 pods healthy, 2 needed", 0},
		{"nor is one that goes", least("2"), pods("ready", "ready", "going"), 0, nil, "allow 0 disruptions: 2 of 3 pods healthy, 2 needed", 0},
		{"fewer than needed allow none", least("5"), pods("ready"), 0, nil, "allow 0 disruptions: 1 of 1 pods healthy, 5 needed", 0},
		{"a part of what is wanted, rounded up", least("50%"), pods("ready", "ready", "ready"), 3, nil, "allow 1 disruptions: 3 of 3 pods healthy, 2 needed", 0},
		{"of what is wanted, not of what is there", least("50%"), pods("ready", "ready"), 10, nil, "allow 0 disruptions: 2 of 10 pods healthy, 5 needed", 0},
		{"so many may be missing", most("1"), pods("ready", "ready", "ready"), 3, nil, "allow 1 disruptions: 3 of 3 pods healthy, 2 needed", 0},
		{"and one is already", most("1"), pods("ready", "ready"), 3, nil, "allow 0 disruptions: 2 of 3 pods healthy, 2 needed", 0},
		{"a part may be missing, rounded up", most("30%"), pods("ready", "ready", "ready", "ready"), 4, nil, "allow 2 disruptions: 4 of 4 pods healthy, 2 needed", 0},
		{"more than there are", most("9"), pods("ready"), 1, nil, "allow 1 disruptions: 1 of 1 pods healthy, 0 needed", 0},
		{"none wanted, none to spare", most("9"), pods(), 0, nil, "allow 0 disruptions: 0 of 0 pods healthy, 0 needed", 0},
		{"an eviction that is on its way counts as gone", least("1"), pods("ready", "ready"), 0, map[string]metav1.Time{"p0": ago(time.Minute)},
			"allow 0 disruptions: 1 of 2 pods healthy, 1 needed", time.Minute},
		{"after two minutes it was none", least("1"), pods("ready", "ready"), 0, map[string]metav1.Time{"p0": ago(2 * time.Minute)}, "allow 1 disruptions: 2 of 2 pods healthy, 1 needed", 0},
		{"one that is gone is remembered a little", least("1"), pods("ready", "ready"), 0, map[string]metav1.Time{"x": ago(4 * time.Second)}, "allow 1 disruptions: 2 of 2 pods healthy, 1 needed", 6 * time.Second},
		{"and then forgotten", least("1"), pods("ready", "ready"), 0, map[string]metav1.Time{"x": ago(10 * time.Second)}, "allow 1 disruptions: 2 of 2 pods healthy, 1 needed", 0},
		{"one of its name and of the same second may be another", least("1"), born(now.Add(-4*time.Second), pods("ready", "ready")...), 0, map[string]metav1.Time{"p0": ago(4 * time.Second)}, "allow 0 disruptions: 1 of 2 pods healthy, 1 needed", 6 * time.Second},
		{"which is soon known", least("1"), born(now.Add(-10*time.Second), pods("ready", "ready")...), 0, map[string]metav1.Time{"p0": ago(10 * time.Second)}, "allow 1 disruptions: 2 of 2 pods healthy, 1 needed", 0},
		{"a new pod of its name counts", least("1"), born(now, pods("ready", "ready")...), 0, map[string]metav1.Time{"p0": ago(4 * time.Second)}, "allow 1 disruptions: 2 of 2 pods healthy, 1 needed", 6 * time.Second},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			b := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Generation: 4}, Spec: tc.spec, Status: policyv1.PodDisruptionBudgetStatus{DisruptedPods: tc.disrupted}}
			p := decide(observed{Budget: b, Pods: tc.pods, Expected: tc.scale, Now: now})
			if p.String() != tc.want || p.Recheck != tc.recheck {
				t.Errorf("decide = %s, recheck %v\nwant     %s, recheck %v", p, p.Recheck, tc.want, tc.recheck)
			}
			if p.Status.ObservedGeneration != 4 || meta.IsStatusConditionTrue(p.Status.Conditions, policyv1.DisruptionAllowedCondition) != (p.Status.DisruptionsAllowed > 0) {
				t.Errorf("status %+v", p.Status)
			}
		})
	}
}

func TestWhatIsNotKnownAllowsNothing(t *testing.T) {
	b := &policyv1.PodDisruptionBudget{Spec: most("1"), Status: policyv1.PodDisruptionBudgetStatus{DisruptionsAllowed: 3, DesiredHealthy: 2, CurrentHealthy: 5}}
	p := decide(observed{Budget: b, Unknown: errors.New("no controllers"), Now: now})
	c := meta.FindStatusCondition(p.Status.Conditions, policyv1.DisruptionAllowedCondition)
	if p.Status.DisruptionsAllowed != 0 || c == nil || c.Reason != policyv1.SyncFailedReason || c.Message != "no controllers" {
		t.Errorf("status %+v", p.Status)
	}
}

func TestAnEvictedPodThatStaysIsReported(t *testing.T) {
	b := &policyv1.PodDisruptionBudget{Spec: least("1"), Status: policyv1.PodDisruptionBudgetStatus{DisruptedPods: map[string]metav1.Time{"p0": metav1.NewTime(now.Add(-time.Hour))}}}
	p := decide(observed{Budget: b, Pods: pods("ready"), Now: now})
	if len(p.NotDeleted) != 1 || len(p.Status.DisruptedPods) != 0 {
		t.Errorf("reported %d, remembered %v", len(p.NotDeleted), p.Status.DisruptedPods)
	}
}
