// Package ephemeralvolume makes the claims behind generic ephemeral volumes: one for each such volume
// of a pod, named after both and owned by the pod, with which it goes.
package ephemeralvolume

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/claims"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/reconcile"
)

const podsOfClaim = "pods-of-ephemeral-claim" // index of pods

var kind = corev1.SchemeGroupVersion.WithKind("Pod")

// Controller reconciles pods.
type Controller struct {
	cfg    control.Config
	pods   *client.Informer[*corev1.Pod]
	claims *client.Informer[*corev1.PersistentVolumeClaim]
	claim  client.Client[*corev1.PersistentVolumeClaim]
	loop   *reconcile.Loop
}

// New wires the controller; Run starts it.
func New(t client.Transport, informers *client.Informers, cfg control.Config) *Controller {
	c := &Controller{
		cfg:    cfg.WithDefaults("ephemeralvolume"),
		pods:   client.InformerFor[*corev1.Pod](informers),
		claims: client.InformerFor[*corev1.PersistentVolumeClaim](informers),
		claim:  client.Of[*corev1.PersistentVolumeClaim](t),
	}
	c.loop = reconcile.New("ephemeralvolume", c, c.cfg.Loop(2))
	c.pods.Index(podsOfClaim, func(p *corev1.Pod) []string {
		var keys []string
		for i := range p.Spec.Volumes {
			if name, ephemeral := claims.NameFor(p, &p.Spec.Volumes[i]); ephemeral {
				keys = append(keys, p.Namespace+"/"+name)
			}
		}
		return keys
	})
	reconcile.Watch(c.loop, c.pods, func(old, p *corev1.Pod) []reconcile.Key {
		if p == nil || old != nil {
			return nil // volumes never change
		}
		return reconcile.KeyOf(old, p)
	})
	reconcile.Watch(c.loop, c.claims, func(old, claim *corev1.PersistentVolumeClaim) []reconcile.Key {
		if claim != nil {
			return nil
		}
		var keys []reconcile.Key // a claim that is gone under a living pod is made again
		for _, p := range c.pods.ByIndex(podsOfClaim, old.Namespace+"/"+old.Name) {
			keys = append(keys, reconcile.Key{Namespace: p.Namespace, Name: p.Name})
		}
		return keys
	})
	return c
}

// Run reconciles until ctx ends.
func (c *Controller) Run(ctx context.Context) error { return c.loop.Run(ctx) }

// Reconcile makes the claims that a pod lacks.
func (c *Controller) Reconcile(ctx context.Context, key reconcile.Key) (reconcile.Result, error) {
	pod, ok := c.pods.Get(key.Namespace, key.Name)
	if !ok {
		return reconcile.Result{}, nil
	}
	plan := decide(pod, func(name string) *corev1.PersistentVolumeClaim {
		claim, _ := c.claims.Get(pod.Namespace, name)
		return claim
	})
	for _, name := range plan.Foreign {
		c.cfg.Eventf(pod, corev1.EventTypeWarning, "EphemeralVolumeFailed", "PVC %s/%s was not created for pod %s/%s (pod is not owner)", pod.Namespace, name, pod.Namespace, pod.Name)
	}
	if len(plan.Create) == 0 {
		return reconcile.Result{}, nil
	}
	return reconcile.Result{}, c.cfg.Apply("ephemeralvolume", pod, nil, plan, func() error { return c.create(ctx, pod, plan.Create) })
}

func (c *Controller) create(ctx context.Context, pod *corev1.Pod, all []*corev1.PersistentVolumeClaim) error {
	var errs []error
	for _, claim := range all {
		_, err := c.claim.Create(ctx, claim)
		switch {
		case err == nil || apierrors.IsAlreadyExists(err) || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		default:
			c.cfg.Eventf(pod, corev1.EventTypeWarning, "EphemeralVolumeFailed", "create PVC %s: %v", claim.Name, err)
			errs = append(errs, fmt.Errorf("creating claim %q: %w", claim.Name, err))
		}
	}
	return errors.Join(errs...)
}

// Plan is what is to be done for one pod.
type Plan struct {
	Create  []*corev1.PersistentVolumeClaim
	Foreign []string // claims that have the right name and belong to somebody else
}

// String prints the plan.
func (p Plan) String() string {
	var names []string
	for _, c := range p.Create {
		names = append(names, c.Name)
	}
	return "create " + strings.Join(names, ", ")
}

// decide says which claims a pod lacks. A pod that has ended or is going gets none.
func decide(pod *corev1.Pod, claimNamed func(string) *corev1.PersistentVolumeClaim) Plan {
	var plan Plan
	if pod.DeletionTimestamp != nil || api.IsPodTerminal(pod) {
		return plan
	}
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		name, ephemeral := claims.NameFor(pod, v)
		if !ephemeral || v.Ephemeral.VolumeClaimTemplate == nil {
			continue
		}
		switch have := claimNamed(name); {
		case have == nil:
			t := v.Ephemeral.VolumeClaimTemplate
			plan.Create = append(plan.Create, &corev1.PersistentVolumeClaim{
				ObjectMeta: metav1.ObjectMeta{
					Namespace: pod.Namespace, Name: name, Labels: t.Labels, Annotations: t.Annotations,
					OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(pod, kind)},
				},
				Spec: *t.Spec.DeepCopy(),
			})
		case !claims.MadeFor(have, pod):
			plan.Foreign = append(plan.Foreign, name)
		}
	}
	return plan
}
