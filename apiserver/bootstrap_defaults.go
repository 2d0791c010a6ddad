package apiserver

import (
	"context"

	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/apiserver/registry/flowcontrol"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
)

// This file makes the objects that every cluster has and that nothing waits for.

// defaultServiceCIDR is the name of the range that the cluster was made with.
const defaultServiceCIDR = "kubernetes"

// keepDefaults makes them once the server is ready, and again when somebody deleted them.
func (s *Server) keepDefaults(ctx context.Context) error {
	select {
	case <-s.ready:
	case <-ctx.Done():
		return nil
	}
	ticker := s.cfg.Clock.NewTicker(bootstrapResync)
	defer ticker.Stop()
	for {
		if err := s.ensureDefaults(ctx); err != nil && ctx.Err() == nil {
			s.cfg.Logger.Error("cannot make the cluster's default objects", "error", err)
		}
		select {
		case <-ticker.C():
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *Server) ensureDefaults(ctx context.Context) error {
	t := s.Client(auth.Component(auth.UserAPIServer))
	if err := s.ensure(ctx, "servicecidrs.networking.k8s.io", defaultServiceCIDR, s.ensureServiceCIDR(t)); err != nil {
		return err
	}
	for _, level := range flowcontrol.Levels() {
		if err := s.ensure(ctx, "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io", level.Name, ensureExists(s, t, level)); err != nil {
			return err
		}
	}
	for _, schema := range flowcontrol.Schemas() {
		if err := s.ensure(ctx, "flowschemas.flowcontrol.apiserver.k8s.io", schema.Name, ensureExists(s, t, schema)); err != nil {
			return err
		}
	}
	return nil
}

// ensureExists makes a cluster-wide object that is not there. One that is there is left as it is: its
// kind's validation says what may be changed of it.
func ensureExists[T api.Object](s *Server, t client.Transport, want T) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		_, err := s.registry.Get(ctx, api.ResourceFor[T]().GVR(), "", want.GetName())
		if !apierrors.IsNotFound(err) {
			return "", err
		}
		_, err = client.Of[T](t).Create(ctx, want)
		return "create", err
	}
}

// ensureServiceCIDR shows the range of cluster IPs that the server was started with. It is ready from
// the start: Services got addresses from it before there was this object.
func (s *Server) ensureServiceCIDR(t client.Transport) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		c := client.Of[*networkingv1.ServiceCIDR](t)
		have, err := c.Get(ctx, "", defaultServiceCIDR)
		plan := ""
		if apierrors.IsNotFound(err) {
			plan = "create"
			have, err = c.Create(ctx, &networkingv1.ServiceCIDR{
				ObjectMeta: metav1.ObjectMeta{Name: defaultServiceCIDR},
				Spec:       networkingv1.ServiceCIDRSpec{CIDRs: []string{s.cfg.ServiceCIDR.Masked().String()}},
			})
		}
		if err != nil || have.DeletionTimestamp != nil || meta.FindStatusCondition(have.Status.Conditions, networkingv1.ServiceCIDRConditionReady) != nil {
			return plan, err
		}
		next := have.DeepCopy()
		meta.SetStatusCondition(&next.Status.Conditions, metav1.Condition{
			Type: networkingv1.ServiceCIDRConditionReady, Status: metav1.ConditionTrue, Reason: "Ready",
			Message: "Kubernetes default Service CIDR is ready", LastTransitionTime: metav1.NewTime(s.cfg.Clock.Now()),
		})
		_, err = c.UpdateStatus(ctx, next)
		return plan + " ready", err
	}
}

// namespaced tells whether an owned object is one of those in the namespace default.
func namespaced(resource string) bool {
	switch resource {
	case "services", "endpoints", "endpointslices.discovery.k8s.io":
		return true
	}
	return false
}
