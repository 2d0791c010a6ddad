// Package disruption says, in the status of every PodDisruptionBudget, how many of its pods may
// be evicted now. It evicts nothing and holds nobody back: the API server's eviction
// endpoint, the scheduler's preemption and drainers read what it writes.
package disruption

import (
	"context"
	"errors"
	"fmt"
	"maps"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/reconcile"
)

// Controller reconciles PodDisruptionBudgets.
type Controller struct {
	cfg     control.Config
	budgets *client.Informer[*policyv1.PodDisruptionBudget]
	pods    *client.Informer[*corev1.Pod]
	budget  client.Client[*policyv1.PodDisruptionBudget]
	pod     client.Client[*corev1.Pod]
	scales  scales
	loop    *reconcile.Loop
	stale   *reconcile.Loop // of pods that were to be disrupted, and were not
}

// New wires the controller; Run starts it.
func New(t client.Transport, informers *client.Informers, cfg control.Config) *Controller {
	c := &Controller{
		cfg:     cfg.WithDefaults("disruption"),
		budgets: client.InformerFor[*policyv1.PodDisruptionBudget](informers),
		pods:    client.InformerFor[*corev1.Pod](informers),
		budget:  client.Of[*policyv1.PodDisruptionBudget](t),
		pod:     client.Of[*corev1.Pod](t),
		scales:  scales{transport: t, sets: client.InformerFor[*appsv1.ReplicaSet](informers)},
	}
	c.loop = reconcile.New("disruption", c, c.cfg.Loop(4))
	c.stale = reconcile.New("disruption-stale", staleConditions{c}, c.cfg.Loop(1))
	reconcile.Watch(c.loop, c.budgets, reconcile.KeyOf)
	reconcile.Watch(c.loop, c.pods, c.keysOfPod)
	reconcile.Watch(c.stale, c.pods, keysOfTarget)
	return c
}

// Run reconciles until ctx ends.
func (c *Controller) Run(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { done <- c.stale.Run(ctx) }()
	err := c.loop.Run(ctx)
	return errors.Join(err, <-done)
}

// Reconcile brings one budget's status up to date. The status is fenced by the version that it
// was made from: an eviction that was charged meanwhile is not overwritten.
func (c *Controller) Reconcile(ctx context.Context, key reconcile.Key) (reconcile.Result, error) {
	b, ok := c.budgets.Get(key.Namespace, key.Name)
	if !ok || b.DeletionTimestamp != nil {
		return reconcile.Result{}, nil
	}
	o := observed{Budget: b, Now: c.cfg.Clock.Now()}
	if selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector); err == nil {
		o.Pods = c.pods.List(b.Namespace, selector)
	}
	if needsScale(b) {
		o.Expected, o.Unmanaged, o.Unknown = c.scales.expected(ctx, o.Pods)
		if ctx.Err() != nil {
			return reconcile.Result{}, ctx.Err()
		}
	}
	plan := decide(o)
	c.tell(o, plan)
	result := reconcile.Result{After: plan.Recheck}
	if equality.Semantic.DeepEqual(b.Status, plan.Status) {
		return result, nil
	}
	return result, c.cfg.Apply("disruption", b, nil, plan, func() error {
		changed := b.DeepCopy()
		changed.Status = plan.Status
		_, err := c.budget.UpdateStatus(ctx, changed)
		return control.IgnoreGone(err)
	})
}

// tell reports what users should know of a budget that does not do what they think.
func (c *Controller) tell(o observed, plan Plan) {
	if len(o.Pods) == 0 {
		c.cfg.Eventf(o.Budget, corev1.EventTypeNormal, "NoPods", "No matching pods found")
	}
	if o.Unmanaged {
		c.cfg.Eventf(o.Budget, corev1.EventTypeWarning, "UnmanagedPods", "Pods selected by this PodDisruptionBudget (selector: %s) were found to be unmanaged. "+
			"As a result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. "+
			`To account for these pods please set ".spec.minAvailable" field of the PDB to an integer value.`, metav1.FormatLabelSelector(o.Budget.Spec.Selector))
	}
	if o.Unknown != nil {
		c.cfg.Eventf(o.Budget, corev1.EventTypeWarning, "CalculateExpectedPodCountFailed", "Failed to calculate the number of expected pods: %v", o.Unknown)
	}
	for _, p := range plan.NotDeleted {
		c.cfg.Eventf(p, corev1.EventTypeWarning, "NotDeleted", "Pod was expected by PDB %s/%s to be deleted but it wasn't", o.Budget.Namespace, o.Budget.Name)
	}
}

// keysOfPod maps a pod's change to the budgets that select it before or after.
func (c *Controller) keysOfPod(old, p *corev1.Pod) []reconcile.Key {
	if old != nil && p != nil && counts(old) == counts(p) && maps.Equal(old.Labels, p.Labels) {
		return nil
	}
	one := p
	if one == nil {
		one = old
	}
	var keys []reconcile.Key
	for _, b := range c.budgets.List(one.Namespace, nil) {
		selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
		if err != nil {
			continue
		}
		if old != nil && selector.Matches(labels.Set(old.Labels)) || p != nil && selector.Matches(labels.Set(p.Labels)) {
			keys = append(keys, reconcile.Key{Namespace: b.Namespace, Name: b.Name})
		}
	}
	return keys
}

// standing is what a budget wants to know of a pod.
type standing struct{ ready, going, over bool }

func counts(p *corev1.Pod) standing {
	return standing{ready: api.IsPodReady(p), going: p.DeletionTimestamp != nil, over: api.IsPodTerminal(p)}
}

// markFalse takes back that a pod was about to be disrupted.
func (c *Controller) markFalse(ctx context.Context, p *corev1.Pod) error {
	changed := p.DeepCopy()
	condition := api.PodCondition(changed, corev1.DisruptionTarget)
	condition.Status, condition.LastTransitionTime = corev1.ConditionFalse, metav1.NewTime(c.cfg.Clock.Now())
	if _, err := c.pod.UpdateStatus(ctx, changed); err != nil {
		return control.IgnoreGone(fmt.Errorf("taking back that the pod is disrupted: %w", err))
	}
	return nil
}
