// Package rootca publishes the cluster's CA bundle in every namespace, so that pods can
// verify the API server. It owns the ConfigMaps named kube-root-ca.crt.
package rootca

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/reconcile"
)

// Controller reconciles namespaces.
type Controller struct {
	cfg        control.Config
	bundle     string
	namespaces *client.Informer[*corev1.Namespace]
	maps       *client.Informer[*corev1.ConfigMap]
	configmap  client.Client[*corev1.ConfigMap]
	loop       *reconcile.Loop
}

// New wires the controller that publishes the PEM bundle; Run starts it.
func New(t client.Transport, informers *client.Informers, bundle []byte, cfg control.Config) *Controller {
	c := &Controller{
		cfg:        cfg.WithDefaults("rootca"),
		bundle:     string(bundle),
		namespaces: client.InformerFor[*corev1.Namespace](informers),
		maps:       client.InformerFor[*corev1.ConfigMap](informers),
		configmap:  client.Of[*corev1.ConfigMap](t),
	}
	c.loop = reconcile.New("rootca", c, c.cfg.Loop(1))
	reconcile.Watch(c.loop, c.namespaces, reconcile.KeyOf)
	reconcile.Watch(c.loop, c.maps, func(old, m *corev1.ConfigMap) []reconcile.Key {
		if m == nil {
			m = old
		}
		if m.Name != Name {
			return nil
		}
		return []reconcile.Key{{Name: m.Namespace}}
	})
	return c
}

// Run reconciles until ctx ends.
func (c *Controller) Run(ctx context.Context) error { return c.loop.Run(ctx) }

// Reconcile publishes the bundle in one namespace.
func (c *Controller) Reconcile(ctx context.Context, key reconcile.Key) (reconcile.Result, error) {
	ns, _ := c.namespaces.Get("", key.Name)
	have, _ := c.maps.Get(key.Name, Name)
	plan := decide(ns, have, c.bundle)
	if plan.Create == nil && plan.Update == nil {
		return reconcile.Result{}, nil
	}
	return reconcile.Result{}, c.cfg.Apply("rootca", ns, nil, plan, func() error {
		var err error
		if plan.Create != nil {
			_, err = c.configmap.Create(ctx, plan.Create)
		} else {
			_, err = c.configmap.Update(ctx, plan.Update)
		}
		if err != nil && !apierrors.IsAlreadyExists(err) && !apierrors.IsNotFound(err) && !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
			return fmt.Errorf("publishing the CA bundle: %w", err)
		}
		return nil
	})
}
