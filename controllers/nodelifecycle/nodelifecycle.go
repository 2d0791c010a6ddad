// Package nodelifecycle notices dead nodes and says so: in their conditions, in their taints,
// and in the readiness of their pods. What taints do to pods is the business of
// tainteviction and of the scheduler.
package nodelifecycle

import (
	"context"
	"errors"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/controllers/podindex"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/reconcile"
)

// Config tunes the controller. Zero fields have defaults.
type Config struct {
	control.Config
	Grace        time.Duration // without heartbeat until a node is unreachable; default 40s
	StartupGrace time.Duration // until the first heartbeat; default 60s
}

// Controller reconciles Nodes.
type Controller struct {
	cfg   Config
	nodes *client.Informer[*corev1.Node]
	pods  *client.Informer[*corev1.Pod]
	node  client.Client[*corev1.Node]
	pod   client.Client[*corev1.Pod]
	beats heartbeats
	loop  *reconcile.Loop
}

// New wires the controller; Run starts it.
func New(t client.Transport, informers *client.Informers, cfg Config) *Controller {
	cfg.Config = cfg.Config.WithDefaults("nodelifecycle")
	if cfg.Grace == 0 {
		cfg.Grace = 40 * time.Second
	}
	if cfg.StartupGrace == 0 {
		cfg.StartupGrace = 60 * time.Second
	}
	c := &Controller{
		cfg:   cfg,
		nodes: client.InformerFor[*corev1.Node](informers),
		pods:  client.InformerFor[*corev1.Pod](informers),
		node:  client.Of[*corev1.Node](t),
		pod:   client.Of[*corev1.Pod](t),
		beats: heartbeats{nodes: map[string]*beat{}, zones: map[string]*zone{}},
	}
	c.loop = reconcile.New("nodelifecycle", c, cfg.Loop(4))
	podindex.ByNode(c.pods)
	c.nodes.Handle(c.nodeChanged)
	client.InformerFor[*coordinationv1.Lease](informers).Handle(c.leaseChanged)
	return c
}

// Run reconciles until ctx ends.
func (c *Controller) Run(ctx context.Context) error { return c.loop.Run(ctx) }

func (c *Controller) nodeChanged(old, n *corev1.Node) {
	if n == nil {
		c.beats.forget(old.Name)
		return
	}
	c.beats.node(n, c.cfg.Clock.Now())
	c.loop.Enqueue(reconcile.Key{Name: n.Name})
}

// leaseChanged only takes the time: a living node needs no reconcile for every heartbeat.
func (c *Controller) leaseChanged(_, l *coordinationv1.Lease) {
	if l == nil || l.Namespace != corev1.NamespaceNodeLease {
		return
	}
	if c.beats.lease(l, c.cfg.Clock.Now()) {
		c.loop.Enqueue(reconcile.Key{Name: l.Name})
	}
}

// Reconcile looks at one node.
func (c *Controller) Reconcile(ctx context.Context, key reconcile.Key) (reconcile.Result, error) {
	node, ok := c.nodes.Get("", key.Name)
	seen, known := c.beats.seen(key.Name)
	if !ok || !known {
		return reconcile.Result{}, nil
	}
	o := observed{
		Node: node, Seen: seen, Now: c.cfg.Clock.Now(), Grace: c.cfg.Grace, StartupGrace: c.cfg.StartupGrace,
		Pods: podindex.On(c.pods, node.Name),
	}
	silent := o.Now.Sub(seen) >= o.grace()
	starting := o.Now.Sub(node.CreationTimestamp.Time) < c.cfg.StartupGrace // a new node is no sign of an outage
	o.Outage, o.Wait = c.judge(node.Name, silent || (!api.IsNodeReady(node) && !starting), o.Now)
	plan := decide(o)
	if plan.Evicts {
		if wait := c.beats.evict(node.Name, o.Now); wait > 0 { // another node of its zone was first
			o.Wait = wait
			plan = decide(o)
		}
	}
	return reconcile.Result{After: plan.Recheck}, c.apply(ctx, node, plan)
}

// judge notes the node's health. When that changes what we think of a zone, every node of it is
// looked at again.
func (c *Controller) judge(name string, unhealthy bool, now time.Time) (outage, time.Duration) {
	state, wait, changed := c.beats.judge(name, unhealthy, now)
	for at, is := range changed {
		c.cfg.Logger.Warn("the health of a zone has changed", "zone", at, "to", is.String())
		for _, n := range c.beats.in(at) {
			c.loop.Enqueue(reconcile.Key{Name: n})
		}
	}
	return state, wait
}

// apply carries the plan out and puts it on record. Pods come first: traffic should leave a
// dead node before anything else happens.
func (c *Controller) apply(ctx context.Context, node *corev1.Node, plan Plan) error {
	if plan.Empty() {
		return nil
	}
	return c.cfg.Apply("nodelifecycle", node, nil, plan, func() error {
		var errs []error
		for _, p := range plan.Unready {
			errs = append(errs, c.markUnready(ctx, p))
		}
		return errors.Join(append(errs, c.writeNode(ctx, node, plan))...)
	})
}

func (c *Controller) writeNode(ctx context.Context, node *corev1.Node, plan Plan) error {
	changed := node.DeepCopy()
	if plan.Conditions != nil {
		changed.Status.Conditions = plan.Conditions
		stored, err := c.node.UpdateStatus(ctx, changed)
		if err != nil {
			return control.IgnoreGone(fmt.Errorf("writing the conditions: %w", err))
		}
		c.cfg.Eventf(node, corev1.EventTypeNormal, "NodeNotReady", "Node %s status is now: NodeNotReady", node.Name)
		changed = stored.DeepCopy()
	}
	if !plan.Retaint {
		return nil
	}
	changed.Spec.Taints = plan.Taints
	_, err := c.node.Update(ctx, changed)
	if err != nil {
		return control.IgnoreGone(fmt.Errorf("writing the taints: %w", err))
	}
	return nil
}

// markUnready says that a pod serves no more, since the node that would say so is silent.
func (c *Controller) markUnready(ctx context.Context, p *corev1.Pod) error {
	changed := p.DeepCopy()
	ready := api.PodCondition(changed, corev1.PodReady)
	ready.Status, ready.LastTransitionTime = corev1.ConditionFalse, metav1.NewTime(c.cfg.Clock.Now())
	if _, err := c.pod.UpdateStatus(ctx, changed); err != nil {
		return control.IgnoreGone(fmt.Errorf("marking pod %s/%s as not ready: %w", p.Namespace, p.Name, err))
	}
	c.cfg.Eventf(p, corev1.EventTypeWarning, "NodeNotReady", "Node is not ready")
	return nil
}
