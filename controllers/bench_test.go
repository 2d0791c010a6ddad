package controllers

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/apiserver/apiservertest"
	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/client/clienttest"
)

// many is how many objects these benchmarks get rid of.
const many = 10_000

// running starts a server and all controllers, in real time.
func running(b *testing.B) client.Transport {
	b.Helper()
	server := apiservertest.Start(b, apiservertest.WithoutServiceAccount())
	transport := server.Client(auth.Component(auth.UserControllerManager))
	informers := clienttest.NewInformers(b, transport)
	manager := New(transport, informers, Config{Logger: slog.New(slog.DiscardHandler)})
	clienttest.Run(b, informers.Run)
	clienttest.Run(b, manager.Run)
	return server.Client(auth.Admin())
}

// fill makes many ConfigMaps in a namespace, owned by owner if there is one.
func fill(b *testing.B, admin client.Transport, ns string, owners ...metav1.OwnerReference) {
	b.Helper()
	configmaps := client.Of[*corev1.ConfigMap](admin)
	var making sync.WaitGroup
	for w := range 8 {
		making.Go(func() {
			for i := w; i < many; i += 8 {
				m := &corev1.ConfigMap{ObjectMeta: meta(ns, fmt.Sprint("m-", i))}
				m.OwnerReferences = owners
				if _, err := configmaps.Create(b.Context(), m); err != nil {
					b.Errorf("making what is to go: %v", err)
					return
				}
			}
		})
	}
	making.Wait()
}

// until waits for something to be true.
func until(b *testing.B, is func(ctx context.Context) bool) {
	b.Helper()
	for deadline := time.Now().Add(10 * time.Minute); !is(b.Context()); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatal("it does not come to its end")
		}
	}
}

// BenchmarkCollect deletes an owner with 10,000 dependents, and waits until they are gone.
func BenchmarkCollect(b *testing.B) {
	admin := running(b)
	configmaps := client.Of[*corev1.ConfigMap](admin)
	for b.Loop() {
		b.StopTimer()
		owner, err := configmaps.Create(b.Context(), &corev1.ConfigMap{ObjectMeta: meta("default", "owner")})
		if err != nil {
			b.Fatal(err)
		}
		fill(b, admin, "default", metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: owner.Name, UID: owner.UID})
		b.StartTimer()
		if err := configmaps.Delete(b.Context(), "default", "owner", metav1.DeleteOptions{}); err != nil {
			b.Fatal(err)
		}
		until(b, func(ctx context.Context) bool {
			left, err := admin.List(ctx, client.Request{Resource: configmaps.Resource(), Namespace: "default"}, metav1.ListOptions{Limit: 3})
			return err == nil && len(left.Items) <= 1 // the CA's may be there
		})
	}
	b.ReportMetric(float64(many)*float64(b.N)/b.Elapsed().Seconds(), "objects/s")
}

// BenchmarkEmpty deletes a namespace with 10,000 objects in it, and waits until it is gone.
func BenchmarkEmpty(b *testing.B) {
	admin := running(b)
	namespaces := client.Of[*corev1.Namespace](admin)
	for b.Loop() {
		b.StopTimer()
		if _, err := namespaces.Create(b.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "full"}}); err != nil {
			b.Fatal(err)
		}
		fill(b, admin, "full")
		b.StartTimer()
		if err := namespaces.Delete(b.Context(), "", "full", metav1.DeleteOptions{}); err != nil {
			b.Fatal(err)
		}
		until(b, func(ctx context.Context) bool {
			_, err := namespaces.Get(ctx, "", "full")
			return err != nil
		})
	}
	b.ReportMetric(float64(many)*float64(b.N)/b.Elapsed().Seconds(), "objects/s")
}
