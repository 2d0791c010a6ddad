// Package tainteviction deletes pods from nodes whose NoExecute taints they do not tolerate,
// or no longer: each toleration may grant a time.
package tainteviction

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/controllers/podindex"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/reconcile"
)

// Controller reconciles Pods.
type Controller struct {
	cfg   control.Config
	nodes *client.Informer[*corev1.Node]
	pods  *client.Informer[*corev1.Pod]
	node  client.Client[*corev1.Node]
	pod   client.Client[*corev1.Pod]
	since since
	loop  *reconcile.Loop

	mu     sync.Mutex
	doomed map[types.UID]bool // guarded by mu: pods whose eviction is being waited for
}

// New wires the controller; Run starts it.
func New(t client.Transport, informers *client.Informers, cfg control.Config) *Controller {
	c := &Controller{
		cfg:    cfg.WithDefaults("tainteviction"),
		nodes:  client.InformerFor[*corev1.Node](informers),
		pods:   client.InformerFor[*corev1.Pod](informers),
		node:   client.Of[*corev1.Node](t),
		pod:    client.Of[*corev1.Pod](t),
		since:  since{nodes: map[string]map[taintID]time.Time{}},
		doomed: map[types.UID]bool{},
	}
	c.loop = reconcile.New("tainteviction", c, c.cfg.Loop(4))
	podindex.ByNode(c.pods)
	c.nodes.Handle(c.nodeChanged)
	reconcile.Watch(c.loop, c.pods, c.keysOfPod)
	return c
}

// Run reconciles until ctx ends.
func (c *Controller) Run(ctx context.Context) error { return c.loop.Run(ctx) }

func (c *Controller) nodeChanged(old, n *corev1.Node) {
	name, taints := "", []corev1.Taint(nil)
	if n != nil {
		name, taints = n.Name, n.Spec.Taints
	} else {
		name = old.Name
	}
	if !c.since.set(name, taints, c.cfg.Clock.Now()) {
		return
	}
	for _, p := range podindex.On(c.pods, name) {
		c.loop.Enqueue(reconcile.Key{Namespace: p.Namespace, Name: p.Name})
	}
}

// keysOfPod looks at a pod when it comes to a node or changes its tolerations.
func (c *Controller) keysOfPod(old, p *corev1.Pod) []reconcile.Key {
	switch {
	case p == nil:
		c.spare(old)
		return nil
	case p.Spec.NodeName == "" || c.since.of(p.Spec.NodeName) == nil:
		return nil
	case old != nil && old.Spec.NodeName == p.Spec.NodeName && len(old.Spec.Tolerations) == len(p.Spec.Tolerations): // tolerations are only ever added
		return nil
	}
	return []reconcile.Key{{Namespace: p.Namespace, Name: p.Name}}
}

// Reconcile looks at one pod.
func (c *Controller) Reconcile(ctx context.Context, key reconcile.Key) (reconcile.Result, error) {
	p, ok := c.pods.Get(key.Namespace, key.Name)
	if !ok || p.Spec.NodeName == "" {
		return reconcile.Result{}, nil
	}
	o := observed{Pod: p, Since: c.since.of(p.Spec.NodeName), Now: c.cfg.Clock.Now()}
	if node, ok := c.nodes.Get("", p.Spec.NodeName); ok {
		o.Taints = node.Spec.Taints
	}
	plan := decide(o)
	if plan.Evict {
		var err error
		if plan, err = c.confirm(ctx, o); err != nil {
			return reconcile.Result{}, err
		}
	}
	switch {
	case plan.Evict:
		return reconcile.Result{}, c.cfg.Apply("tainteviction", p, nil, plan, func() error { return c.evict(ctx, p) })
	case plan.Wait > 0:
		c.doom(p)
	case c.spare(p):
		c.cfg.Eventf(p, corev1.EventTypeNormal, "TaintManagerEviction", "Cancelling deletion of Pod %s", key)
	}
	return reconcile.Result{After: plan.Wait}, nil
}

// confirm decides again on the node's taints as they are: no pod goes because of one that went.
func (c *Controller) confirm(ctx context.Context, o observed) (Plan, error) {
	name := o.Pod.Spec.NodeName
	node, err := c.node.Get(ctx, "", name)
	if apierrors.IsNotFound(err) {
		return Plan{}, nil // pods of nodes that are gone are podgc's
	} else if err != nil {
		return Plan{}, fmt.Errorf("confirming the taints of node %q: %w", name, err)
	}
	o.Taints = node.Spec.Taints
	plan := decide(o)
	if !plan.Evict {
		c.cfg.Eventf(o.Pod, corev1.EventTypeWarning, "DeletionHeldBack", "Held back the eviction: a consistent read of node %s says %s", name, plan)
	}
	return plan, nil
}

func (c *Controller) doom(p *corev1.Pod) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.doomed[p.UID] = true
}

// spare forgets that a pod's eviction was waited for, and tells whether it was.
func (c *Controller) spare(p *corev1.Pod) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.doomed[p.UID]
	delete(c.doomed, p.UID)
	return was
}

// evict says in the pod's status why it goes, and deletes it.
func (c *Controller) evict(ctx context.Context, p *corev1.Pod) error {
	c.spare(p)
	c.cfg.Eventf(p, corev1.EventTypeNormal, "TaintManagerEviction", "Marking for deletion Pod %s/%s", p.Namespace, p.Name)
	if changed, ok := disrupted(p, c.cfg.Clock.Now()); ok {
		if _, err := c.pod.UpdateStatus(ctx, changed); err != nil {
			return control.IgnoreGone(fmt.Errorf("writing why the pod goes: %w", err))
		}
	}
	err := c.pod.Delete(ctx, p.Namespace, p.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &p.UID}})
	if err != nil {
		return control.IgnoreGone(fmt.Errorf("deleting the pod: %w", err))
	}
	return nil
}

// disrupted returns the pod with the condition that says who takes it down; ok is false if it
// says so already.
func disrupted(p *corev1.Pod, now time.Time) (changed *corev1.Pod, ok bool) {
	want := corev1.PodCondition{
		Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, ObservedGeneration: p.Generation, LastTransitionTime: metav1.NewTime(now),
		Reason: "DeletionByTaintManager", Message: "Taint manager: deleting due to NoExecute taint",
	}
	if c := api.PodCondition(p, corev1.DisruptionTarget); c != nil && c.Status == want.Status && c.Reason == want.Reason {
		return nil, false
	}
	changed = p.DeepCopy()
	if c := api.PodCondition(changed, corev1.DisruptionTarget); c != nil {
		*c = want
	} else {
		changed.Status.Conditions = append(changed.Status.Conditions, want)
	}
	return changed, true
}
