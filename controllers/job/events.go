package job

import (
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/controllers/ownership"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/reconcile"
)

// forget drops what is remembered of a job that is gone or replaced by a namesake, and has its
// pods looked after.
func (c *Controller) forget(old, j *batchv1.Job) {
	if old == nil || j != nil && j.UID == old.UID {
		return
	}
	c.expect.Forget(reconcile.Key{Namespace: old.Namespace, Name: old.Name})
	c.seen.Forget(old.UID)
	c.forgetReleased(&old.Status, &batchv1.JobStatus{})
	left := ownership.Controlled(c.pods, old.UID)
	if selector, err := metav1.LabelSelectorAsSelector(old.Spec.Selector); err == nil { // those that it left behind
		left = append(left, c.pods.List(old.Namespace, selector)...)
	}
	for _, p := range left {
		c.strays.loop.Enqueue(reconcile.Key{Namespace: p.Namespace, Name: p.Name})
	}
}

// adopters returns the jobs that would adopt an orphaned pod: those that still run.
func (c *Controller) adopters(p *corev1.Pod) []reconcile.Key {
	return ownership.Adopters(c.jobs.List(p.Namespace, nil), func(j *batchv1.Job) *metav1.LabelSelector {
		if j.DeletionTimestamp != nil || api.IsJobFinished(j) || !ours(j) {
			return nil
		}
		return j.Spec.Selector
	}, p)
}

// concern maps a pod's change to the jobs that it concerns, and settles expectations.
func (c *Controller) concern() ownership.Concern[*corev1.Pod] {
	return ownership.Concern[*corev1.Pod]{
		Kind: kind, Expect: c.expect, Adopters: c.adopters,
		See: func(p *corev1.Pod, ref metav1.OwnerReference) {
			c.seen.See(sequence(&batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: ref.Name, UID: ref.UID}}), ref.UID, p.Name, !c.pods.Synced())
		},
	}
}
