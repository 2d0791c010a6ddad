package job

import (
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

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
	var keys []reconcile.Key
	for _, j := range c.jobs.List(p.Namespace, nil) {
		if j.DeletionTimestamp != nil || api.IsJobFinished(j) || !ours(j) {
			continue
		}
		selector, err := metav1.LabelSelectorAsSelector(j.Spec.Selector)
		if err == nil && !selector.Empty() && selector.Matches(labels.Set(p.Labels)) {
			keys = append(keys, reconcile.Key{Namespace: j.Namespace, Name: j.Name})
		}
	}
	return keys
}

// keysOfPod maps a pod's change to the jobs that it concerns, and settles expectations.
func (c *Controller) keysOfPod(old, p *corev1.Pod) []reconcile.Key {
	var keys []reconcile.Key
	if old != nil {
		if key, ok := controllerKey(old); ok {
			keys = append(keys, key)
			if p == nil || (p.DeletionTimestamp != nil && old.DeletionTimestamp == nil) || p.UID != old.UID {
				c.expect.Deleted(key, old.UID)
			}
		}
	}
	if p == nil {
		return keys
	}
	if key, ok := controllerKey(p); ok {
		ref := metav1.GetControllerOfNoCopy(p)
		c.seen.See(sequence(&batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: ref.Name, UID: ref.UID}}), ref.UID, p.Name, !c.pods.Synced())
		if old == nil || old.UID != p.UID {
			c.expect.Created(key)
			if p.DeletionTimestamp != nil {
				c.expect.Deleted(key, p.UID)
			}
		}
		return append(keys, key)
	}
	if metav1.GetControllerOfNoCopy(p) == nil && p.DeletionTimestamp == nil {
		keys = append(keys, c.adopters(p)...)
	}
	return keys
}

func controllerKey(p *corev1.Pod) (reconcile.Key, bool) {
	ref := metav1.GetControllerOfNoCopy(p)
	if ref == nil || ref.Kind != kind.Kind || ref.APIVersion != kind.GroupVersion().String() {
		return reconcile.Key{}, false
	}
	return reconcile.Key{Namespace: p.Namespace, Name: ref.Name}, true
}
