package rest_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/apiserver/rest"
	"github.com/miniorch/miniorch/apiserver/storage"
	"github.com/miniorch/miniorch/apiserver/storage/memory"
)

// counted counts what is asked of a store.
type counted struct {
	storage.Store
	reads, writes atomic.Int64
}

func (c *counted) Get(ctx context.Context, key string) (*storage.KV, int64, error) {
	c.reads.Add(1)
	return c.Store.Get(ctx, key)
}

func (c *counted) List(ctx context.Context, prefix string, rev int64) ([]storage.KV, int64, error) {
	c.reads.Add(1)
	return c.Store.List(ctx, prefix, rev)
}

func (c *counted) Revision(ctx context.Context) (int64, error) {
	c.reads.Add(1)
	return c.Store.Revision(ctx)
}

func (c *counted) Write(ctx context.Context, w storage.Write) (storage.Result, error) {
	c.writes.Add(1)
	return c.Store.Write(ctx, w)
}

// Every write is one transaction, and what was before is known without asking the store.
func TestOneTransactionPerWrite(t *testing.T) { synctest.Test(t, testTransactions) }

func testTransactions(t *testing.T) {
	store := &counted{Store: memory.New(memory.Config{})}
	e := startOver(t, store, rest.Config{})
	pods, services, deployments := of[*corev1.Pod](e), of[*corev1.Service](e), of[*appsv1.Deployment](e)
	patch := func(s *rest.Store, name, sub string, pt types.PatchType, data string) error {
		_, err := s.Patch(e.ctx, "default", name, sub, pt, []byte(data), metav1.PatchOptions{})
		return err
	}
	now := metav1.DeleteOptions{GracePeriodSeconds: new(int64)}
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"create", func() error { _, err := e.create("default", pod("p", "")); return err }},
		{"generate a name", func() error {
			p := pod("", "")
			p.GenerateName = "g-"
			_, err := e.create("default", p)
			return err
		}},
		{"update", func() error {
			_, err := update(e, "default", "p", "", func(p *corev1.Pod) { p.Labels = map[string]string{"a": "b"} })
			return err
		}},
		{"merge patch", func() error { return patch(pods, "p", "", types.MergePatchType, `{"metadata":{"labels":{"m":"1"}}}`) }},
		{"strategic patch", func() error {
			return patch(pods, "p", "", types.StrategicMergePatchType, `{"metadata":{"labels":{"s":"1"}}}`)
		}},
		{"JSON patch", func() error {
			return patch(pods, "p", "", types.JSONPatchType, `[{"op":"add","path":"/metadata/labels/j","value":"1"}]`)
		}},
		{"apply", func() error {
			_, _, err := pods.Apply(e.ctx, "default", "p", "", []byte(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","labels":{"x":"1"}}}`),
				metav1.PatchOptions{FieldManager: "m"})
			return err
		}},
		{"bind", func() error {
			binding := &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Target: corev1.ObjectReference{Name: "n"}}
			_, err := pods.CreateSubresource(e.ctx, "default", "p", "binding", binding, metav1.CreateOptions{})
			return err
		}},
		{"status", func() error {
			_, err := update(e, "default", "p", "status", func(p *corev1.Pod) { p.Status.Phase = corev1.PodRunning })
			return err
		}},
		{"mark for deletion", func() error { _, _, err := pods.Delete(e.ctx, "default", "p", metav1.DeleteOptions{}); return err }},
		{"delete", func() error { _, _, err := pods.Delete(e.ctx, "default", "p", now); return err }},
		{"create with addresses", func() error {
			s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "s"}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeNodePort, Ports: []corev1.ServicePort{{Port: 80}}}}
			_, err := services.Create(e.ctx, "default", s, metav1.CreateOptions{})
			return err
		}},
		{"one more port", func() error {
			return patch(services, "s", "", types.JSONPatchType, `[{"op":"add","path":"/spec/ports/-","value":{"name":"b","port":81}},{"op":"add","path":"/spec/ports/0/name","value":"a"}]`)
		}},
		{"delete with addresses", func() error { _, _, err := services.Delete(e.ctx, "default", "s", now); return err }},
		{"create what has a scale", func() error {
			_, err := e.create("default", &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "d"}, Spec: appsv1.DeploymentSpec{Replicas: new(int32)}})
			return err
		}},
		{"scale", func() error { return patch(deployments, "d", "scale", types.MergePatchType, `{"spec":{"replicas":5}}`) }},
	} {
		synctest.Wait() // until the caches have seen all that was written
		store.reads.Store(0)
		store.writes.Store(0)
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.what, err)
		}
		if reads, writes := store.reads.Load(), store.writes.Load(); reads != 0 || writes != 1 {
			t.Errorf("%s: %d transactions and %d reads", step.what, writes, reads)
		}
	}
}
