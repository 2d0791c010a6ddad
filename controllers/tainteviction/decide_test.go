package tainteviction

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

var now = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func pod(age time.Duration, tolerations ...corev1.Toleration) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(now.Add(-2 * age))},
		Spec:       corev1.PodSpec{Tolerations: tolerations},
		Status: corev1.PodStatus{Conditions: []corev1.PodCondition{
			{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(now.Add(-age))},
		}},
	}
}

func bears(key string, seconds ...int64) corev1.Toleration {
	t := corev1.Toleration{Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute}
	if len(seconds) > 0 {
		t.TolerationSeconds = &seconds[0]
	}
	return t
}

func taint(key string) corev1.Taint {
	return corev1.Taint{Key: key, Effect: corev1.TaintEffectNoExecute}
}

func TestDecide(t *testing.T) {
	a, b := taint("a"), taint("b")
	aMinuteAgo := map[taintID]time.Time{idOf(a): now.Add(-time.Minute), idOf(b): now.Add(-time.Minute)}
	terminating, finished := pod(time.Hour), pod(time.Hour)
	terminating.DeletionTimestamp = ptr.To(metav1.NewTime(now))
	finished.Status.Phase = corev1.PodSucceeded
	cases := []struct {
		reason string
		pod    *corev1.Pod
		taints []corev1.Taint
		want   string
	}{
		{"no taint, no eviction", pod(time.Hour), nil, "stay"},
		{"only NoExecute evicts", pod(time.Hour), []corev1.Taint{{Key: "a", Effect: corev1.TaintEffectNoSchedule}}, "stay"},
		{"a taint that is not tolerated evicts at once", pod(time.Hour), []corev1.Taint{a}, "evict because of a:NoExecute"},
		{"a toleration without time bears it for ever", pod(time.Hour, bears("a")), []corev1.Taint{a}, "stay"},
		{"one with time bears it so long", pod(time.Hour, bears("a", 300)), []corev1.Taint{a}, "evict in 4m0s because of a:NoExecute"},
		{"and then no longer", pod(time.Hour, bears("a", 60)), []corev1.Taint{a}, "evict because of a:NoExecute"},
		{"no time is no time", pod(time.Hour, bears("a", 0)), []corev1.Taint{a}, "evict because of a:NoExecute"},
		{"the shortest of several counts", pod(time.Hour, bears("a", 300), bears("b", 100)), []corev1.Taint{a, b}, "evict in 40s because of b:NoExecute"},
		{"one untolerated of several counts", pod(time.Hour, bears("a")), []corev1.Taint{a, b}, "evict because of b:NoExecute"},
		{"the first matching toleration counts", pod(time.Hour, bears("a", 300), bears("a")), []corev1.Taint{a}, "evict in 4m0s because of a:NoExecute"},
		{"a pod that came after the taint has its time from then", pod(10*time.Second, bears("a", 60)), []corev1.Taint{a}, "evict in 50s because of a:NoExecute"},
		{"a pod that goes already", terminating, []corev1.Taint{a}, "stay"},
		{"a pod that has ended", finished, []corev1.Taint{a}, "stay"},
	}
	for _, tc := range cases {
		t.Run(tc.reason, func(t *testing.T) {
			if got := decide(observed{Pod: tc.pod, Taints: tc.taints, Since: aMinuteAgo, Now: now}).String(); got != tc.want {
				t.Errorf("decide = %s, want %s", got, tc.want)
			}
		})
	}
}

func TestSince(t *testing.T) {
	s := since{nodes: map[string]map[taintID]time.Time{}}
	dated := taint("dated")
	dated.TimeAdded = ptr.To(metav1.NewTime(now.Add(-time.Hour)))
	if !s.set("n", []corev1.Taint{taint("a"), dated}, now) {
		t.Error("new taints are no change")
	}
	if s.set("n", []corev1.Taint{taint("a"), dated}, now.Add(time.Minute)) {
		t.Error("the same taints are a change")
	}
	if got := s.of("n"); !got[idOf(taint("a"))].Equal(now) || !got[idOf(dated)].Equal(now.Add(-time.Hour)) {
		t.Errorf("taints are there since %v, want first seen and TimeAdded", got)
	}
	if !s.set("n", []corev1.Taint{dated}, now) || !s.set("n", nil, now) || s.of("n") != nil {
		t.Error("taints that went are still there")
	}
}
