// Package attachdetach asks CSI drivers to attach volumes to the nodes where pods use them, and to
// detach them when none does any more: it makes and deletes VolumeAttachments, and keeps
// status.volumesAttached of nodes. The attaching itself is for each driver's own attacher; the
// mounting is for the node's agent, which lists in status.volumesInUse what it may have mounted.
//
// Agent and controller meet in the node's status. The agent writes a volume into volumesInUse and
// mounts it only if volumesAttached of the very version that it wrote has the volume; the controller takes a volume
// off volumesAttached only of a version whose volumesInUse lacks it, and asks for it to be
// detached only after that. Whichever of the two writes second has seen the other's.
package attachdetach

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/reconcile"
)

// Controller reconciles nodes: what is attached to each, and what should be.
type Controller struct {
	cfg         control.Config
	pods        *client.Informer[*corev1.Pod]
	claims      *client.Informer[*corev1.PersistentVolumeClaim]
	volumes     *client.Informer[*corev1.PersistentVolume]
	nodes       *client.Informer[*corev1.Node]
	drivers     *client.Informer[*storagev1.CSIDriver]
	attachments *client.Informer[*storagev1.VolumeAttachment]
	node        client.Client[*corev1.Node]
	attachment  client.Client[*storagev1.VolumeAttachment]
	loop        *reconcile.Loop
}

// New wires the controller; Run starts it. One worker: whether a volume may be attached to a node
// depends on the others.
func New(t client.Transport, informers *client.Informers, cfg control.Config) *Controller {
	c := &Controller{
		cfg:         cfg.WithDefaults("attachdetach"),
		pods:        client.InformerFor[*corev1.Pod](informers),
		claims:      client.InformerFor[*corev1.PersistentVolumeClaim](informers),
		volumes:     client.InformerFor[*corev1.PersistentVolume](informers),
		nodes:       client.InformerFor[*corev1.Node](informers),
		drivers:     client.InformerFor[*storagev1.CSIDriver](informers),
		attachments: client.InformerFor[*storagev1.VolumeAttachment](informers),
		node:        client.Of[*corev1.Node](t),
		attachment:  client.Of[*storagev1.VolumeAttachment](t),
	}
	c.loop = reconcile.New("attachdetach", c, c.cfg.Loop(1))
	c.index()
	reconcile.Watch(c.loop, c.pods, keysOfPod)
	reconcile.Watch(c.loop, c.claims, c.keysOfClaim)
	reconcile.Watch(c.loop, c.volumes, c.keysOfVolume)
	reconcile.Watch(c.loop, c.nodes, keysOfNode)
	reconcile.Watch(c.loop, c.drivers, c.keysOfDriver)
	reconcile.Watch(c.loop, c.attachments, c.keysOfAttachment)
	return c
}

// Run reconciles until ctx ends.
func (c *Controller) Run(ctx context.Context) error { return c.loop.Run(ctx) }

// Reconcile brings what is attached to one node a step on.
func (c *Controller) Reconcile(ctx context.Context, key reconcile.Key) (reconcile.Result, error) {
	view, err := c.viewOf(ctx, key.Name)
	if err != nil {
		return reconcile.Result{}, err
	}
	plan := decide(view)
	for _, h := range plan.Events {
		for _, p := range h.Pods {
			c.cfg.Eventf(p, h.Type, h.Reason, "%s", h.Message)
		}
	}
	result := reconcile.Result{After: plan.Again}
	if plan.isEmpty() {
		return result, nil
	}
	about := view.Node
	if about == nil {
		about = &corev1.Node{}
		about.Name = key.Name
	}
	return result, c.cfg.Apply("attachdetach", about, control.Refs(view.Attachments), plan, func() error { return c.apply(ctx, about, plan) })
}

// viewOf reads what is decided from about a node.
func (c *Controller) viewOf(ctx context.Context, name string) (view, error) {
	o := view{Now: c.cfg.Clock.Now(), Attachments: c.attachments.ByIndex(byNode, name)}
	if n, ok := c.nodes.Get("", name); ok {
		o.Node = n
	} else if len(o.Attachments) > 0 {
		// A node that is gone has its volumes taken away: not on the word of a cache.
		n, err := c.node.Get(ctx, "", name)
		if err != nil && !apierrors.IsNotFound(err) {
			return o, fmt.Errorf("confirming that the node is gone: %w", err)
		} else if err == nil {
			o.Node = n
		}
	}
	for _, p := range c.pods.ByIndex(byNode, name) {
		c.addWishes(&o, p)
	}
	for i := range o.Wanted {
		c.lookElsewhere(&o.Wanted[i], name)
	}
	return o, nil
}
