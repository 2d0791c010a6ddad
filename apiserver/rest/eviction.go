package rest

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/miniorch/miniorch/apiserver/admission"
	"github.com/miniorch/miniorch/pkg/api"
)

const (
	// maxDisrupted bounds how many evicted pods a budget's status lists that the disruption
	// controller has not seen go yet. More mean that it does not run.
	maxDisrupted = 2000
	// settleSeconds is when to ask again after a budget that was changed a moment ago.
	settleSeconds = 10
	// evictionAttempts is how often a pod that changes all the time is looked at again.
	evictionAttempts = 10
)

// evict deletes a pod if its disruption budget has room for that, and takes the room. The
// budget is charged before the pod is deleted, in one compare-and-swap of its status: of
// several evictions at once no more go through than the budget allows.
func (s *Store) evict(ctx context.Context, ns, name string, body api.Object, dryRun bool) (api.Object, error) {
	eviction, ok := body.(*policyv1.Eviction)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not an Eviction object: %T", body))
	}
	opts := metav1.DeleteOptions{}
	if eviction.DeleteOptions != nil {
		opts = *eviction.DeleteOptions.DeepCopy()
	}
	if err := checkOptions("DeleteOptions", metavalidation.ValidateDeleteOptions(&opts)); err != nil {
		return nil, err
	}
	if dryRun || isDryRun(opts.DryRun) {
		dryRun, opts.DryRun = true, []string{metav1.DryRunAll}
	}
	req := s.request(ctx, admission.Create, ns, name, "eviction", eviction, nil, dryRun)
	if err := s.reg.admission.Admit(ctx, req); err != nil {
		return nil, err
	}
	if err := s.reg.admission.Validate(ctx, req); err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		err := s.evictOnce(ctx, ns, name, opts)
		moved := apierrors.IsConflict(err) && (opts.Preconditions == nil || opts.Preconditions.ResourceVersion == nil)
		if !moved || attempt == evictionAttempts {
			return eviction, err
		}
	}
}

func (s *Store) evictOnce(ctx context.Context, ns, name string, opts metav1.DeleteOptions) error {
	it, _, err := s.current(ctx, s.key(ns, name))
	if err != nil {
		return err
	}
	if it == nil {
		return s.notFound(name)
	}
	pod := it.Object.(*corev1.Pod)
	if err := s.checkPreconditions(pod, opts.Preconditions); err != nil {
		return err
	}
	unguarded := expendable(pod)
	if !unguarded {
		if err := s.askBudget(ctx, pod, isDryRun(opts.DryRun)); err != nil {
			return err
		}
	}
	if pod.DeletionTimestamp == nil {
		if pod, err = s.markEvicted(ctx, pod, isDryRun(opts.DryRun)); err != nil {
			return err
		}
	}
	opts.Preconditions = &metav1.Preconditions{UID: &pod.UID}
	if unguarded && !isDryRun(opts.DryRun) { // what did not count may count by now
		opts.Preconditions.ResourceVersion = &pod.ResourceVersion
	}
	_, _, err = s.Delete(ctx, ns, name, opts)
	return err
}

// expendable tells whether a pod serves nobody, so that no budget protects it.
func expendable(p *corev1.Pod) bool {
	return p.DeletionTimestamp != nil || api.IsPodTerminal(p) || p.Status.Phase == corev1.PodPending
}

// askBudget takes room for one disruption out of the budget that selects the pod.
func (s *Store) askBudget(ctx context.Context, pod *corev1.Pod, dryRun bool) error {
	store, ok := s.reg.stores[api.ResourceFor[*policyv1.PodDisruptionBudget]().GVR()]
	if !ok {
		return nil
	}
	page, err := store.List(ctx, pod.Namespace, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("reading the disruption budgets: %w", err)
	}
	var guard *policyv1.PodDisruptionBudget
	for _, it := range page.Items {
		b := it.Object.(*policyv1.PodDisruptionBudget)
		selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
		if err != nil || !selector.Matches(labels.Set(pod.Labels)) {
			continue
		}
		if guard != nil {
			return apierrors.NewInternalError(fmt.Errorf("this pod has more than one PodDisruptionBudget, which the eviction subresource does not support"))
		}
		guard = b
	}
	if guard == nil || evictsUnhealthy(guard, pod) {
		return nil
	}
	opts := UpdateOptions{}
	if dryRun {
		opts.DryRun = []string{metav1.DryRunAll}
	}
	_, _, err = store.Update(ctx, guard.Namespace, guard.Name, "status", func(old api.Object) (api.Object, error) {
		return charged(old.(*policyv1.PodDisruptionBudget), pod.Name, s.now())
	}, opts)
	if apierrors.IsNotFound(err) { // the budget went meanwhile: nothing guards the pod
		return nil
	}
	return err
}

