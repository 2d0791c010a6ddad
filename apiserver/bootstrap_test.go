package apiserver_test

//lint:file-ignore SA1019 clients still read Endpoints.

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/apiserver"
	"github.com/miniorch/miniorch/apiserver/apiservertest"
	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/apiserver/storage/memory"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/decision"
)

func advertise(address string, decisions *decision.Log) apiservertest.Option {
	return apiservertest.WithConfig(func(c *apiserver.Config) {
		c.AdvertiseAddress, c.AdvertisePort, c.Decisions = netip.MustParseAddr(address), 7443, decisions
	})
}

// TestOwnObjects: they exist when the server is ready, come back when they are deleted, and
// follow the server's address. It runs in virtual time.
func TestOwnObjects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		decisions := decision.NewLog(100)
		s := apiservertest.Start(t, advertise("10.0.0.5", decisions))
		admin := s.Client(auth.Admin())
		ctx := t.Context()
		for _, ns := range []string{"default", "kube-system", "kube-public", "kube-node-lease"} {
			must(client.Of[*corev1.Namespace](admin).Get(ctx, "", ns))(t)
		}
		services := client.Of[*corev1.Service](admin)
		svc := must(services.Get(ctx, "default", "kubernetes"))(t)
		if svc.Spec.ClusterIP != "10.96.0.1" || svc.Spec.Ports[0].Port != 443 || svc.Spec.Ports[0].TargetPort.IntValue() != 7443 {
			t.Errorf("service: %+v", svc.Spec)
		}
		checkEndpoint(t, admin, "10.0.0.5")
		synctest.Wait() // for the objects that nothing waits for
		perResource := map[string]int{}
		for _, d := range decisions.Since(0) {
			perResource[d.Object.Resource]++
		}
		for resource, want := range map[string]int{
			"namespaces": 4, "services": 1, "endpoints": 1, "endpointslices.discovery.k8s.io": 1, "servicecidrs.networking.k8s.io": 1,
			"prioritylevelconfigurations.flowcontrol.apiserver.k8s.io": 8, "flowschemas.flowcontrol.apiserver.k8s.io": 13,
		} {
			if perResource[resource] != want {
				t.Errorf("%d decisions for %s, want %d", perResource[resource], resource, want)
			}
		}
		cidr := must(client.Of[*networkingv1.ServiceCIDR](admin).Get(ctx, "", "kubernetes"))(t)
		if cidr.Spec.CIDRs[0] != "10.96.0.0/16" || !meta.IsStatusConditionTrue(cidr.Status.Conditions, "Ready") {
			t.Errorf("the range of cluster IPs: %+v", cidr)
		}
		made := len(decisions.Since(0))

		slices := client.Of[*discoveryv1.EndpointSlice](admin)
		if err := services.Delete(ctx, "default", "kubernetes", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := slices.Delete(ctx, "default", "kubernetes", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		synctest.Wait()
		again := must(services.Get(ctx, "default", "kubernetes"))(t)
		if again.Spec.ClusterIP != "10.96.0.1" || again.UID == svc.UID {
			t.Errorf("after deletion: %+v", again)
		}
		checkEndpoint(t, admin, "10.0.0.5")
		if took := time.Since(start); took != 0 {
			t.Errorf("they came back after %v of waiting", took)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := len(decisions.Since(0)); n != made+2 {
			t.Errorf("%d decisions, want %d: what is as it should be is left alone", n, made+2)
		}
	})
}

func checkEndpoint(t *testing.T, admin client.Transport, address string) {
	t.Helper()
	slice := must(client.Of[*discoveryv1.EndpointSlice](admin).Get(t.Context(), "default", "kubernetes"))(t)
	if len(slice.Endpoints) != 1 || slice.Endpoints[0].Addresses[0] != address || *slice.Ports[0].Port != 7443 || slice.Labels[discoveryv1.LabelServiceName] != "kubernetes" {
		t.Errorf("slice: %+v", slice)
	}
	old := must(client.Of[*corev1.Endpoints](admin).Get(t.Context(), "default", "kubernetes"))(t)
	if len(old.Subsets) != 1 || old.Subsets[0].Addresses[0].IP != address {
		t.Errorf("endpoints: %+v", old.Subsets)
	}
}

// TestNewAddress: a server that comes back at another address says so.
func TestNewAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Config{})
		for _, address := range []string{"10.0.0.5", "10.0.0.6"} {
			s, err := apiserver.New(store, apiserver.Config{AdvertiseAddress: netip.MustParseAddr(address), AdvertisePort: 7443})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- s.Run(ctx) }()
			<-s.Ready()
			checkEndpoint(t, s.Client(auth.Admin()), address)
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
}

// TestRunEndsWithItsContext: and leaves no goroutine, or the bubble would not end.
func TestRunEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := apiserver.New(memory.New(memory.Config{}), apiserver.Config{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		<-s.Ready()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("ended with %v", err)
		}
	})
	if _, err := apiserver.New(memory.New(memory.Config{}), apiserver.Config{Listener: &net.TCPListener{}}); err == nil {
		t.Error("a listener without a certificate was accepted")
	}
}
