package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/fields"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
)

// The rhythm of reports. Controllers believe in a node whose Lease is younger than 40 s.
const (
	statusCheck    = 10 * time.Second
	statusInterval = 5 * time.Minute // written even if nothing changed
	impatience     = 100 * time.Millisecond
	retryMax       = 5 * time.Second
)

// Node speaks to the API for this machine.
type Node struct {
	cfg       Config
	transport client.Transport
	nodes     *client.Informer[*corev1.Node] // this one only
	events    *client.Recorder
	changed   chan struct{} // capacity 1
}

// New returns the node; it starts nothing. events may be nil.
func New(transport client.Transport, informers *client.Informers, events *client.Recorder, cfg Config) (*Node, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg, transport: transport, events: events, changed: make(chan struct{}, 1)}
	n.nodes = client.InformerWith[*corev1.Node](informers, client.Selection{
		Fields: fields.OneTermEqualSelector("metadata.name", cfg.Name)})
	n.nodes.Handle(func(_, _ *corev1.Node) { n.Check() })
	return n, nil
}

// Check has the status looked at soon: something that it tells of may have changed.
func (n *Node) Check() {
	select {
	case n.changed <- struct{}{}:
	default:
	}
}

// Allocatable is what pods may use of the machine.
func (n *Node) Allocatable() corev1.ResourceList { return n.cfg.Allocatable }

// Capacity is what the machine has.
func (n *Node) Capacity() corev1.ResourceList { return n.cfg.Capacity }

// Object returns the Node as the API has it, or as it would be registered.
func (n *Node) Object() *corev1.Node {
	if node, ok := n.nodes.Get("", n.cfg.Name); ok {
		return node
	}
	node := n.cfg.object()
	node.Status.Allocatable = n.cfg.Allocatable
	return node
}

// Run registers the node and reports until ctx ends. It fails if the API refuses to have this
// agent speak for the node.
func (n *Node) Run(ctx context.Context) error {
	if err := n.register(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	var beats sync.WaitGroup
	defer beats.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	beats.Go(func() { n.renewLease(ctx) })
	return n.report(ctx)
}

// register makes the Node, or brings its labels and annotations up to date, however long the API is away.
func (n *Node) register(ctx context.Context) error {
	for pause := impatience; ; pause = min(2*pause, retryMax) {
		err := n.registerOnce(ctx)
		switch {
		case err == nil:
			return nil
		case apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err):
			return fmt.Errorf("the API does not let these credentials speak for node %q: %w", n.cfg.Name, err)
		case apierrors.IsInvalid(err):
			return fmt.Errorf("registering node %q: %w", n.cfg.Name, err)
		}
		n.cfg.Logger.Warn("cannot register the node yet", "err", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-n.cfg.Clock.After(pause):
		}
	}
}

func (n *Node) registerOnce(ctx context.Context) error {
	nodes := client.Of[*corev1.Node](n.transport)
	node, err := nodes.Get(ctx, "", n.cfg.Name)
	if apierrors.IsNotFound(err) {
		fresh := n.cfg.object()
		if fresh.Status, err = n.wanted(ctx, &fresh.Status); err != nil {
			return err
		}
		if node, err = nodes.Create(ctx, fresh); err == nil {
			n.cfg.Logger.Info("registered the node")
			n.events.Event(node, corev1.EventTypeNormal, "Starting", "Starting kubelet.")
		}
	}
	if err != nil {
		return err
	}
	missing := node.DeepCopy()
	if missing.Labels == nil {
		missing.Labels = map[string]string{}
	}
	maps.Copy(missing.Labels, n.cfg.labels())
	if missing.Annotations == nil {
		missing.Annotations = map[string]string{}
	}
	maps.Copy(missing.Annotations, n.cfg.Annotations)
	if maps.Equal(missing.Labels, node.Labels) && maps.Equal(missing.Annotations, node.Annotations) {
		return nil
	}
	_, err = nodes.Update(ctx, missing)
	return err
}

// report keeps the status current.
func (n *Node) report(ctx context.Context) error {
	var written time.Time
	for {
		stored, err := n.reportOnce(ctx, n.cfg.Clock.Since(written) >= statusInterval)
		wait := statusCheck
		switch {
		case ctx.Err() != nil:
			return nil
		case apierrors.IsNotFound(err):
			if err := n.register(ctx); err != nil && ctx.Err() == nil {
				return err
			}
			continue
		case err != nil:
			wait = time.Second
			if !apierrors.IsConflict(err) {
				n.cfg.Logger.Warn("cannot report the node's status", "err", err)
			}
		case stored != nil:
			written = n.cfg.Clock.Now()
		}
		if n.cfg.Ready != nil && n.cfg.Ready() != nil {
			wait = impatience // pods wait for this node
		}
		timer := n.cfg.Clock.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C():
		case <-n.changed:
		}
		timer.Stop()
	}
}

// reportOnce writes the status if it changed, or if it must be written anyway; it returns
// what was stored, nil if nothing was.
func (n *Node) reportOnce(ctx context.Context, anyway bool) (*corev1.Node, error) {
	nodes := client.Of[*corev1.Node](n.transport)
	node, ok := n.nodes.Get("", n.cfg.Name)
	if !ok || anyway {
		var err error
		if node, err = nodes.Get(ctx, "", n.cfg.Name); err != nil {
			return nil, err
		}
	}
	status, err := n.wanted(ctx, &node.Status)
	if err != nil {
		return nil, err
	}
	if !anyway && equality.Semantic.DeepEqual(withoutHeartbeats(status), withoutHeartbeats(node.Status)) {
		return nil, nil
	}
	wasReady := api.IsNodeReady(node)
	changed := node.DeepCopy()
	changed.Status = status
	stored, err := nodes.UpdateStatus(ctx, changed)
	if apierrors.IsConflict(err) {
		// The view is behind, or somebody else wrote: once more on what is there now.
		if changed, err = nodes.Get(ctx, "", n.cfg.Name); err == nil {
			changed = changed.DeepCopy()
			if changed.Status, err = n.wanted(ctx, &changed.Status); err == nil {
				stored, err = nodes.UpdateStatus(ctx, changed)
			}
		}
	}
	if err != nil {
		return nil, err
	}
	if ready := api.IsNodeReady(stored); ready != wasReady {
		reason := map[bool]string{true: "NodeReady", false: "NodeNotReady"}[ready]
		n.events.Event(stored, corev1.EventTypeNormal, reason, "Node %s status is now: %s", n.cfg.Name, reason)
	}
	return stored, nil
}

func (n *Node) wanted(ctx context.Context, old *corev1.NodeStatus) (corev1.NodeStatus, error) {
	var o observed
	var err error
	if n.cfg.Ready != nil {
		o.notReady = n.cfg.Ready()
	}
	if o.pressure, err = n.cfg.Measure(); err != nil {
		o.notReady = errors.Join(o.notReady, err)
	}
	if n.cfg.Images != nil && o.notReady == nil {
		if o.images, err = n.cfg.Images(ctx); err != nil {
			o.notReady = fmt.Errorf("listing images: %w", err)
		}
	}
	if n.cfg.RuntimeVersion != nil && o.notReady == nil {
		if o.runtime, err = n.cfg.RuntimeVersion(ctx); err != nil {
			o.notReady = fmt.Errorf("asking for the runtime's version: %w", err)
		}
	}
	return n.cfg.status(old, o, n.cfg.Clock.Now()), nil
}
