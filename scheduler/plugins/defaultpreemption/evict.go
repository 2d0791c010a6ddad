package defaultpreemption

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/scheduler/framework"
)

// evict returns the work of evicting a candidate's victims: each is told why by a condition and
// then deleted, with the grace that it asked for itself.
func (p Plugin) evict(pod *framework.PodInfo, c *framework.Candidate) func(context.Context) error {
	return func(ctx context.Context) error {
		var failed []error
		for _, v := range c.Victims {
			if err := p.evictOne(ctx, pod, v, c.Node.Name); err != nil {
				failed = append(failed, fmt.Errorf("evicting pod %q: %w", v.Name(), err))
			}
		}
		return errors.Join(failed...)
	}
}

func (p Plugin) evictOne(ctx context.Context, pod, victim *framework.PodInfo, node string) error {
	v := victim.Pod
	if v.DeletionTimestamp != nil {
		return nil // it is on its way
	}
	patch, err := p.condition(pod, v)
	if err != nil {
		return err
	}
	pods := client.Of[*corev1.Pod](p.transport)
	_, err = pods.Patch(ctx, v.Namespace, v.Name, types.StrategicMergePatchType, patch, "status")
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil // it is gone, or another of the same name came
	}
	if err != nil {
		return fmt.Errorf("writing its DisruptionTarget condition: %w", err)
	}
	err = pods.Delete(ctx, v.Namespace, v.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &v.UID}})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("deleting it: %w", err)
	}
	p.recorder.Event(v, corev1.EventTypeNormal, "Preempted", "Preempted by pod %v on node %v", pod.Pod.UID, node)
	return nil
}

// condition is the patch that tells a victim why it has to go. The uid in it is a precondition.
func (p Plugin) condition(pod *framework.PodInfo, victim *corev1.Pod) ([]byte, error) {
	c := corev1.PodCondition{
		Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: corev1.PodReasonPreemptionByScheduler,
		Message:            fmt.Sprintf("%s: preempting to accommodate a higher priority pod", pod.Pod.Spec.SchedulerName),
		LastTransitionTime: metav1.NewTime(p.clock.Now()), ObservedGeneration: victim.Generation,
	}
	return json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": victim.UID},
		"status":   map[string]any{"conditions": []corev1.PodCondition{c}},
	})
}
