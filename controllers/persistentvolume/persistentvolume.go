// Package persistentvolume binds claims to volumes: it chooses a volume that has what a claim
// asks for, keeps both sides of a binding and their phases, asks provisioners for volumes that
// are not there, and releases volumes whose claims are gone. It makes and removes no
// storage, and mounts none; where pods run, the scheduler decides.
//
// A binding is four writes: the volume's spec, its status, the claim's spec, its status. Each
// is fenced by the version it was decided from, and every reconcile goes on from wherever the
// last one was stopped; until the first write is made nothing has happened, and from then on
// the volume belongs to the claim.
package persistentvolume

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/reconcile"
)

// Controller reconciles claims, and volumes: keys without a namespace are volumes.
type Controller struct {
	cfg     control.Config
	claims  *client.Informer[*corev1.PersistentVolumeClaim]
	volumes *client.Informer[*corev1.PersistentVolume]
	classes *client.Informer[*storagev1.StorageClass]
	pods    *client.Informer[*corev1.Pod]
	claim   client.Client[*corev1.PersistentVolumeClaim]
	volume  client.Client[*corev1.PersistentVolume]
	loop    *reconcile.Loop

	mu    sync.Mutex
	taken map[string]types.UID // guarded by mu: volumes given away that the view still calls free
}

// New wires the controller; Run starts it.
func New(t client.Transport, informers *client.Informers, cfg control.Config) *Controller {
	c := &Controller{
		cfg:     cfg.WithDefaults("persistentvolume"),
		claims:  client.InformerFor[*corev1.PersistentVolumeClaim](informers),
		volumes: client.InformerFor[*corev1.PersistentVolume](informers),
		classes: client.InformerFor[*storagev1.StorageClass](informers),
		pods:    client.InformerFor[*corev1.Pod](informers),
		claim:   client.Of[*corev1.PersistentVolumeClaim](t),
		volume:  client.Of[*corev1.PersistentVolume](t),
		taken:   map[string]types.UID{},
	}
	c.loop = reconcile.New("persistentvolume", c, c.cfg.Loop(4))
	c.index()
	reconcile.Watch(c.loop, c.claims, c.keysOfClaim)
	reconcile.Watch(c.loop, c.volumes, c.keysOfVolume)
	reconcile.Watch(c.loop, c.classes, c.keysOfClass)
	reconcile.Watch(c.loop, c.pods, keysOfPod)
	return c
}

// Run reconciles until ctx ends.
func (c *Controller) Run(ctx context.Context) error { return c.loop.Run(ctx) }

// Reconcile brings one claim or one volume a step on.
func (c *Controller) Reconcile(ctx context.Context, key reconcile.Key) (reconcile.Result, error) {
	if key.Namespace == "" {
		return reconcile.Result{}, c.reconcileVolume(ctx, key.Name)
	}
	return reconcile.Result{}, c.reconcileClaim(ctx, key)
}

func (c *Controller) reconcileClaim(ctx context.Context, key reconcile.Key) error {
	claim, ok := c.claims.Get(key.Namespace, key.Name)
	if !ok {
		return nil
	}
	view := c.viewOf(claim)
	plan := decideClaim(view)
	if plan.Phase == corev1.ClaimLost && claim.Status.Phase != corev1.ClaimLost && claim.Spec.VolumeName != "" {
		// Nobody is told that data is lost on the word of a cache.
		v, err := c.volume.Get(ctx, "", claim.Spec.VolumeName)
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("confirming that volume %q is gone: %w", claim.Spec.VolumeName, err)
		} else if err == nil {
			view.Named = v
			plan = decideClaim(view)
		}
	}
	if plan.Event != nil {
		c.cfg.Eventf(claim, plan.Event.Type, plan.Event.Reason, "%s", plan.Event.Message)
	}
	if done(claim, plan) {
		return nil
	}
	return c.cfg.Apply("persistentvolume", claim, nil, plan, func() error { return c.applyClaim(ctx, claim, plan) })
}

func (c *Controller) reconcileVolume(ctx context.Context, name string) error {
	v, ok := c.volumes.Get("", name)
	if !ok {
		return nil
	}
	view := volumeView{Volume: v}
	if ref := v.Spec.ClaimRef; ref != nil {
		found, err := c.claimOf(ctx, ref)
		if err != nil {
			return err
		}
		view.Claim = found
	}
	plan := decideVolume(view)
	if plan.Wake {
		c.loop.Enqueue(reconcile.Key{Namespace: v.Spec.ClaimRef.Namespace, Name: v.Spec.ClaimRef.Name})
	}
	if plan.Event != nil && (plan.Phase != v.Status.Phase || plan.Phase != corev1.VolumeFailed) {
		c.cfg.Eventf(v, plan.Event.Type, plan.Event.Reason, "%s", plan.Event.Message)
	}
	if plan.Phase == v.Status.Phase && !plan.Unbind {
		return nil
	}
	return c.cfg.Apply("persistentvolume", v, nil, plan, func() error { return c.applyVolume(ctx, v, plan) })
}

// claimOf returns the claim that a volume points at, nil if there is none. That it is gone is
// confirmed: what is released may be deleted.
func (c *Controller) claimOf(ctx context.Context, ref *corev1.ObjectReference) (*corev1.PersistentVolumeClaim, error) {
	fits := func(claim *corev1.PersistentVolumeClaim) bool { return ref.UID == "" || ref.UID == claim.UID }
	if claim, ok := c.claims.Get(ref.Namespace, ref.Name); ok && fits(claim) {
		return claim, nil
	}
	if ref.UID == "" {
		return nil, nil
	}
	claim, err := c.claim.Get(ctx, ref.Namespace, ref.Name)
	switch {
	case apierrors.IsNotFound(err) || err == nil && !fits(claim):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("confirming that claim %s/%s is gone: %w", ref.Namespace, ref.Name, err)
	}
	return claim, nil
}
