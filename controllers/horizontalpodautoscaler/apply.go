package horizontalpodautoscaler

import (
	"context"
	"fmt"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/pkg/client"
)

// apply scales the target, if it is as it was when it was read, and says what was done.
func (c *Controller) apply(ctx context.Context, a *autoscalingv2.HorizontalPodAutoscaler, t target, plan Plan, now time.Time) error {
	status := *a.Status.DeepCopy()
	status.Conditions, status.CurrentMetrics = plan.Conditions, plan.Current
	status.ObservedGeneration = &a.Generation
	status.CurrentReplicas, status.DesiredReplicas = t.scale.Status.Replicas, plan.To
	if plan.Failure != nil {
		c.cfg.Eventf(a, corev1.EventTypeWarning, plan.Failure.Reason, "%v", plan.Failure.Err)
		c.cfg.Eventf(a, corev1.EventTypeWarning, "FailedComputeMetricsReplicas", "invalid metrics (1 invalid out of %d), first error is: %v", max(1, len(a.Spec.Metrics)), plan.Failure.Err)
	}
	conditions := conditions{&status.Conditions, now}
	if plan.Empty() {
		c.remember(a, plan.Memory)
		return c.writeStatus(ctx, a, status)
	}
	err := c.cfg.Apply("horizontalpodautoscaler", a, nil, plan, func() error { return c.resize(ctx, a, t, plan.To) })
	if err != nil {
		c.cfg.Eventf(a, corev1.EventTypeWarning, "FailedRescale", "New size: %d; reason: %s; error: %v", plan.To, plan.Why, err)
		conditions.set(autoscalingv2.AbleToScale, corev1.ConditionFalse, "FailedUpdateScale", "the HPA controller was unable to update the target scale: %v", err)
		status.DesiredReplicas = plan.From
		if writeErr := c.writeStatus(ctx, a, status); writeErr != nil {
			return writeErr
		}
		return fmt.Errorf("scaling %s %q to %d: %w", a.Spec.ScaleTargetRef.Kind, a.Spec.ScaleTargetRef.Name, plan.To, err)
	}
	c.remember(a, plan.Memory)
	c.cfg.Eventf(a, corev1.EventTypeNormal, "SuccessfulRescale", "New size: %d; reason: %s", plan.To, plan.Why)
	conditions.set(autoscalingv2.AbleToScale, corev1.ConditionTrue, "SucceededRescale", "the HPA controller was able to update the target scale to %d", plan.To)
	stamp := metav1.NewTime(now)
	status.LastScaleTime = &stamp
	return c.writeStatus(ctx, a, status)
}

// resize is fenced by the version of the scale that was decided from.
func (c *Controller) resize(ctx context.Context, a *autoscalingv2.HorizontalPodAutoscaler, t target, to int32) error {
	scale := t.scale.DeepCopy()
	scale.Spec.Replicas = to
	_, err := c.transport.Update(ctx, client.Request{Resource: t.resource, Namespace: a.Namespace, Name: scale.Name, Subresource: "scale"}, scale, metav1.UpdateOptions{})
	return err
}

func (c *Controller) remember(a *autoscalingv2.HorizontalPodAutoscaler, m memory) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.memory[keyOf(a)] = m
}

func (c *Controller) writeStatus(ctx context.Context, a *autoscalingv2.HorizontalPodAutoscaler, status autoscalingv2.HorizontalPodAutoscalerStatus) error {
	return control.WriteStatus(ctx, c.autoscaler, a, a.Status, status, func(changed *autoscalingv2.HorizontalPodAutoscaler) { changed.Status = status })
}
