package apiserver

//lint:file-ignore SA1019 clients still read Endpoints, and look for the kubernetes Service there.

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"

	"golang.org/x/sync/errgroup"

	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/apiserver/registry/scheduling"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/decision"
)

const (
	// bootstrapResync is how often the cluster's own objects are looked after.
	bootstrapResync = 30 * time.Second
	bootstrapRetry  = time.Second

	kubernetesService = "kubernetes"
	httpsPort         = 443
)

// systemNamespaces exist in every cluster.
var systemNamespaces = []string{metav1.NamespaceDefault, metav1.NamespaceSystem, metav1.NamespacePublic, corev1.NamespaceNodeLease}

// bootstrap makes the objects that the API server itself owns, declares the server ready,
// and then keeps those objects as they should be: it looks again when one of them changes,
// and now and then in any case.
func (s *Server) bootstrap(ctx context.Context) error {
	select {
	case <-s.registry.Ready():
	case <-ctx.Done():
		return nil
	}
	changed := make(chan struct{}, 1)
	g, ctx := errgroup.WithContext(ctx)
	for _, gvr := range ownedResources {
		g.Go(func() error { return s.notice(ctx, gvr, changed) })
	}
	g.Go(func() error { return s.keepObjects(ctx, changed) })
	g.Go(func() error { return s.keepDefaults(ctx) })
	return g.Wait()
}

func (s *Server) keepObjects(ctx context.Context, changed <-chan struct{}) error {
	ready := false
	for {
		wait, wake := bootstrapResync, changed
		err := s.ensureObjects(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			s.cfg.Logger.Error("cannot keep the cluster's own objects", "error", err)
			wait, wake = bootstrapRetry, nil // at its own pace
		case !ready:
			close(s.ready)
			ready = true
		}
		timer := s.cfg.Clock.NewTimer(wait)
		select {
		case <-wake:
		case <-timer.C():
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return nil
		}
	}
}

// ownedResources are those in which default/kubernetes is watched.
var ownedResources = []schema.GroupVersionResource{
	corev1.SchemeGroupVersion.WithResource("services"),
	corev1.SchemeGroupVersion.WithResource("endpoints"),
	discoveryv1.SchemeGroupVersion.WithResource("endpointslices"),
}

// notice reports every change of default/kubernetes in one resource.
func (s *Server) notice(ctx context.Context, gvr schema.GroupVersionResource, changed chan<- struct{}) error {
	store, ok := s.registry.Lookup(gvr)
	if !ok {
		return nil
	}
	for ctx.Err() == nil {
		watch, err := store.Watch(ctx, metav1.NamespaceDefault, metav1.ListOptions{FieldSelector: "metadata.name=" + kubernetesService})
		if err != nil {
			return nil // the resync goes on
		}
		for {
			if _, err = watch.Next(ctx); err != nil {
				break
			}
			select {
			case changed <- struct{}{}:
			default:
			}
		}
		watch.Stop()
		select {
		case <-s.cfg.Clock.After(bootstrapRetry):
		case <-ctx.Done():
		}
	}
	return nil
}

// ensureObjects brings every owned object to its desired state, those that others need
// first.
func (s *Server) ensureObjects(ctx context.Context) error {
	t := s.Client(auth.Component(auth.UserAPIServer))
	g, gctx := errgroup.WithContext(ctx)
	for _, ns := range systemNamespaces {
		g.Go(func() error { return s.ensure(gctx, "namespaces", ns, ensureNamespace(t, ns)) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	g, gctx = errgroup.WithContext(ctx)
	for _, class := range scheduling.Builtin() {
		g.Go(func() error {
			return s.ensure(gctx, "priorityclasses.scheduling.k8s.io", class.Name, ensurePriorityClass(t, class))
		})
	}
	g.Go(func() error { return s.ensure(gctx, "services", kubernetesService, ensureService(t, s.service())) })
	if s.cfg.AdvertiseAddress.IsValid() {
		g.Go(func() error { return s.ensure(gctx, "endpoints", kubernetesService, ensureEndpoints(t, s.endpoints())) })
		g.Go(func() error {
			return s.ensure(gctx, "endpointslices.discovery.k8s.io", kubernetesService, ensureSlice(t, s.slice()))
		})
	}
	return g.Wait()
}

// ensure runs one step and records what it did, if anything.
func (s *Server) ensure(ctx context.Context, resource, name string, step func(context.Context) (plan string, err error)) error {
	start := s.cfg.Clock.Now()
	plan, err := step(ctx)
	if apierrors.IsAlreadyExists(err) || apierrors.IsConflict(err) {
		err = nil // another master did it; the next round looks again
	}
	if plan == "" && err == nil {
		return nil
	}
	record := decision.Record{Time: start, Component: "apiserver", Plan: plan, Took: s.cfg.Clock.Since(start),
		Object: decision.Ref{Resource: resource, Name: name}}
	if namespaced(resource) {
		record.Object.Namespace = metav1.NamespaceDefault
	}
	if err != nil {
		err = fmt.Errorf("cannot ensure %s %q: %w", resource, name, err)
		record.Error = err.Error()
	}
	s.cfg.Decisions.Add(record)
	return err
}

func ensureNamespace(t client.Transport, name string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		c := client.Of[*corev1.Namespace](t)
		_, err := c.Get(ctx, "", name)
		if !apierrors.IsNotFound(err) {
			return "", err
		}
		_, err = c.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
		return "create", err
	}
}

func ensurePriorityClass(t client.Transport, want *schedulingv1.PriorityClass) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		c := client.Of[*schedulingv1.PriorityClass](t)
		_, err := c.Get(ctx, "", want.Name)
		if !apierrors.IsNotFound(err) {
			return "", err // its value cannot be changed
		}
		_, err = c.Create(ctx, want)
		return "create", err
	}
}

