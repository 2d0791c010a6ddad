package proxy

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/client/clienttest"
	"github.com/miniorch/miniorch/pkg/decision"
)

// book is a RuleWriter that keeps what it is told, and can be made to fail.
type book struct {
	mu      sync.Mutex
	ports   map[types.NamespacedName][]ServicePort // guarded by mu
	updates []string                               // guarded by mu; what each call changed
	failure error                                  // guarded by mu
}

func (b *book) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failure = err
}

// written is what each call changed so far.
func (b *book) written() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.updates)
}

// last is what the last call changed.
func (b *book) last() string {
	all := b.written()
	return all[len(all)-1]
}

func (b *book) Reset(_ context.Context, all map[types.NamespacedName][]ServicePort) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failure != nil {
		return b.failure
	}
	b.ports = map[types.NamespacedName][]ServicePort{}
	b.updates = append(b.updates, "all")
	return b.put(all)
}

func (b *book) Update(_ context.Context, changed map[types.NamespacedName][]ServicePort) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failure != nil {
		return b.failure
	}
	var names []string
	for name := range changed {
		names = append(names, name.Name)
	}
	b.updates = append(b.updates, strings.Join(names, " "))
	return b.put(changed)
}

func (b *book) put(changed map[types.NamespacedName][]ServicePort) error {
	for name, ports := range changed {
		if b.ports[name] = ports; len(ports) == 0 {
			delete(b.ports, name)
		}
	}
	return nil
}

func (b *book) leadsTo(name string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	ports := b.ports[types.NamespacedName{Namespace: "default", Name: name}]
	if len(ports) == 0 {
		return "nowhere"
	}
	return addresses(ports[0].Cluster)
}

func named(name, ip string) *corev1.Service {
	return service(func(s *corev1.Service) { s.Name, s.Spec.ClusterIP = name, ip })
}

func sliceOf(name string, ips ...string) *discoveryv1.EndpointSlice {
	s := slice()
	for _, ip := range ips {
		s.Endpoints = append(s.Endpoints, endpoint(ip, "n1", "ready"))
	}
	s.ObjectMeta = metav1.ObjectMeta{Namespace: "default", Name: name + "-1", Labels: map[string]string{discoveryv1.LabelServiceName: name}}
	return s
}

// TestProxyFollowsTheAPI runs the loop in virtual time.
func TestProxyFollowsTheAPI(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := clienttest.NewServer(t, named("web", "10.96.0.20"), sliceOf("web", "10.244.0.5"), named("db", "10.96.0.21"), sliceOf("db", "10.244.0.9"))
		informers := clienttest.NewInformers(t, server)
		rules, decisions := &book{}, decision.NewLog(100)
		p := New(informers, rules, Config{NodeName: "n1", Decisions: decisions})
		clienttest.RunInformers(t, informers)
		clienttest.Run(t, p.Run)
		<-p.Synced()
		synctest.Wait()
		if rules.leadsTo("web") != "10.244.0.5:8080" || rules.leadsTo("db") != "10.244.0.9:8080" || rules.written()[0] != "all" {
			t.Fatalf("at start: web to %s, db to %s, updates %v", rules.leadsTo("web"), rules.leadsTo("db"), rules.written())
		}

		endpoints := client.Of[*discoveryv1.EndpointSlice](server)
		change := func(name string, ips ...string) {
			t.Helper()
			current, err := endpoints.Get(t.Context(), "default", name+"-1")
			if err != nil {
				t.Fatal(err)
			}
			next := sliceOf(name, ips...)
			next.ResourceVersion, next.UID = current.ResourceVersion, current.UID
			if _, err := endpoints.Update(t.Context(), next); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		change("web", "10.244.0.5", "10.244.1.7")
		if got := rules.leadsTo("web"); got != "10.244.0.5:8080 10.244.1.7:8080" || rules.last() != "web" {
			t.Errorf("a new endpoint: web to %s, updates %v; want only web written", got, rules.written())
		}

		// What the kernel refuses is written again, whole: its state is unknown.
		rules.fail(errors.New("the kernel is busy"))
		change("web", "10.244.1.7")
		rules.fail(nil)
		time.Sleep(2 * retryAfter)
		synctest.Wait()
		if got := rules.leadsTo("web"); got != "10.244.1.7:8080" || rules.last() != "all" {
			t.Errorf("after a failure: web to %s, updates %v", got, rules.written())
		}

		writes := len(rules.written())
		if err := client.Of[*corev1.Service](server).Delete(t.Context(), "default", "db", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := rules.leadsTo("db"); got != "nowhere" || len(rules.written()) != writes+1 {
			t.Errorf("a Service that is gone: db to %s after %d writes", got, len(rules.written())-writes)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if resyncs := len(rules.written()) - writes - 1; resyncs != 6 {
			t.Errorf("%d writes in a quiet hour, want one every ten minutes", resyncs)
		}
		records := decisions.Since(0)
		var failed int
		for _, r := range records {
			if r.Error != "" {
				failed++
			}
		}
		if failed != 1 || !strings.Contains(records[1].Plan, "default/web:http/TCP 10.96.0.20:80 -> 10.244.0.5:8080 10.244.1.7:8080") {
			t.Errorf("decision records: %d, failed %d: %+v", len(records), failed, records)
		}
	})
}
