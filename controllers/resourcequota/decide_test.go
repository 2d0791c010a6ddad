package resourcequota

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/quota"
)

var now = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func amounts(pairs ...string) corev1.ResourceList {
	l := corev1.ResourceList{}
	for i := 0; i < len(pairs); i += 2 {
		l[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return l
}

func TestDecide(t *testing.T) {
	for _, tc := range []struct {
		reason  string
		hard    corev1.ResourceList
		was     corev1.ResourceQuotaStatus
		counted corev1.ResourceList
		ago     time.Duration // since the usage changed
		want    string
		empty   bool
		recheck time.Duration
	}{
		{"a new quota learns what is there", amounts("pods", "5"), corev1.ResourceQuotaStatus{}, amounts("pods", "2"), time.Hour, "used pods=2 of pods=5", false, recount},
		{"what agrees is left alone", amounts("cpu", "1"), corev1.ResourceQuotaStatus{Hard: amounts("cpu", "1000m"), Used: amounts("cpu", "500m")}, amounts("cpu", "0.5"), time.Hour, "used cpu=500m of cpu=1", true, recount},
		{"a changed limit is taken over", amounts("pods", "9"), corev1.ResourceQuotaStatus{Hard: amounts("pods", "5"), Used: amounts("pods", "2")}, amounts("pods", "2"), 0, "used pods=2 of pods=9", false, recount},
		{"a limit that is gone goes", amounts("pods", "9"), corev1.ResourceQuotaStatus{Hard: amounts("pods", "9", "cpu", "1"), Used: amounts("pods", "2", "cpu", "1")}, amounts("pods", "2"), 0, "used pods=2 of pods=9", false, recount},
		{"what is gone is given back", amounts("pods", "5"), corev1.ResourceQuotaStatus{Hard: amounts("pods", "5"), Used: amounts("pods", "3")}, amounts("pods", "2"), time.Hour, "used pods=2 of pods=5", false, recount},
		{"but what was charged a moment ago may be on its way", amounts("pods", "5"), corev1.ResourceQuotaStatus{Hard: amounts("pods", "5"), Used: amounts("pods", "3")}, amounts("pods", "2"), settle / 4, "used pods=3 of pods=5", true, settle * 3 / 4},
		{"what nobody charged counts at once", amounts("pods", "5"), corev1.ResourceQuotaStatus{Hard: amounts("pods", "5"), Used: amounts("pods", "3")}, amounts("pods", "8"), 0, "used pods=8 of pods=5", false, recount},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			q := &corev1.ResourceQuota{Spec: corev1.ResourceQuotaSpec{Hard: tc.hard}, Status: tc.was}
			p := decide(observed{Quota: q, Counted: tc.counted, Changed: now.Add(-tc.ago), Now: now})
			if p.String() != tc.want || p.Empty() != tc.empty || p.Recheck != tc.recheck {
				t.Errorf("decide = %s, empty %v, recheck %v\nwant     %s, %v, %v", p, p.Empty(), p.Recheck, tc.want, tc.empty, tc.recheck)
			}
		})
	}
}

func TestCountsWhatIsTracked(t *testing.T) {
	q := &corev1.ResourceQuota{Spec: corev1.ResourceQuotaSpec{Hard: amounts("pods", "5", "cpu", "2"), Scopes: []corev1.ResourceQuotaScope{corev1.ResourceQuotaScopeNotBestEffort}}}
	o := observed{Quota: q, Counted: quota.Zero(q.Spec.Hard), Now: now}
	asks := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Resources: corev1.ResourceRequirements{Requests: amounts("cpu", "300m", "memory", "1Gi")}}}}}
	o.count(api.ResourceFor[*corev1.Pod](), []api.Object{asks, asks, &corev1.Pod{}})
	if got := quota.Text(o.Counted); got != "cpu=600m,pods=2" {
		t.Errorf("counted %s", got)
	}
}
