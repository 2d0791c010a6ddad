package rest_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/apiserver/rest"
	"github.com/miniorch/miniorch/apiserver/storage"
	"github.com/miniorch/miniorch/apiserver/storage/memory"
)

// BenchmarkWrite measures writes per second through the whole engine (admission,
// validation, encoding, compare-and-swap) beside what the store alone does.
func BenchmarkWrite(b *testing.B) {
	stores := map[string]func(b *testing.B) storage.Store{
		"memory": func(*testing.B) storage.Store { return memory.New(memory.Config{}) },
		"etcd":   func(b *testing.B) storage.Store { return embedded(b) },
	}
	for _, name := range []string{"memory", "etcd"} {
		for _, writers := range []int{1, 16} {
			b.Run(fmt.Sprintf("%s/writers=%d/store alone", name, writers), func(b *testing.B) {
				store, value := stores[name](b), make([]byte, 1000)
				parallel(b, writers, func(i int64) error {
					_, err := store.Write(b.Context(), storage.Write{Key: fmt.Sprintf("/bench/%d", i), Value: value})
					return err
				})
			})
			for what, write := range writes {
				b.Run(fmt.Sprintf("%s/writers=%d/%s", name, writers, what), func(b *testing.B) {
					e := startOver(b, stores[name](b), rest.Config{})
					parallel(b, writers, func(i int64) error { return write(e, i) })
				})
			}
		}
	}
}

var writes = map[string]func(e *engine, i int64) error{
	"create pod": func(e *engine, i int64) error {
		_, err := e.create("default", pod(fmt.Sprint("p", i), ""))
		return err
	},
	"create pod and report its status twice": func(e *engine, i int64) error {
		name := fmt.Sprint("p", i)
		if _, err := e.create("default", pod(name, "")); err != nil {
			return err
		}
		for _, phase := range []corev1.PodPhase{corev1.PodPending, corev1.PodRunning} {
			if _, err := update(e, "default", name, "status", func(p *corev1.Pod) {
				p.Status.Phase, p.Status.PodIP, p.Status.PodIPs = phase, "10.244.0.7", []corev1.PodIP{{IP: "10.244.0.7"}}
				p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
			}); err != nil {
				return err
			}
		}
		return nil
	},
	"create and bind pod": func(e *engine, i int64) error {
		name := fmt.Sprint("p", i)
		if _, err := e.create("default", pod(name, "")); err != nil {
			return err
		}
		binding := &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: name}, Target: corev1.ObjectReference{Name: "n"}}
		_, err := of[*corev1.Pod](e).CreateSubresource(e.ctx, "default", name, "binding", binding, metav1.CreateOptions{})
		return err
	},
}

// parallel runs b.N calls on so many goroutines.
func parallel(b *testing.B, writers int, do func(i int64) error) {
	b.ReportAllocs()
	b.ResetTimer()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for {
				i := next.Add(1)
				if i > int64(b.N) {
					return
				}
				if err := do(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
}

func BenchmarkRead(b *testing.B) {
	e := startOver(b, memory.New(memory.Config{}), rest.Config{})
	for i := range 5000 {
		e.mustCreate("default", pod(fmt.Sprintf("p%04d", i), fmt.Sprint("n", i%100)))
	}
	pods := of[*corev1.Pod](e)
	reads := map[string]func(i int64) error{
		"get": func(i int64) error {
			_, err := pods.Get(e.ctx, "default", fmt.Sprintf("p%04d", i%5000), metav1.GetOptions{})
			return err
		},
		"list 5000": func(int64) error { _, err := pods.List(e.ctx, "", metav1.ListOptions{}); return err },
		"list of a node": func(int64) error {
			_, err := pods.List(e.ctx, "", metav1.ListOptions{FieldSelector: "spec.nodeName=n7"})
			return err
		},
		"list one by name": func(int64) error {
			_, err := pods.List(e.ctx, "default", metav1.ListOptions{FieldSelector: "metadata.name=p0007"})
			return err
		},
		"update of a label": func(i int64) error {
			_, err := update(e, "default", fmt.Sprintf("p%04d", i%5000), "", func(p *corev1.Pod) { p.Labels = map[string]string{"i": fmt.Sprint(i)} })
			return err
		},
		"update of nothing": func(i int64) error {
			_, err := update(e, "default", fmt.Sprintf("p%04d", i%5000), "", func(*corev1.Pod) {})
			return err
		},
		"strategic patch": func(i int64) error {
			_, err := pods.Patch(e.ctx, "default", fmt.Sprintf("p%04d", i%5000), "", strategicPatch, fmt.Appendf(nil, `{"metadata":{"labels":{"j":"%d"}}}`, i), metav1.PatchOptions{})
			return err
		},
	}
	for name, read := range reads {
		b.Run(name, func(b *testing.B) { parallel(b, 1, read) })
	}
}
