// Package localpath is the built-in provisioner: it makes a PersistentVolume for each claim of
// its StorageClasses, on the node that the scheduler has selected, and deletes it when the
// claim is gone. The directory behind it is the node agent's to make and remove. It binds
// nothing, and enforces no size: a directory has none.
package localpath

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/pkg/claims"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/reconcile"
)

// Indexes: volumes by the node they are on, and claims by the node that was selected for them.
const (
	volumesByNode = "local-path-by-node"
	claimsByNode  = "by-selected-node"
)

// Controller reconciles claims, and volumes: keys without a namespace are volumes.
type Controller struct {
	cfg     control.Config
	claims  *client.Informer[*corev1.PersistentVolumeClaim]
	volumes *client.Informer[*corev1.PersistentVolume]
	classes *client.Informer[*storagev1.StorageClass]
	nodes   *client.Informer[*corev1.Node]
	claim   client.Client[*corev1.PersistentVolumeClaim]
	volume  client.Client[*corev1.PersistentVolume]
	node    client.Client[*corev1.Node]
	loop    *reconcile.Loop
}

// New wires the controller; Run starts it.
func New(t client.Transport, informers *client.Informers, cfg control.Config) *Controller {
	c := &Controller{
		cfg:     cfg.WithDefaults("localpath"),
		claims:  client.InformerFor[*corev1.PersistentVolumeClaim](informers),
		volumes: client.InformerFor[*corev1.PersistentVolume](informers),
		classes: client.InformerFor[*storagev1.StorageClass](informers),
		nodes:   client.InformerFor[*corev1.Node](informers),
		claim:   client.Of[*corev1.PersistentVolumeClaim](t),
		volume:  client.Of[*corev1.PersistentVolume](t),
		node:    client.Of[*corev1.Node](t),
	}
	c.loop = reconcile.New("localpath", c, c.cfg.Loop(2))
	c.volumes.Index(volumesByNode, func(v *corev1.PersistentVolume) []string {
		if !claims.IsLocalPath(v) {
			return nil
		}
		return []string{v.Labels[claims.LocalPathNode]}
	})
	c.claims.Index(claimsByNode, func(claim *corev1.PersistentVolumeClaim) []string {
		if claim.Spec.VolumeName != "" || claim.Annotations[claims.SelectedNode] == "" {
			return nil
		}
		return []string{claim.Annotations[claims.SelectedNode]}
	})
	reconcile.Watch(c.loop, c.claims, func(old, claim *corev1.PersistentVolumeClaim) []reconcile.Key {
		if claim == nil {
			return nil
		}
		return reconcile.KeyOf(old, claim)
	})
	reconcile.Watch(c.loop, c.volumes, keysOfVolume)
	reconcile.Watch(c.loop, c.nodes, c.keysOfNode)
	return c
}

// Run reconciles until ctx ends.
func (c *Controller) Run(ctx context.Context) error { return c.loop.Run(ctx) }

// keysOfVolume looks at a volume, and at its claim, which may have to be told that it grew or to
// be given another.
func keysOfVolume(old, v *corev1.PersistentVolume) []reconcile.Key {
	one := v
	if v == nil {
		one = old
	}
	if !claims.IsLocalPath(one) {
		return nil
	}
	keys := []reconcile.Key{{Name: one.Name}}
	if ref := one.Spec.ClaimRef; ref != nil {
		keys = append(keys, reconcile.Key{Namespace: ref.Namespace, Name: ref.Name})
	}
	return keys
}

// keysOfNode looks at what is, or is to be, on a node that came, went, or says where its
// volumes are.
func (c *Controller) keysOfNode(old, n *corev1.Node) []reconcile.Key {
	if old != nil && n != nil && old.Annotations[claims.LocalPathRoot] == n.Annotations[claims.LocalPathRoot] {
		return nil
	}
	one := n
	if n == nil {
		one = old
	}
	var keys []reconcile.Key
	for _, v := range c.volumes.ByIndex(volumesByNode, one.Name) {
		keys = append(keys, reconcile.Key{Name: v.Name})
	}
	for _, claim := range c.claims.ByIndex(claimsByNode, one.Name) {
		keys = append(keys, reconcile.Key{Namespace: claim.Namespace, Name: claim.Name})
	}
	return keys
}

// Reconcile brings one claim or one volume a step on.
func (c *Controller) Reconcile(ctx context.Context, key reconcile.Key) (reconcile.Result, error) {
	if key.Namespace == "" {
		return reconcile.Result{}, c.reconcileVolume(ctx, key.Name)
	}
	claim, ok := c.claims.Get(key.Namespace, key.Name)
	if !ok {
		return reconcile.Result{}, nil
	}
	view, err := c.viewOf(ctx, claim)
	if err != nil {
		return reconcile.Result{}, err
	}
	plan := decideClaim(view)
	if plan.Refusal != "" {
		c.cfg.Eventf(claim, corev1.EventTypeWarning, "ProvisioningFailed", "failed to provision volume with StorageClass %q: %s", claims.ClassOf(claim), plan.Refusal)
	}
	if plan.Create == nil && !plan.Reschedule && !plan.Grow {
		return reconcile.Result{}, nil
	}
	return reconcile.Result{}, c.cfg.Apply("localpath", claim, nil, plan, func() error { return c.apply(ctx, view, plan) })
}

