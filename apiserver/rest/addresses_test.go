package rest_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/apiserver/registry"
	"github.com/miniorch/miniorch/apiserver/rest"
	"github.com/miniorch/miniorch/apiserver/rest/ipalloc"
	"github.com/miniorch/miniorch/apiserver/storage"
	"github.com/miniorch/miniorch/apiserver/storage/memory"
)

// twoServers are registries of the built-in kinds over one store, with few addresses.
func twoServers(t *testing.T, store storage.Store, cidr string) [2]*engine {
	t.Helper()
	var both [2]*engine
	for i := range both {
		ctx, cancel := context.WithCancel(auth.WithUser(t.Context(), auth.Admin()))
		e := &engine{TB: t, ctx: ctx, store: store}
		e.Registry = rest.New(store, registry.All(registry.Config{}), rest.Config{
			Logger: slog.New(slog.DiscardHandler), ServiceCIDR: netip.MustParsePrefix(cidr), NodePorts: ipalloc.Range{First: 30000, Last: 30399},
		})
		done := make(chan error, 1)
		go func() { done <- e.Run(ctx) }()
		t.Cleanup(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
		<-e.Ready()
		both[i] = e
	}
	_, err := of[*corev1.Namespace](both[0]).Create(both[0].ctx, "", &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	return both
}

func nodePortService(name string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeNodePort, Ports: []corev1.ServicePort{{Port: 80}}},
	}
}

func stored(t *testing.T, store storage.Store, prefix string) []storage.KV {
	t.Helper()
	kvs, _, err := store.List(t.Context(), prefix, 0)
	if err != nil {
		t.Fatal(err)
	}
	return kvs
}

const (
	addressKeys = "/registry/networking.k8s.io/ipaddresses/"
	portKeys    = "/registry/ranges/servicenodeports/"
)

// TestNoAddressIsGivenTwice: 64 writers create and delete Services through two servers until the
// range is nearly full; nothing is given to two, and what is deleted is free again.
func TestNoAddressIsGivenTwice(t *testing.T) {
	store := memory.New(memory.Config{})
	servers := twoServers(t, store, "10.7.0.0/24")
	var mu sync.Mutex
	holders := map[string]string{}
	var wg sync.WaitGroup
	for w := range 64 {
		wg.Go(func() {
			e := servers[w%2]
			for i := range 6 {
				name := fmt.Sprintf("s-%d-%d", w, i)
				it, err := of[*corev1.Service](e).Create(e.ctx, "default", nodePortService(name), metav1.CreateOptions{})
				if err != nil {
					t.Errorf("creating %s: %v", name, err)
					return
				}
				svc := it.Object.(*corev1.Service)
				keys := []string{svc.Spec.ClusterIP, fmt.Sprint(svc.Spec.Ports[0].NodePort)}
				mu.Lock()
				for _, k := range keys {
					if other := holders[k]; other != "" {
						t.Errorf("%s belongs to %s and %s", k, other, name)
					}
					holders[k] = name
				}
				mu.Unlock()
				if i >= 3 {
					continue // 192 of 253 addresses stay in use
				}
				mu.Lock()
				for _, k := range keys {
					delete(holders, k)
				}
				mu.Unlock()
				if _, _, err := of[*corev1.Service](servers[(w+1)%2]).Delete(e.ctx, "default", name, metav1.DeleteOptions{}); err != nil {
					t.Errorf("deleting %s: %v", name, err)
				}
			}
		})
	}
	wg.Wait()
	if ips, ports := len(stored(t, store, addressKeys)), len(stored(t, store, portKeys)); ips != 192 || ports != 192 {
		t.Errorf("%d addresses and %d ports are taken, want 192 of each", ips, ports)
	}
	last := of[*corev1.Service](servers[0])
	for i := range 70 { // 253 - 192 fit
		_, err := last.Create(servers[0].ctx, "default", nodePortService(fmt.Sprintf("rest-%d", i)), metav1.CreateOptions{})
		if full := i >= 61; (err != nil) != full || full && !strings.Contains(err.Error(), "range 10.7.0.0/24 is full") {
			t.Errorf("service %d: %v", i, err)
		}
	}
}

