package controllers

import (
	"log/slog"
	"net/netip"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/controllers/controllertest"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/client/clienttest"
)

// world is the stage with the whole roster on it.
type world struct{ *controllertest.World }

// inWorld runs test in a synctest bubble. between may stand between controllers and server.
func inWorld(t *testing.T, nodes int, between func(client.Transport) client.Transport, test func(w *world)) {
	t.Helper()
	inWorldOf(t, nodes, between, true, test)
}

// inWorldOf is inWorld, and may leave the controllers out.
func inWorldOf(t *testing.T, nodes int, between func(client.Transport) client.Transport, controllers bool, test func(w *world)) {
	t.Helper()
	controllertest.In(t, nodes, !controllers, func(stage *controllertest.World) {
		w := &world{stage}
		transport := w.As()
		if between != nil {
			transport = between(transport)
		}
		if controllers {
			informers := clienttest.NewInformers(w, transport)
			manager := New(transport, informers, Config{
				Logger: slog.New(slog.DiscardHandler), Decisions: w.Decisions, RootCA: []byte("pem"), ClusterCIDR: netip.MustParsePrefix("10.244.0.0/16"),
			})
			clienttest.Run(w, informers.Run)
			clienttest.Run(w, manager.Run)
		}
		w.Tick(2 * time.Second)
		test(w)
	})
}

// The verbs of the stage, by the short names that the tests of this package read well with.

func create[T api.Object](w *world, obj T) T { w.Helper(); return controllertest.Create(w, obj) }
func get[T api.Object](w *world, ns, name string) T {
	w.Helper()
	return controllertest.Get[T](w, ns, name)
}
func exists[T api.Object](w *world, ns, name string) bool {
	w.Helper()
	return controllertest.Exists[T](w, ns, name)
}
func list[T api.Object](w *world, ns, selector string) []T {
	w.Helper()
	return controllertest.List[T](w, ns, selector)
}
func edit[T api.Object](w *world, ns, name string, change func(T)) {
	w.Helper()
	controllertest.Edit(w, ns, name, change)
}
func remove[T api.Object](w *world, ns, name string, how metav1.DeletionPropagation) {
	w.Helper()
	controllertest.Remove[T](w, ns, name, how)
}
func template(image string) corev1.PodTemplateSpec { return controllertest.Template(image) }
func meta(ns, name string) metav1.ObjectMeta       { return controllertest.Meta(ns, name) }