// evictsUnhealthy tells whether a pod that is not ready may go without being charged for: it
// is none of the healthy ones that the budget counts.
func evictsUnhealthy(b *policyv1.PodDisruptionBudget, pod *corev1.Pod) bool {
	if api.IsPodReady(pod) {
		return false
	}
	if p := b.Spec.UnhealthyPodEvictionPolicy; p != nil && *p == policyv1.AlwaysAllow {
		return true
	}
	return b.Status.ObservedGeneration >= b.Generation && b.Status.DesiredHealthy > 0 && b.Status.CurrentHealthy >= b.Status.DesiredHealthy
}

// charged returns the budget after one more disruption, or why there may be none.
func charged(old *policyv1.PodDisruptionBudget, pod string, now metav1.Time) (*policyv1.PodDisruptionBudget, error) {
	s := &old.Status
	switch {
	case s.ObservedGeneration < old.Generation:
		return nil, overBudget(settleSeconds, fmt.Sprintf("The disruption budget %s is still being processed by the server.", old.Name))
	case s.DisruptionsAllowed < 0:
		return nil, apierrors.NewForbidden(policyv1.Resource("poddisruptionbudget"), old.Name, fmt.Errorf("pdb disruptions allowed is negative"))
	case len(s.DisruptedPods) > maxDisrupted:
		return nil, apierrors.NewForbidden(policyv1.Resource("poddisruptionbudget"), old.Name, fmt.Errorf("DisruptedPods map too big - too many evictions not confirmed by PDB controller"))
	case s.DisruptionsAllowed == 0:
		if c := meta.FindStatusCondition(s.Conditions, policyv1.DisruptionAllowedCondition); c != nil && c.Status == metav1.ConditionFalse && c.Reason == policyv1.SyncFailedReason {
			return nil, overBudget(0, fmt.Sprintf("The disruption budget %s does not allow evicting pods currently because it failed sync: %v", old.Name, c.Message))
		}
		return nil, overBudget(0, fmt.Sprintf("The disruption budget %s needs %d healthy pods and has %d currently", old.Name, s.DesiredHealthy, s.CurrentHealthy))
	}
	b := old.DeepCopy()
	b.Status.DisruptionsAllowed--
	if b.Status.DisruptionsAllowed == 0 {
		meta.SetStatusCondition(&b.Status.Conditions, metav1.Condition{
			Type: policyv1.DisruptionAllowedCondition, Status: metav1.ConditionFalse, Reason: policyv1.InsufficientPodsReason,
			ObservedGeneration: b.Status.ObservedGeneration, LastTransitionTime: now,
		})
	}
	if b.Status.DisruptedPods == nil {
		b.Status.DisruptedPods = map[string]metav1.Time{}
	}
	b.Status.DisruptedPods[pod] = now // until the controller has seen it go
	return b, nil
}

// overBudget is the refusal that drainers know: try again, by then there may be room.
func overBudget(seconds int, why string) error {
	err := apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", seconds)
	err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes, metav1.StatusCause{Type: policyv1.DisruptionBudgetCause, Message: why})
	return err
}

// markEvicted says on the pod why it goes. Jobs, for instance, need not count it as a failure.
func (s *Store) markEvicted(ctx context.Context, pod *corev1.Pod, dryRun bool) (*corev1.Pod, error) {
	if dryRun {
		return pod, nil
	}
	it, _, err := s.Update(ctx, pod.Namespace, pod.Name, "status", func(old api.Object) (api.Object, error) {
		p := old.(*corev1.Pod)
		if p.UID != pod.UID {
			return nil, s.wrongUID(p, pod.UID)
		}
		p = p.DeepCopy()
		condition := corev1.PodCondition{
			Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "EvictionByEvictionAPI",
			Message: "Eviction API: evicting", LastTransitionTime: s.now(), ObservedGeneration: p.Generation,
		}
		if was := api.PodCondition(p, corev1.DisruptionTarget); was == nil {
			p.Status.Conditions = append(p.Status.Conditions, condition)
		} else if was.Status != condition.Status {
			*was = condition
		}
		return p, nil
	}, UpdateOptions{})
	if err != nil {
		return nil, err
	}
	return it.Object.(*corev1.Pod), nil
}
