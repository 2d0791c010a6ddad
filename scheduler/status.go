package scheduler

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/reconcile"
)

// verdict is why a pod has no node, for its PodScheduled condition.
type verdict struct {
	reason, message string
	nominated       string // the node where room is being made; empty: nowhere
}

// statusWriter brings the PodScheduled condition of waiting pods up to the latest verdict. It
// runs beside the scheduling loop, which never waits for it.
type statusWriter struct{ s *Scheduler }

// Reconcile writes one pod's condition if it does not say so yet.
func (w statusWriter) Reconcile(ctx context.Context, key reconcile.Key) (reconcile.Result, error) {
	pod, ok := w.s.pods.Get(key.Namespace, key.Name)
	if !ok || !w.s.waits(pod) {
		return reconcile.Result{}, nil
	}
	w.s.mu.Lock()
	v, ok := w.s.verdicts[pod.UID]
	w.s.mu.Unlock()
	if !ok {
		return reconcile.Result{}, nil
	}
	c, changed := condition(pod, v, metav1.NewTime(w.s.cfg.Clock.Now()))
	if !changed && v.nominated == pod.Status.NominatedNodeName {
		return reconcile.Result{}, nil
	}
	patch, err := patchFor(pod, c, v.nominated)
	if err != nil {
		return reconcile.Result{}, err
	}
	_, err = client.Of[*corev1.Pod](w.s.transport).Patch(ctx, key.Namespace, key.Name, types.StrategicMergePatchType, patch, "status")
	if err != nil && !apierrors.IsNotFound(err) {
		return reconcile.Result{}, fmt.Errorf("writing the PodScheduled condition: %w", err)
	}
	return reconcile.Result{}, nil
}

// condition returns the condition that a verdict asks for, and whether pod has another.
func condition(pod *corev1.Pod, v verdict, now metav1.Time) (c corev1.PodCondition, changed bool) {
	c = corev1.PodCondition{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: v.reason, Message: v.message,
		LastTransitionTime: now, ObservedGeneration: pod.Generation,
	}
	old := api.PodCondition(pod, corev1.PodScheduled)
	if old == nil || old.Status != c.Status {
		return c, true
	}
	c.LastTransitionTime = old.LastTransitionTime
	return c, old.Reason != c.Reason || old.Message != c.Message
}

// patchFor makes the patch that sets one condition, and the node where room is made. The
// resourceVersion in it sees to it that a pod which was bound meanwhile is not called
// unschedulable.
func patchFor(pod *corev1.Pod, c corev1.PodCondition, nominated string) ([]byte, error) {
	status := map[string]any{"conditions": []corev1.PodCondition{c}}
	if nominated != pod.Status.NominatedNodeName {
		status["nominatedNodeName"] = nominated
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": pod.UID, "resourceVersion": pod.ResourceVersion},
		"status":   status,
	})
	if err != nil {
		return nil, fmt.Errorf("encoding the condition: %w", err)
	}
	return patch, nil
}
