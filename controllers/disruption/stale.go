package disruption

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/reconcile"
)

// staleAfter is how long a pod may say that it is about to be disrupted without being deleted.
const staleAfter = 2 * time.Minute

// staleConditions takes back the DisruptionTarget condition of pods that nobody deleted after
// all: whoever wrote it may have died before the deletion.
type staleConditions struct{ c *Controller }

// Reconcile looks at one pod.
func (s staleConditions) Reconcile(ctx context.Context, key reconcile.Key) (reconcile.Result, error) {
	p, ok := s.c.pods.Get(key.Namespace, key.Name)
	if !ok || !isTarget(p) {
		return reconcile.Result{}, nil
	}
	since := api.PodCondition(p, corev1.DisruptionTarget).LastTransitionTime
	if left := staleAfter - s.c.cfg.Clock.Now().Sub(since.Time); left > 0 {
		return reconcile.Result{After: left}, nil
	}
	return reconcile.Result{}, s.c.markFalse(ctx, p)
}

// isTarget tells whether a pod is said to be disrupted soon, and is not.
func isTarget(p *corev1.Pod) bool {
	condition := api.PodCondition(p, corev1.DisruptionTarget)
	return condition != nil && condition.Status == corev1.ConditionTrue && p.DeletionTimestamp == nil && !api.IsPodTerminal(p)
}

func keysOfTarget(_, p *corev1.Pod) []reconcile.Key {
	if p == nil || !isTarget(p) {
		return nil
	}
	return []reconcile.Key{{Namespace: p.Namespace, Name: p.Name}}
}