// TestNamedAddresses: who asks for an address gets it or is refused, whatever a cache says.
func TestNamedAddresses(t *testing.T) {
	store := memory.New(memory.Config{})
	servers := twoServers(t, store, "10.7.0.0/24")
	want := func(name string, e *engine) error {
		svc := nodePortService(name)
		svc.Spec.ClusterIP, svc.Spec.Ports[0].NodePort = "10.7.0.9", 30009
		_, err := of[*corev1.Service](e).Create(e.ctx, "default", svc, metav1.CreateOptions{})
		return err
	}
	for round := range 50 {
		winner := ""
		var mu sync.Mutex
		var wg sync.WaitGroup
		for i, e := range servers {
			wg.Go(func() {
				name := fmt.Sprintf("s%d", i)
				err := want(name, e)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil && winner != "":
					t.Errorf("round %d: both have it", round)
				case err == nil:
					winner = name
				case !strings.Contains(err.Error(), "already allocated"):
					t.Errorf("round %d: %v", round, err)
				}
			})
		}
		wg.Wait()
		if winner == "" {
			t.Fatalf("round %d: nobody has it", round)
		}
		if _, _, err := of[*corev1.Service](servers[round%2]).Delete(servers[0].ctx, "default", winner, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		if left := len(stored(t, store, addressKeys)) + len(stored(t, store, portKeys)); left != 0 {
			t.Fatalf("round %d: %d addresses are left over", round, left)
		}
	}
	if err := want("dry", servers[0]); err != nil {
		t.Fatal(err)
	}
	svc := nodePortService("other")
	svc.Spec.ClusterIP = "10.7.0.9"
	_, err := of[*corev1.Service](servers[1]).Create(servers[1].ctx, "default", svc, metav1.CreateOptions{DryRun: []string{"All"}})
	if err == nil || !strings.Contains(err.Error(), "provided IP is already allocated") {
		t.Errorf("a dry run takes what is taken: %v", err)
	}
}

// TestAddressObjects: the IPAddress of a Service comes, changes and goes with it.
func TestAddressObjects(t *testing.T) {
	builtin(t, func(t *testing.T, e *engine) {
		svc := e.mustCreate("default", nodePortService("web")).(*corev1.Service)
		address := must(get[*networkingv1.IPAddress](e, "", svc.Spec.ClusterIP))(t)
		if p := address.Spec.ParentRef; p.Resource != "services" || p.Namespace != "default" || p.Name != "web" || address.UID == "" || address.CreationTimestamp.IsZero() {
			t.Errorf("address: %+v", address)
		}
		synctest.Wait() // for the cache
		if _, err := update(e, "default", "web", "", func(s *corev1.Service) {
			s.Spec = corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "a.b"}
		}); err != nil {
			t.Fatal(err)
		}
		if left := len(stored(t, e.store, addressKeys)) + len(stored(t, e.store, portKeys)); left != 0 {
			t.Errorf("an external name has %d addresses", left)
		}
		again := must(update(e, "default", "web", "", func(s *corev1.Service) {
			s.Spec = corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP, Ports: []corev1.ServicePort{{Port: 80}}}
		}))(t)
		must(get[*networkingv1.IPAddress](e, "", again.Spec.ClusterIP))(t)
	})
}

// TestRepair: entries that are missing are made, and those of nobody go, when a server starts.
func TestRepair(t *testing.T) {
	store := memory.New(memory.Config{})
	e := twoServers(t, store, "10.7.0.0/24")[0]
	svc := e.mustCreate("default", nodePortService("web")).(*corev1.Service)
	for _, prefix := range []string{addressKeys, portKeys} {
		for _, kv := range stored(t, store, prefix) {
			if r, err := store.Write(t.Context(), storage.Write{Key: kv.Key, Expect: kv.Revision}); err != nil || !r.Done {
				t.Fatal(r, err)
			}
		}
	}
	leaked := &networkingv1.IPAddress{
		ObjectMeta: metav1.ObjectMeta{Name: "10.7.0.77", Labels: map[string]string{"ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"}},
		Spec:       networkingv1.IPAddressSpec{ParentRef: &networkingv1.ParentReference{Resource: "services", Namespace: "default", Name: "gone"}},
	}
	foreign := leaked.DeepCopy()
	foreign.Name, foreign.Labels = "10.7.0.78", nil
	e.mustCreate("", leaked)
	e.mustCreate("", foreign)
	second := twoServers(t, store, "10.7.0.0/24")[1]
	must(get[*networkingv1.IPAddress](second, "", svc.Spec.ClusterIP))(t)
	if ports := stored(t, store, portKeys); len(ports) != 1 {
		t.Errorf("%d ports are taken", len(ports))
	}
	if _, err := get[*networkingv1.IPAddress](second, "", "10.7.0.77"); !apierrors.IsNotFound(err) {
		t.Errorf("the address of a service that is gone: %v", err)
	}
	must(get[*networkingv1.IPAddress](second, "", "10.7.0.78"))(t)
}

