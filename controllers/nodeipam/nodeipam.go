// Package nodeipam gives every node its part of the cluster's pod address range. What is
// given away stands in the Node objects only: the controller remembers nothing that it
// could not read there.
package nodeipam

import (
	"context"
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/reconcile"
)

// Config says what is given away.
type Config struct {
	control.Config
	Cluster  netip.Prefix // the cluster's pod address range
	MaskSize int          // of one node's part; default 24 for IPv4, 64 for IPv6
}

func (c Config) validate() error {
	switch {
	case !c.Cluster.IsValid():
		return fmt.Errorf("the cluster CIDR is not valid")
	case c.MaskSize < c.Cluster.Bits() || c.MaskSize > c.Cluster.Addr().BitLen():
		return fmt.Errorf("node ranges of size /%d do not fit into %s", c.MaskSize, c.Cluster)
	}
	return nil
}

// Controller reconciles Nodes.
type Controller struct {
	cfg   Config
	nodes *client.Informer[*corev1.Node]
	node  client.Client[*corev1.Node]
	loop  *reconcile.Loop
	last  uint64 // after the range given last; touched by the one worker only
}

// New wires the controller; Run starts it.
func New(t client.Transport, informers *client.Informers, cfg Config) *Controller {
	cfg.Config = cfg.Config.WithDefaults("nodeipam")
	if cfg.MaskSize == 0 {
		cfg.MaskSize = 24
		if cfg.Cluster.Addr().Is6() {
			cfg.MaskSize = 64
		}
	}
	c := &Controller{
		cfg:   cfg,
		nodes: client.InformerFor[*corev1.Node](informers),
		node:  client.Of[*corev1.Node](t),
	}
	c.loop = reconcile.New("nodeipam", c, cfg.Loop(1)) // one worker: two would give the same range away
	reconcile.Watch(c.loop, c.nodes, func(old, n *corev1.Node) []reconcile.Key {
		if n == nil || n.Spec.PodCIDR != "" {
			return nil
		}
		return []reconcile.Key{{Name: n.Name}}
	})
	return c
}

// Run reconciles until ctx ends.
func (c *Controller) Run(ctx context.Context) error {
	if err := c.cfg.validate(); err != nil {
		return err
	}
	return c.loop.Run(ctx)
}

// Reconcile gives a node a range if it has none. What is used is read consistently, not from
// the informer: two nodes that get the same range cannot be told apart afterwards.
func (c *Controller) Reconcile(ctx context.Context, key reconcile.Key) (reconcile.Result, error) {
	node, ok := c.nodes.Get("", key.Name)
	if !ok || node.Spec.PodCIDR != "" || node.DeletionTimestamp != nil {
		return reconcile.Result{}, nil
	}
	all, _, err := c.node.List(ctx, "", metav1.ListOptions{})
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("reading which ranges are used: %w", err)
	}
	plan, err := allocate(c.cfg.Cluster, c.cfg.MaskSize, used(all), c.last)
	if err != nil {
		c.cfg.Eventf(node, corev1.EventTypeNormal, "CIDRNotAvailable", "Node %s status is now: CIDRNotAvailable", node.Name)
		return reconcile.Result{}, err
	}
	return reconcile.Result{}, c.cfg.Apply("nodeipam", node, control.Refs(all), plan, func() error {
		changed := node.DeepCopy()
		changed.Spec.PodCIDR, changed.Spec.PodCIDRs = plan.CIDR.String(), []string{plan.CIDR.String()}
		if _, err := c.node.Update(ctx, changed); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("assigning %s: %w", plan.CIDR, err)
		}
		c.last = index(c.cfg.Cluster, c.cfg.MaskSize, plan.CIDR.Addr()) + 1
		return nil
	})
}

func used(nodes []*corev1.Node) []netip.Prefix {
	var out []netip.Prefix
	for _, n := range nodes {
		for _, cidr := range append([]string{n.Spec.PodCIDR}, n.Spec.PodCIDRs...) {
			if p, err := netip.ParsePrefix(cidr); err == nil {
				out = append(out, p)
			}
		}
	}
	return out
}
