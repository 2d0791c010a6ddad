package controllers

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/pkg/client"
)

// lying is a transport whose watches may show objects otherwise than they are: what a cache
// that went wrong looks like. Reads and writes are honest.
type lying struct {
	client.Transport
	lie func(e *watch.Event)
}

func (l lying) Watch(ctx context.Context, req client.Request, opts metav1.ListOptions) (watch.Interface, error) {
	w, err := l.Transport.Watch(ctx, req, opts)
	if err != nil {
		return nil, err
	}
	return watch.Filter(w, func(e watch.Event) (watch.Event, bool) {
		l.lie(&e)
		return e, true
	}), nil
}

// A cache that says that nothing is wanted any more must not cost all pods, nor all endpoints.
func TestBrakeOnMassDeletion(t *testing.T) {
	var lies atomic.Bool
	lie := func(e *watch.Event) {
		if !lies.Load() {
			return
		}
		switch obj := e.Object.(type) {
		case *appsv1.ReplicaSet:
			obj = obj.DeepCopy()
			obj.Spec.Replicas = ptr.To(int32(0))
			e.Object = obj
		case *corev1.Service:
			obj = obj.DeepCopy()
			obj.Spec.Selector = map[string]string{"app": "nobody"}
			e.Object = obj
		}
	}
	inWorld(t, 2, func(tr client.Transport) client.Transport { return lying{tr, lie} }, func(w *world) {
		create(w, webSet(10))
		create(w, webService())
		w.Tick(5 * time.Second)
		lies.Store(true)
		edit(w, "default", "web", func(rs *appsv1.ReplicaSet) { rs.Annotations = map[string]string{"touched": "yes"} })
		edit(w, "default", "web", func(s *corev1.Service) { s.Annotations = map[string]string{"touched": "yes"} })
		w.Tick(30 * time.Second)
		if got := w.active(); got != 10 {
			t.Errorf("%d pods are left of 10", got)
		}
		if got := w.endpoints(); got != "map[node-1:5 node-2:5]" {
			t.Errorf("endpoints are at %s", got)
		}
		said := strings.Join(w.Events("DeletionHeldBack"), "\n")
		for _, want := range []string{"10 of 10 pods", "10 of 10 endpoints", "10 of 10 addresses"} {
			if !strings.Contains(said, want) {
				t.Errorf("no event tells of %s: %s", want, said)
			}
		}
		lies.Store(false)
		edit(w, "default", "web", func(rs *appsv1.ReplicaSet) { rs.Spec.Replicas = ptr.To(int32(0)) })
		w.Tick(30 * time.Second)
		if got := w.active(); got != 0 {
			t.Errorf("%d pods are left of none: the brake holds what was asked for", got)
		}
	})
}
