package statefulset

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/controllers/children"
	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/controllers/history"
	"github.com/miniorch/miniorch/pkg/api"
)

// apply carries the plan out. A pod is made only when its revision and its claims are there.
func (c *Controller) apply(ctx context.Context, o observed, plan *Plan) error {
	set := o.Set
	if err := history.Keep(ctx, c.revision, historyOf(set), plan.History); err != nil {
		return err
	}
	err := errors.Join(
		children.ForAll(plan.NewClaims, func(claim *corev1.PersistentVolumeClaim) error { return c.createClaim(ctx, set, claim) }),
		children.ForAll(plan.HandClaims, func(claim *corev1.PersistentVolumeClaim) error { return c.handClaim(ctx, claim) }),
	)
	if err != nil {
		return err
	}
	_, err = children.InBatches(plan.Create, func(p *corev1.Pod) error { return c.create(ctx, set, p) })
	return errors.Join(
		control.IgnoreTerminating(err),
		children.ForAll(plan.Label, func(p *corev1.Pod) error { return c.label(ctx, set, p) }),
		children.ForAll(plan.Delete, func(d Deletion) error { return c.remove(ctx, set, d) }),
		history.Forget(ctx, c.revision, plan.History),
	)
}

func (c *Controller) createClaim(ctx context.Context, set *appsv1.StatefulSet, claim *corev1.PersistentVolumeClaim) error {
	_, err := c.claim.Create(ctx, claim)
	switch {
	case err == nil:
		c.cfg.Eventf(set, corev1.EventTypeNormal, "SuccessfulCreate", "create Claim %s in StatefulSet %s success", claim.Name, set.Name)
		return nil
	case apierrors.IsAlreadyExists(err): // made by us and not seen yet, or by somebody for us
		return nil
	}
	c.tell(set, "FailedCreate", err, "create Claim %s in StatefulSet %s failed", claim.Name, set.Name)
	return control.IgnoreTerminating(fmt.Errorf("creating claim %q: %w", claim.Name, err))
}

// handClaim writes whom a claim goes with, fenced by the version that was read.
func (c *Controller) handClaim(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	if _, err := c.claim.Update(ctx, claim); err != nil {
		return control.IgnoreGone(fmt.Errorf("changing the owners of claim %q: %w", claim.Name, err))
	}
	return nil
}

func (c *Controller) create(ctx context.Context, set *appsv1.StatefulSet, p *corev1.Pod) error {
	_, err := children.Create(ctx, c.pod, set, p)
	if err == nil {
		c.cfg.Eventf(set, corev1.EventTypeNormal, "SuccessfulCreate", "create Pod %s in StatefulSet %s successful", p.Name, set.Name)
		return nil
	}
	c.tell(set, "FailedCreate", err, "create Pod %s in StatefulSet %s failed", p.Name, set.Name)
	return err
}

func (c *Controller) remove(ctx context.Context, set *appsv1.StatefulSet, d Deletion) error {
	if api.IsPodTerminal(d.Pod) {
		c.failures.Note(set.UID, d.Pod.Name, c.cfg.Clock.Now())
	}
	switch d.Pod.Status.Phase {
	case corev1.PodFailed:
		c.cfg.Eventf(set, corev1.EventTypeWarning, "RecreatingFailedPod", "StatefulSet %s/%s is recreating failed Pod %s", set.Namespace, set.Name, d.Pod.Name)
	case corev1.PodSucceeded:
		c.cfg.Eventf(set, corev1.EventTypeNormal, "RecreatingTerminatedPod", "StatefulSet %s/%s is recreating terminated Pod %s", set.Namespace, set.Name, d.Pod.Name)
	}
	deleted, err := children.Delete(ctx, c.pod, d.Pod)
	if deleted {
		c.cfg.Eventf(set, corev1.EventTypeNormal, "SuccessfulDelete", "delete Pod %s in StatefulSet %s successful", d.Pod.Name, set.Name)
	}
	if err != nil {
		c.tell(set, "FailedDelete", err, "delete Pod %s in StatefulSet %s failed", d.Pod.Name, set.Name)
	}
	return err
}

// label gives a pod the labels that tell which one it is.
func (c *Controller) label(ctx context.Context, set *appsv1.StatefulSet, p *corev1.Pod) error {
	ordinal, _ := ordinalOf(set, p.Name)
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": p.UID, "labels": identity(set, ordinal)}})
	if err != nil {
		return fmt.Errorf("encoding the labels of pod %q: %w", p.Name, err)
	}
	if _, err = c.pod.Patch(ctx, p.Namespace, p.Name, types.MergePatchType, patch, ""); err != nil {
		return control.IgnoreGone(fmt.Errorf("labelling pod %q: %w", p.Name, err))
	}
	return nil
}

// tell warns users of what did not work, unless it is none of their concern.
func (c *Controller) tell(set *appsv1.StatefulSet, reason string, err error, format string, args ...any) {
	if errors.Is(err, children.ErrStale) || control.IgnoreTerminating(err) == nil {
		return
	}
	c.cfg.Eventf(set, corev1.EventTypeWarning, reason, "%s error: %v", fmt.Sprintf(format, args...), err)
}