// TestServiceCIDRs: a range that is ready is used when the first is full, and one on its way out
// is not.
func TestServiceCIDRs(t *testing.T) {
	store := memory.New(memory.Config{})
	e := twoServers(t, store, "10.7.0.0/29")[0] // 5 addresses
	create := func(i int) (*corev1.Service, error) {
		it, err := of[*corev1.Service](e).Create(e.ctx, "default", nodePortService(fmt.Sprintf("s%d", i)), metav1.CreateOptions{})
		if err != nil {
			return nil, err
		}
		return it.Object.(*corev1.Service), nil
	}
	for i := range 5 {
		must(create(i))(t)
	}
	if _, err := create(5); err == nil {
		t.Error("a sixth address of five")
	}
	e.mustCreate("", &networkingv1.ServiceCIDR{
		ObjectMeta: metav1.ObjectMeta{Name: "more", Finalizers: []string{"a/b"}}, Spec: networkingv1.ServiceCIDRSpec{CIDRs: []string{"10.8.0.0/29"}},
	})
	if _, err := create(5); err == nil {
		t.Error("a range that is not ready was used")
	}
	cidrs := of[*networkingv1.ServiceCIDR](e)
	must(cidrs.List(e.ctx, "", metav1.ListOptions{}))(t) // after it the cache has what was written before
	must(update(e, "", "more", "status", func(c *networkingv1.ServiceCIDR) {
		c.Status.Conditions = []metav1.Condition{{Type: "Ready", Status: "True", Reason: "a", LastTransitionTime: metav1.Now()}}
	}))(t)
	must(cidrs.List(e.ctx, "", metav1.ListOptions{}))(t)
	if svc := must(create(5))(t); !strings.HasPrefix(svc.Spec.ClusterIP, "10.8.0.") {
		t.Errorf("the sixth service has %s", svc.Spec.ClusterIP)
	}
	if _, _, err := cidrs.Delete(e.ctx, "", "more", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	must(cidrs.List(e.ctx, "", metav1.ListOptions{}))(t)
	if _, err := create(6); err == nil {
		t.Error("a range on its way out was used")
	}
}

// must returns the result of what has to succeed.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// BenchmarkCreateService creates and deletes Services with a cluster IP and a node port, beside what
// the same costs for an object without addresses.
func BenchmarkCreateService(b *testing.B) {
	for _, kind := range []string{"service", "configmap"} {
		b.Run(kind, func(b *testing.B) {
			store := memory.New(memory.Config{})
			ctx, cancel := context.WithCancel(auth.WithUser(b.Context(), auth.Admin()))
			e := &engine{TB: b, ctx: ctx, store: store}
			e.Registry = rest.New(store, registry.All(registry.Config{}), rest.Config{Logger: slog.New(slog.DiscardHandler)})
			done := make(chan error, 1)
			go func() { done <- e.Run(ctx) }()
			b.Cleanup(func() { cancel(); <-done })
			<-e.Ready()
			e.mustCreate("", &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}})
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				name := fmt.Sprintf("s-%d", i)
				var err error
				if kind == "service" {
					if _, err = of[*corev1.Service](e).Create(ctx, "default", nodePortService(name), metav1.CreateOptions{}); err == nil {
						_, _, err = of[*corev1.Service](e).Delete(ctx, "default", name, metav1.DeleteOptions{})
					}
				} else {
					if _, err = of[*corev1.ConfigMap](e).Create(ctx, "default", &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err == nil {
						_, _, err = of[*corev1.ConfigMap](e).Delete(ctx, "default", name, metav1.DeleteOptions{})
					}
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