// service is default/kubernetes: how pods reach the API.
func (s *Server) service() *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: metav1.NamespaceDefault, Name: kubernetesService,
			Labels: map[string]string{"component": "apiserver", "provider": kubernetesService},
		},
		Spec: corev1.ServiceSpec{
			Type:            corev1.ServiceTypeClusterIP,
			ClusterIP:       firstAddress(s.cfg.ServiceCIDR).String(),
			SessionAffinity: corev1.ServiceAffinityNone,
			Ports: []corev1.ServicePort{{Name: "https", Protocol: corev1.ProtocolTCP, Port: httpsPort,
				TargetPort: intstr.FromInt32(s.cfg.AdvertisePort)}},
		},
	}
}

func firstAddress(cidr netip.Prefix) netip.Addr { return cidr.Masked().Addr().Next() }

func ensureService(t client.Transport, want *corev1.Service) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		c := client.Of[*corev1.Service](t)
		have, err := c.Get(ctx, want.Namespace, want.Name)
		if apierrors.IsNotFound(err) {
			_, err = c.Create(ctx, want)
			return "create", err
		}
		if err != nil || equality.Semantic.DeepEqual(have.Spec.Ports, want.Spec.Ports) && len(have.Spec.Selector) == 0 {
			return "", err
		}
		next := have.DeepCopy()
		next.Spec.Ports, next.Spec.Selector = want.Spec.Ports, nil
		_, err = c.Update(ctx, next)
		return "update ports", err
	}
}

func (s *Server) endpoints() *corev1.Endpoints {
	return &corev1.Endpoints{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: metav1.NamespaceDefault, Name: kubernetesService,
			Labels: map[string]string{discoveryv1.LabelSkipMirror: "true"}, // the slice is written beside it
		},
		Subsets: []corev1.EndpointSubset{{
			Addresses: []corev1.EndpointAddress{{IP: s.cfg.AdvertiseAddress.String()}},
			Ports:     []corev1.EndpointPort{{Name: "https", Port: s.cfg.AdvertisePort, Protocol: corev1.ProtocolTCP}},
		}},
	}
}

func ensureEndpoints(t client.Transport, want *corev1.Endpoints) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		c := client.Of[*corev1.Endpoints](t)
		have, err := c.Get(ctx, want.Namespace, want.Name)
		if apierrors.IsNotFound(err) {
			_, err = c.Create(ctx, want)
			return "create", err
		}
		if err != nil || equality.Semantic.DeepEqual(have.Subsets, want.Subsets) {
			return "", err
		}
		next := have.DeepCopy()
		next.Subsets = want.Subsets
		_, err = c.Update(ctx, next)
		return "update addresses", err
	}
}

func (s *Server) slice() *discoveryv1.EndpointSlice {
	ready, name, protocol := true, "https", corev1.ProtocolTCP
	kind := discoveryv1.AddressTypeIPv4
	if s.cfg.AdvertiseAddress.Unmap().Is6() {
		kind = discoveryv1.AddressTypeIPv6
	}
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: metav1.NamespaceDefault, Name: kubernetesService,
			Labels: map[string]string{discoveryv1.LabelServiceName: kubernetesService},
		},
		AddressType: kind,
		Endpoints: []discoveryv1.Endpoint{{
			Addresses:  []string{s.cfg.AdvertiseAddress.Unmap().String()},
			Conditions: discoveryv1.EndpointConditions{Ready: &ready},
		}},
		Ports: []discoveryv1.EndpointPort{{Name: &name, Protocol: &protocol, Port: &s.cfg.AdvertisePort}},
	}
}

func ensureSlice(t client.Transport, want *discoveryv1.EndpointSlice) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		c := client.Of[*discoveryv1.EndpointSlice](t)
		have, err := c.Get(ctx, want.Namespace, want.Name)
		if apierrors.IsNotFound(err) {
			_, err = c.Create(ctx, want)
			return "create", err
		}
		if err != nil || equality.Semantic.DeepEqual(have.Endpoints, want.Endpoints) && equality.Semantic.DeepEqual(have.Ports, want.Ports) {
			return "", err
		}
		next := have.DeepCopy()
		next.Endpoints, next.Ports = want.Endpoints, want.Ports
		_, err = c.Update(ctx, next)
		return "update addresses", err
	}
}