func (c *Controller) viewOf(ctx context.Context, claim *corev1.PersistentVolumeClaim) (claimView, error) {
	o := claimView{Claim: claim}
	if sc, ok := c.classes.Get("", claims.ClassOf(claim)); ok {
		o.Class = sc
	}
	name := claim.Spec.VolumeName
	if name == "" {
		name = nameFor(claim)
	}
	if v, ok := c.volumes.Get("", name); ok {
		o.Volume = v
	}
	if node := claim.Annotations[claims.SelectedNode]; node != "" && claim.Spec.VolumeName == "" {
		n, err := c.nodeNamed(ctx, node)
		if err != nil {
			return o, err
		}
		o.Node = n
	}
	return o, nil
}

// nodeNamed returns a node, nil if it is confirmed that there is none.
func (c *Controller) nodeNamed(ctx context.Context, name string) (*corev1.Node, error) {
	if n, ok := c.nodes.Get("", name); ok {
		return n, nil
	}
	n, err := c.node.Get(ctx, "", name)
	if apierrors.IsNotFound(err) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("confirming that node %q is gone: %w", name, err)
	}
	return n, nil
}

func (c *Controller) apply(ctx context.Context, o claimView, p ClaimPlan) error {
	switch {
	case p.Create != nil:
		_, err := c.volume.Create(ctx, p.Create)
		if apierrors.IsAlreadyExists(err) {
			return nil
		} else if err != nil {
			c.cfg.Eventf(o.Claim, corev1.EventTypeWarning, "ProvisioningFailed", "failed to create volume %s: %v", p.Create.Name, err)
			return fmt.Errorf("creating the volume: %w", err)
		}
		c.cfg.Eventf(o.Claim, corev1.EventTypeNormal, "ProvisioningSucceeded", "Successfully provisioned volume %s", p.Create.Name)
	case p.Reschedule:
		claim := o.Claim.DeepCopy()
		delete(claim.Annotations, claims.SelectedNode)
		if _, err := c.claim.Update(ctx, claim); err != nil {
			return control.IgnoreGone(fmt.Errorf("giving the choice of the node back: %w", err))
		}
	case p.Grow:
		return c.grow(ctx, o)
	}
	return nil
}

// grow writes the new size into the volume, then into the claim.
func (c *Controller) grow(ctx context.Context, o claimView) error {
	v, claim := o.Volume, o.Claim.DeepCopy()
	if want := claims.Request(claim); want.Cmp(*claims.Size(v)) > 0 {
		larger := v.DeepCopy()
		larger.Spec.Capacity = corev1.ResourceList{corev1.ResourceStorage: want}
		var err error
		if v, err = c.volume.Update(ctx, larger); err != nil {
			return control.IgnoreGone(fmt.Errorf("growing the volume: %w", err))
		}
	}
	claim.Status.Capacity = corev1.ResourceList{corev1.ResourceStorage: claims.Size(v).DeepCopy()}
	claim.Status.Conditions = slices.DeleteFunc(claim.Status.Conditions, func(cond corev1.PersistentVolumeClaimCondition) bool {
		return cond.Type == corev1.PersistentVolumeClaimResizing || cond.Type == corev1.PersistentVolumeClaimFileSystemResizePending
	})
	if _, err := c.claim.UpdateStatus(ctx, claim); err != nil {
		return control.IgnoreGone(fmt.Errorf("writing the claim's capacity: %w", err))
	}
	c.cfg.Eventf(o.Claim, corev1.EventTypeNormal, "VolumeResizeSuccessful", "Resize volume succeeded")
	return nil
}

func (c *Controller) reconcileVolume(ctx context.Context, name string) error {
	v, ok := c.volumes.Get("", name)
	if !ok || !claims.IsLocalPath(v) {
		return nil
	}
	exists := true
	if v.DeletionTimestamp != nil {
		n, err := c.nodeNamed(ctx, v.Labels[claims.LocalPathNode])
		if err != nil {
			return err
		}
		exists = n != nil
	}
	plan := decideVolume(v, exists)
	if plan == nothing {
		return nil
	}
	return c.cfg.Apply("localpath", v, nil, plan, func() error {
		if plan == remove {
			err := c.volume.Delete(ctx, "", v.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &v.UID, ResourceVersion: &v.ResourceVersion}})
			return control.IgnoreGone(err)
		}
		free := v.DeepCopy()
		free.Finalizers = slices.DeleteFunc(free.Finalizers, func(f string) bool { return f == claims.LocalPath })
		_, err := c.volume.Update(ctx, free)
		return control.IgnoreGone(err)
	})
}
