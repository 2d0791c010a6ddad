package job

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/pkg/api"
)

// confirm makes the view of pods good enough to count from. Two mistakes are possible with a
// stale one, and both would count a pod twice: noting a pod whose finalizer is gone (it was
// noted and counted before), and counting a noted one that the view lacks though its
// finalizer still holds it. The first kind is read anew one by one; for the second all are.
func (c *Controller) confirm(ctx context.Context, j *batchv1.Job, pods []*corev1.Pod) ([]*corev1.Pod, error) {
	noted := notedPods(&j.Status)
	there := map[types.UID]bool{}
	for _, p := range pods {
		there[p.UID] = true
	}
	for uid := range noted {
		if !there[uid] && !c.wasReleased(uid) {
			return c.listOwned(ctx, j)
		}
	}
	var out []*corev1.Pod
	for _, p := range pods {
		if !tracked(p) || noted[p.UID] || !hasEnded(p) && p.DeletionTimestamp == nil || isIndexed(j) && p.Status.Phase == corev1.PodSucceeded {
			out = append(out, p)
			continue
		}
		live, err := c.pod.Get(ctx, p.Namespace, p.Name)
		switch {
		case apierrors.IsNotFound(err):
		case err != nil:
			return nil, fmt.Errorf("confirming how pod %q ended: %w", p.Name, err)
		case live.UID == p.UID:
			out = append(out, live)
		}
	}
	return out, nil
}

// confirmEnd makes sure that a job has ended before pods go that are still at work.
func (c *Controller) confirmEnd(ctx context.Context, o observed) error {
	plan := decideFinished(o)
	if len(plan.Drop) == 0 {
		return nil
	}
	live, err := c.job.Get(ctx, o.Job.Namespace, o.Job.Name)
	if err != nil || live.UID != o.Job.UID || api.IsJobFinished(live) {
		return err
	}
	c.cfg.HeldBack(live, len(plan.Drop), len(o.Pods), "pods", Plan{})
	return fmt.Errorf("the view says that the job has ended, and it has not")
}

// listOwned reads the job's pods consistently.
func (c *Controller) listOwned(ctx context.Context, j *batchv1.Job) ([]*corev1.Pod, error) {
	all, _, err := c.pod.List(ctx, j.Namespace, metav1.ListOptions{LabelSelector: metav1.FormatLabelSelector(j.Spec.Selector)})
	if err != nil {
		return nil, fmt.Errorf("confirming which pods are left: %w", err)
	}
	var owned []*corev1.Pod
	for _, p := range all {
		if metav1.IsControlledBy(p, j) {
			owned = append(owned, p)
		}
	}
	return owned, nil
}

// notedPods are the pods whose end is noted in the status and not yet counted.
func notedPods(s *batchv1.JobStatus) map[types.UID]bool {
	noted := map[types.UID]bool{}
	if u := s.UncountedTerminatedPods; u != nil {
		for _, uid := range u.Succeeded {
			noted[uid] = true
		}
		for _, uid := range u.Failed {
			noted[uid] = true
		}
	}
	return noted
}

func (c *Controller) wasReleased(uid types.UID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.released[uid]
}

// rememberReleased keeps that a pod's finalizer is gone while the status still notes it.
func (c *Controller) rememberReleased(uid types.UID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.released[uid] = true
}

// forgetReleased drops what was noted before a status was written and is not any more.
func (c *Controller) forgetReleased(before, after *batchv1.JobStatus) {
	still := notedPods(after)
	c.mu.Lock()
	defer c.mu.Unlock()
	for uid := range notedPods(before) {
		if !still[uid] {
			delete(c.released, uid)
		}
	}
}
