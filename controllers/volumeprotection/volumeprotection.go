// Package volumeprotection keeps claims that pods use, and volumes that are bound, from being
// deleted under their users: both carry a finalizer, which it takes off when nobody is left. It
// deletes nothing itself.
package volumeprotection

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/claims"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/reconcile"
)

const usersOfClaim = "users-of-claim" // index of pods

// Controller reconciles claims, and volumes: keys without a namespace are volumes.
type Controller struct {
	cfg     control.Config
	claims  *client.Informer[*corev1.PersistentVolumeClaim]
	volumes *client.Informer[*corev1.PersistentVolume]
	pods    *client.Informer[*corev1.Pod]
	claim   client.Client[*corev1.PersistentVolumeClaim]
	volume  client.Client[*corev1.PersistentVolume]
	pod     client.Client[*corev1.Pod]
	loop    *reconcile.Loop
}

// New wires the controller; Run starts it.
func New(t client.Transport, informers *client.Informers, cfg control.Config) *Controller {
	c := &Controller{
		cfg:     cfg.WithDefaults("volumeprotection"),
		claims:  client.InformerFor[*corev1.PersistentVolumeClaim](informers),
		volumes: client.InformerFor[*corev1.PersistentVolume](informers),
		pods:    client.InformerFor[*corev1.Pod](informers),
		claim:   client.Of[*corev1.PersistentVolumeClaim](t),
		volume:  client.Of[*corev1.PersistentVolume](t),
		pod:     client.Of[*corev1.Pod](t),
	}
	c.loop = reconcile.New("volumeprotection", c, c.cfg.Loop(2))
	c.pods.Index(usersOfClaim, func(p *corev1.Pod) []string {
		if p.Spec.NodeName == "" {
			return nil
		}
		return claims.Keys(p)
	})
	reconcile.Watch(c.loop, c.claims, reconcile.KeyOf)
	reconcile.Watch(c.loop, c.volumes, reconcile.KeyOf)
	reconcile.Watch(c.loop, c.pods, c.keysOfPod)
	return c
}

// Run reconciles until ctx ends.
func (c *Controller) Run(ctx context.Context) error { return c.loop.Run(ctx) }

// keysOfPod looks at the claims of a pod that is gone.
func (c *Controller) keysOfPod(old, p *corev1.Pod) []reconcile.Key {
	if p != nil {
		return nil
	}
	var keys []reconcile.Key
	for _, name := range claims.Names(old) {
		if claim, ok := c.claims.Get(old.Namespace, name); ok && claim.DeletionTimestamp != nil {
			keys = append(keys, reconcile.Key{Namespace: old.Namespace, Name: name})
		}
	}
	return keys
}

// Reconcile adds the finalizer to what lacks it, or takes it off.
func (c *Controller) Reconcile(ctx context.Context, key reconcile.Key) (reconcile.Result, error) {
	if key.Namespace == "" {
		v, ok := c.volumes.Get("", key.Name)
		if !ok {
			return reconcile.Result{}, nil
		}
		return reconcile.Result{}, keep(ctx, c, c.volume, v, claims.VolumeProtection, func() (string, error) {
			if v.Status.Phase == corev1.VolumeBound {
				return "it is bound", nil
			}
			return "", nil
		})
	}
	claim, ok := c.claims.Get(key.Namespace, key.Name)
	if !ok {
		return reconcile.Result{}, nil
	}
	return reconcile.Result{}, keep(ctx, c, c.claim, claim, claims.ClaimProtection, func() (string, error) { return c.userOf(ctx, claim) })
}

// userOf says which pod uses a claim; empty if none does, which is confirmed.
func (c *Controller) userOf(ctx context.Context, claim *corev1.PersistentVolumeClaim) (string, error) {
	key := claim.Namespace + "/" + claim.Name
	if users := c.pods.ByIndex(usersOfClaim, key); len(users) > 0 {
		return "pod " + users[0].Name, nil
	}
	pods, _, err := c.pod.List(ctx, claim.Namespace, metav1.ListOptions{})
	if err != nil {
		return "", fmt.Errorf("confirming that no pod uses the claim: %w", err)
	}
	for _, p := range pods {
		if p.Spec.NodeName != "" && slices.Contains(claims.Names(p), claim.Name) {
			return "pod " + p.Name, nil
		}
	}
	return "", nil
}

// Plan is what is to be done about one finalizer.
type Plan string

// String prints the plan.
func (p Plan) String() string { return string(p) }

const (
	nothing Plan = "nothing"
	protect Plan = "protect"
	release Plan = "let go"
)

// decide protects what is not being deleted, and lets go what is and has no user.
func decide(deleting, protected, used bool) Plan {
	switch {
	case !deleting && !protected:
		return protect
	case deleting && protected && !used:
		return release
	}
	return nothing
}

func keep[T api.Object](ctx context.Context, c *Controller, to client.Client[T], obj T, finalizer string, user func() (string, error)) error {
	deleting, protected := obj.GetDeletionTimestamp() != nil, slices.Contains(obj.GetFinalizers(), finalizer)
	by := ""
	if deleting && protected {
		var err error
		if by, err = user(); err != nil {
			return err
		}
	}
	plan := decide(deleting, protected, by != "")
	if plan == nothing {
		return nil
	}
	return c.cfg.Apply("volumeprotection", obj, nil, plan, func() error {
		changed := obj.DeepCopyObject().(T)
		if plan == protect {
			changed.SetFinalizers(append(changed.GetFinalizers(), finalizer))
		} else {
			changed.SetFinalizers(slices.DeleteFunc(changed.GetFinalizers(), func(f string) bool { return f == finalizer }))
		}
		if _, err := to.Update(ctx, changed); err != nil {
			return control.IgnoreGone(fmt.Errorf("writing the finalizers: %w", err))
		}
		return nil
	})
}
