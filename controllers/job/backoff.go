package job

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// A failed pod is replaced after 10s, 20s, 40s … up to 10 minutes.
const (
	firstBackoff = 10 * time.Second
	lastBackoff  = 10 * time.Minute
)

// delayAfter is the time between the end of the n-th failure in a row and the next try.
func delayAfter(failures int) time.Duration {
	if failures <= 0 {
		return 0
	}
	if failures > 7 { // 10s·2⁶ is beyond ten minutes
		return lastBackoff
	}
	return min(firstBackoff<<(failures-1), lastBackoff)
}

// backoff returns how long a job must wait before it makes another pod: it looks at the
// failures since the last success.
func backoff(o observed) time.Duration {
	var lastSuccess, lastFailure time.Time
	for _, p := range o.Pods {
		if end := endOf(p, o.Now); p.Status.Phase == corev1.PodSucceeded && end.After(lastSuccess) {
			lastSuccess = end
		}
	}
	failures := 0
	for _, p := range o.Pods {
		if !hasFailed(p, o.Job) || isLetGo(p) {
			continue
		}
		if end := endOf(p, o.Now); end.After(lastSuccess) {
			failures++
			if end.After(lastFailure) {
				lastFailure = end
			}
		}
	}
	return max(0, lastFailure.Add(delayAfter(failures)).Sub(o.Now))
}

// isLetGo tells whether a pod was deleted by the controller itself, as surplus: it did not fail.
func isLetGo(p *corev1.Pod) bool { return !tracked(p) && !hasEnded(p) }
