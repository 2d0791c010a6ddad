// Package podgc removes pods that nobody else will: those whose node is gone, those that
// were deleted before they had a node, those on nodes that an administrator has declared
// out of service, and finished ones beyond a number.
package podgc

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/controllers/podindex"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/reconcile"
)

const finishedPods = "finished" // index of pods

// all is the key under which finished pods are counted. Pods have a namespace, so none has it.
var all = reconcile.Key{Name: "finished"}

// Config tunes the controller. Zero fields have defaults.
type Config struct {
	control.Config
	Threshold  int           // finished pods that are kept; default 12500
	Quarantine time.Duration // that a node must have been missed for; default 40s
}

// Controller reconciles Pods.
type Controller struct {
	cfg   Config
	nodes *client.Informer[*corev1.Node]
	pods  *client.Informer[*corev1.Pod]
	node  client.Client[*corev1.Node]
	pod   client.Client[*corev1.Pod]
	loop  *reconcile.Loop

	mu     sync.Mutex
	missed map[string]time.Time // guarded by mu: node → since when it is missed
}

// New wires the controller; Run starts it.
func New(t client.Transport, informers *client.Informers, cfg Config) *Controller {
	cfg.Config = cfg.Config.WithDefaults("podgc")
	if cfg.Threshold == 0 {
		cfg.Threshold = 12500
	}
	if cfg.Quarantine == 0 {
		cfg.Quarantine = 40 * time.Second
	}
	c := &Controller{
		cfg:    cfg,
		nodes:  client.InformerFor[*corev1.Node](informers),
		pods:   client.InformerFor[*corev1.Pod](informers),
		node:   client.Of[*corev1.Node](t),
		pod:    client.Of[*corev1.Pod](t),
		missed: map[string]time.Time{},
	}
	c.loop = reconcile.New("podgc", c, cfg.Loop(4))
	podindex.ByNode(c.pods)
	c.pods.Index(finishedPods, func(p *corev1.Pod) []string {
		if api.IsPodTerminal(p) {
			return []string{""}
		}
		return nil
	})
	c.nodes.Handle(c.nodeChanged)
	reconcile.Watch(c.loop, c.pods, c.keysOfPod)
	return c
}

// Run reconciles until ctx ends.
func (c *Controller) Run(ctx context.Context) error { return c.loop.Run(ctx) }

func (c *Controller) nodeChanged(old, n *corev1.Node) {
	name := ""
	switch {
	case n == nil:
		name = old.Name
	case api.IsOutOfService(n) || old == nil:
		name = n.Name
	default:
		return
	}
	for _, p := range podindex.On(c.pods, name) {
		c.loop.Enqueue(reconcile.Key{Namespace: p.Namespace, Name: p.Name})
	}
}

// keysOfPod looks at a pod when it comes to a node, starts to terminate or ends.
func (c *Controller) keysOfPod(old, p *corev1.Pod) []reconcile.Key {
	if p == nil {
		return nil
	}
	var keys []reconcile.Key
	if old == nil || old.Spec.NodeName != p.Spec.NodeName || (old.DeletionTimestamp == nil) != (p.DeletionTimestamp == nil) {
		keys = append(keys, reconcile.Key{Namespace: p.Namespace, Name: p.Name})
	}
	if api.IsPodTerminal(p) && (old == nil || !api.IsPodTerminal(old)) {
		keys = append(keys, all)
	}
	return keys
}

// Reconcile looks at one pod, or at all finished ones.
func (c *Controller) Reconcile(ctx context.Context, key reconcile.Key) (reconcile.Result, error) {
	if key == all {
		return reconcile.Result{}, c.trim(ctx)
	}
	p, ok := c.pods.Get(key.Namespace, key.Name)
	if !ok {
		return reconcile.Result{}, nil
	}
	o := observed{Pod: p, Quarantine: c.cfg.Quarantine}
	if node, ok := c.nodes.Get("", p.Spec.NodeName); ok {
		o.Node = node
	}
	o.Missing = c.missing(p.Spec.NodeName, o.Node != nil)
	plan := decide(o)
	if plan.Why == orphaned { // the view may be stale, or the node have been made anew
		node, err := c.node.Get(ctx, "", p.Spec.NodeName)
		if err == nil {
			o.Node = node
			plan = decide(o)
		} else if !apierrors.IsNotFound(err) {
			return reconcile.Result{}, fmt.Errorf("confirming that node %q is gone: %w", p.Spec.NodeName, err)
		}
	}
	if plan.Why == "" {
		return reconcile.Result{After: plan.Wait}, nil
	}
	return reconcile.Result{}, c.cfg.Apply("podgc", p, nil, plan, func() error { return c.remove(ctx, p, plan.Why) })
}

// missing notes whether a node is there, and returns how long it has not been.
func (c *Controller) missing(node string, there bool) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if there || node == "" {
		delete(c.missed, node)
		return 0
	}
	first, ok := c.missed[node]
	if !ok {
		first = c.cfg.Clock.Now()
		c.missed[node] = first
	}
	return c.cfg.Clock.Since(first)
}

// trim removes finished pods beyond the threshold.
func (c *Controller) trim(ctx context.Context) error {
	var errs []error
	for _, p := range surplus(c.pods.ByIndex(finishedPods, ""), c.cfg.Threshold) {
		plan := Plan{Why: fmt.Sprintf("it has ended and there are more than %d such pods", c.cfg.Threshold)}
		errs = append(errs, c.cfg.Apply("podgc", p, nil, plan, func() error { return c.delete(ctx, p) }))
	}
	return errors.Join(errs...)
}

// remove says in the status that the pod failed, and why, and deletes it without waiting for
// a node agent that is not there.
func (c *Controller) remove(ctx context.Context, p *corev1.Pod, why string) error {
	if !api.IsPodTerminal(p) && (why != unscheduled || len(p.Finalizers) > 0) {
		changed := p.DeepCopy()
		changed.Status.Phase = corev1.PodFailed
		if why == orphaned {
			changed.Status.Conditions = append(changed.Status.Conditions, corev1.PodCondition{
				Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, ObservedGeneration: p.Generation, LastTransitionTime: metav1.NewTime(c.cfg.Clock.Now()),
				Reason: "DeletionByPodGC", Message: "PodGC: node no longer exists",
			})
		}
		if api.PodCondition(p, corev1.DisruptionTarget) != nil {
			changed.Status.Conditions = p.DeepCopy().Status.Conditions
		}
		if _, err := c.pod.UpdateStatus(ctx, changed); err != nil {
			return control.IgnoreGone(fmt.Errorf("writing that the pod failed: %w", err))
		}
	}
	return c.delete(ctx, p)
}

func (c *Controller) delete(ctx context.Context, p *corev1.Pod) error {
	err := c.pod.Delete(ctx, p.Namespace, p.Name, metav1.DeleteOptions{
		GracePeriodSeconds: ptr.To(int64(0)), Preconditions: &metav1.Preconditions{UID: &p.UID},
	})
	if err != nil {
		return control.IgnoreGone(fmt.Errorf("deleting the pod: %w", err))
	}
	return nil
}
