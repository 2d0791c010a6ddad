// Package serviceaccount gives every namespace its "default" ServiceAccount, which pods
// run as that name no other.
package serviceaccount

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/reconcile"
)

const defaultName = "default"

// Controller reconciles namespaces.
type Controller struct {
	cfg        control.Config
	namespaces *client.Informer[*corev1.Namespace]
	accounts   *client.Informer[*corev1.ServiceAccount]
	account    client.Client[*corev1.ServiceAccount]
	loop       *reconcile.Loop
}

// New wires the controller; Run starts it.
func New(t client.Transport, informers *client.Informers, cfg control.Config) *Controller {
	c := &Controller{
		cfg:        cfg.WithDefaults("serviceaccount"),
		namespaces: client.InformerFor[*corev1.Namespace](informers),
		accounts:   client.InformerFor[*corev1.ServiceAccount](informers),
		account:    client.Of[*corev1.ServiceAccount](t),
	}
	c.loop = reconcile.New("serviceaccount", c, c.cfg.Loop(1))
	reconcile.Watch(c.loop, c.namespaces, reconcile.KeyOf)
	reconcile.Watch(c.loop, c.accounts, func(old, a *corev1.ServiceAccount) []reconcile.Key {
		if a != nil || old.Name != defaultName {
			return nil
		}
		return []reconcile.Key{{Name: old.Namespace}}
	})
	return c
}

// Run reconciles until ctx ends.
func (c *Controller) Run(ctx context.Context) error { return c.loop.Run(ctx) }

// Reconcile creates a namespace's default account if it has none.
func (c *Controller) Reconcile(ctx context.Context, key reconcile.Key) (reconcile.Result, error) {
	ns, _ := c.namespaces.Get("", key.Name)
	_, have := c.accounts.Get(key.Name, defaultName)
	plan := decide(ns, have)
	if plan == nothing {
		return reconcile.Result{}, nil
	}
	return reconcile.Result{}, c.cfg.Apply("serviceaccount", ns, nil, plan, func() error {
		_, err := c.account.Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: ns.Name, Name: defaultName}})
		if err != nil && !apierrors.IsAlreadyExists(err) && !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
			return fmt.Errorf("creating the default account: %w", err)
		}
		return nil
	})
}
