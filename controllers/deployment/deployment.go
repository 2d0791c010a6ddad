// Package deployment rolls templates out: it gives every template of a Deployment a
// ReplicaSet of its own and moves pods from old sets to the newest one, within the bounds
// the Deployment sets, keeping history for rolling back. It never touches pods.
package deployment

import (
	"context"
	"errors"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/controllers/brake"
	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/controllers/ownership"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/reconcile"
)

// Controller reconciles Deployments.
type Controller struct {
	cfg         control.Config
	deployments *client.Informer[*appsv1.Deployment]
	sets        *client.Informer[*appsv1.ReplicaSet]
	services    *client.Informer[*corev1.Service]
	deployment  client.Client[*appsv1.Deployment]
	set         client.Client[*appsv1.ReplicaSet]
	service     client.Client[*corev1.Service]
	claimer     ownership.Claimer[*appsv1.Deployment, *appsv1.ReplicaSet]
	loop        *reconcile.Loop
}

// New wires the controller; Run starts it.
func New(t client.Transport, informers *client.Informers, cfg control.Config) *Controller {
	c := &Controller{
		cfg:         cfg.WithDefaults("deployment"),
		deployments: client.InformerFor[*appsv1.Deployment](informers),
		sets:        client.InformerFor[*appsv1.ReplicaSet](informers),
		services:    client.InformerFor[*corev1.Service](informers),
		deployment:  client.Of[*appsv1.Deployment](t),
		set:         client.Of[*appsv1.ReplicaSet](t),
		service:     client.Of[*corev1.Service](t),
	}
	c.claimer = ownership.Claimer[*appsv1.Deployment, *appsv1.ReplicaSet]{Kind: kind, Owners: c.deployment, Children: c.set}
	c.loop = reconcile.New("deployment", c, c.cfg.Loop(4))
	ownership.Index(c.sets)
	reconcile.Watch(c.loop, c.deployments, reconcile.KeyOf)
	reconcile.Watch(c.loop, c.sets, ownership.Concern[*appsv1.ReplicaSet]{Kind: kind, Adopters: c.adopters}.Keys)
	return c
}

// Run reconciles until ctx ends.
func (c *Controller) Run(ctx context.Context) error { return c.loop.Run(ctx) }

// Reconcile takes one step of one Deployment's rollout. Every write to a ReplicaSet is
// fenced by its resourceVersion and new sets have names that follow from their template,
// so a stale view loses a conflict.
func (c *Controller) Reconcile(ctx context.Context, key reconcile.Key) (reconcile.Result, error) {
	d, ok := c.deployments.Get(key.Namespace, key.Name)
	if !ok {
		return reconcile.Result{}, nil
	}
	sets, err := c.claimer.Claim(ctx, d, d.Spec.Selector, ownership.Candidates(c.sets, d))
	if err != nil {
		return reconcile.Result{}, err
	}
	o := observed{Deployment: d, Sets: sets, Routes: c.leads(d), Now: c.cfg.Clock.Now()}
	plan := decide(o)
	if lost, had := plan.lost(sets); brake.Default.Trips(lost, had) {
		if o, err = c.confirm(ctx, o); err != nil {
			return reconcile.Result{}, control.IgnoreGone(err)
		}
		plan = decide(o)
		if still, _ := plan.lost(o.Sets); still < lost {
			c.cfg.HeldBack(o.Deployment, lost, had, "replicas", plan)
		}
	}
	result, stored, err := c.apply(ctx, o, plan)
	result.stage = plan.Stage
	if apierrors.IsConflict(err) { // the view is stale: a status made from it would be too
		return reconcile.Result{}, err
	}
	status, recheck := newStatus(o, result)
	if plan.Recheck > 0 && (recheck == 0 || plan.Recheck < recheck) {
		recheck = plan.Recheck
	}
	return reconcile.Result{After: recheck}, errors.Join(err, c.writeStatus(ctx, stored, status))
}

// confirm reads what is decided from live, since most of the pods would go.
func (c *Controller) confirm(ctx context.Context, o observed) (observed, error) {
	live, err := c.deployment.Get(ctx, o.Deployment.Namespace, o.Deployment.Name)
	if err != nil {
		return o, err
	}
	if live.UID != o.Deployment.UID {
		return o, fmt.Errorf("reading the deployment: the view has an older one of its name")
	}
	all, _, err := c.set.List(ctx, live.Namespace, metav1.ListOptions{LabelSelector: metav1.FormatLabelSelector(live.Spec.Selector)})
	if err != nil {
		return o, fmt.Errorf("confirming which replica sets there are: %w", err)
	}
	o.Deployment, o.Sets = live, slices.DeleteFunc(all, func(rs *appsv1.ReplicaSet) bool { return !metav1.IsControlledBy(rs, live) })
	return o, nil
}

// writeStatus stores the status if it changed.
func (c *Controller) writeStatus(ctx context.Context, d *appsv1.Deployment, status appsv1.DeploymentStatus) error {
	return control.WriteStatus(ctx, c.deployment, d, d.Status, status, func(changed *appsv1.Deployment) { changed.Status = status })
}

// adopters returns the Deployments that would adopt an orphaned set.
func (c *Controller) adopters(rs *appsv1.ReplicaSet) []reconcile.Key {
	return ownership.Adopters(c.deployments.List(rs.Namespace, nil), func(d *appsv1.Deployment) *metav1.LabelSelector { return d.Spec.Selector }, rs)
}
