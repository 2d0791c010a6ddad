package horizontalpodautoscaler

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

var now = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// crowdOf makes pods p0, p1, … from words: "ready" (for an hour), "starting" (and not ready yet),
// "fresh" (ready for 10 s, measured before), "pending", "going", "failed". Each asks for 1000m.
func crowdOf(words ...string) (pods []*corev1.Pod) {
	for i, w := range words {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("p", i)}}
		p.Spec.Containers = []corev1.Container{{Name: "c", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}}}}
		started, status, since := time.Hour, corev1.ConditionTrue, time.Hour
		p.Status.Phase = corev1.PodRunning
		switch w {
		case "starting":
			started, status, since = time.Minute, corev1.ConditionFalse, time.Minute
		case "fresh":
			started, since = time.Minute, 10*time.Second
		case "pending":
			p.Status.Phase = corev1.PodPending
		case "going":
			p.DeletionTimestamp = ptr.To(metav1.NewTime(now))
		case "failed":
			p.Status.Phase = corev1.PodFailed
		}
		p.Status.StartTime = ptr.To(metav1.NewTime(now.Add(-started)))
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: status, LastTransitionTime: metav1.NewTime(now.Add(-since))}}
		pods = append(pods, p)
	}
	return pods
}

// at makes samples of p0, p1, …; negative: not measured.
func at(values ...int64) samples {
	out := samples{}
	for i, v := range values {
		if v >= 0 {
			out[fmt.Sprint("p", i)] = sample{Value: v, Time: now.Add(-time.Second), Window: 15 * time.Second}
		}
	}
	return out
}

var tenPercent = tolerance{0.1, 0.1}

func TestByUtilization(t *testing.T) {
	for _, tc := range []struct {
		reason   string
		pods     []*corev1.Pod
		measured samples
		current  int32
		target   int32
		want     int32
		problem  string
	}{
		{"twice the target, twice the pods", crowdOf("ready", "ready"), at(800, 800), 2, 40, 4, ""},
		{"a quarter, a quarter, rounded up", crowdOf("ready", "ready", "ready", "ready", "ready"), at(100, 100, 100, 100, 100), 5, 40, 2, ""},
		{"a little more is tolerated", crowdOf("ready", "ready"), at(430, 430), 2, 40, 2, ""},
		{"who starts does not count when there is too much", crowdOf("ready", "ready", "starting"), at(800, 800, 900), 3, 40, 4, ""},
		{"and turns growth off if it could carry the load", crowdOf("ready", "starting", "starting"), at(800, 900, 900), 3, 40, 3, ""},
		{"measured before it was ready", crowdOf("ready", "fresh"), at(400, 5000), 2, 40, 2, ""},
		{"pending pods will take their part", crowdOf("ready", "ready", "pending"), at(600, 600, -1), 3, 40, 3, ""},
		{"who was not measured may be busy: nobody goes", crowdOf("ready", "ready", "ready"), at(100, 100, -1), 3, 40, 3, ""},
		{"and may be idle: fewer come", crowdOf("ready", "ready", "ready"), at(900, 900, -1), 3, 40, 5, ""},
		{"who goes does not count", crowdOf("ready", "going", "failed"), at(400, 5000, 5000), 1, 40, 1, ""},
		{"no pods", nil, at(1), 1, 40, 0, "no pods returned"},
		{"nothing measured", crowdOf("starting"), at(100), 1, 40, 0, "did not receive metrics"},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			p, err := load{tc.current, tc.pods, tc.measured, tenPercent, now}.byUtilization(tc.target, corev1.ResourceCPU, "")
			if tc.problem != "" {
				if err == nil || !strings.Contains(err.Error(), tc.problem) {
					t.Errorf("got %v, want %q", err, tc.problem)
				}
				return
			}
			if err != nil || p.Replicas != tc.want {
				t.Errorf("%d replicas, %v; want %d", p.Replicas, err, tc.want)
			}
		})
	}
}

func TestUtilizationNeedsRequests(t *testing.T) {
	pods := crowdOf("ready")
	pods[0].Spec.Containers = append(pods[0].Spec.Containers, corev1.Container{Name: "sidecar"})
	l := load{1, pods, at(800), tenPercent, now}
	if _, err := l.byUtilization(40, corev1.ResourceCPU, ""); err == nil || err.Error() != "missing request for cpu in container sidecar of Pod p0" {
		t.Errorf("got %v", err)
	}
	if p, err := l.byUtilization(40, corev1.ResourceCPU, "c"); err != nil || p.Replicas != 2 || p.Utilization != 80 {
		t.Errorf("of one container: %+v, %v", p, err)
	}
}

func TestByAverageAndWholes(t *testing.T) {
	pods := crowdOf("ready", "ready", "ready")
	l := load{3, pods, at(20_000, 30_000, 40_000), tenPercent, now}
	if p, err := l.byAverage(15_000, false); err != nil || p.Replicas != 6 || p.Average != 30_000 {
		t.Errorf("average: %+v, %v; want 6 at 30", p, err)
	}
	if p := l.byTotal(40_000, 10_000); p.Replicas != 12 {
		t.Errorf("four times the target of a whole: %d, want 12", p.Replicas)
	}
	if p := l.byTotal(10_500, 10_000); p.Replicas != 3 {
		t.Errorf("tolerated: %d, want 3", p.Replicas)
	}
	if p := l.byShare(90_000, 10_000); p.Replicas != 9 || p.Average != 30_000 {
		t.Errorf("shares: %+v, want 9 at 30", p)
	}
	if p := (load{Tolerance: tenPercent}).byShare(90_000, 10_000); p.Replicas != 9 {
		t.Errorf("from nothing: %d, want 9", p.Replicas)
	}
	if p := (load{Tolerance: tenPercent}).byTotal(25_000, 10_000); p.Replicas != 3 {
		t.Errorf("a whole from nothing: %d, want 3", p.Replicas)
	}
}
