package scheduler

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/apiserver/apiservertest"
	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/apiserver/storage"
	"github.com/miniorch/miniorch/apiserver/storage/etcd"
	"github.com/miniorch/miniorch/apiserver/storage/memory"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/scheduler/framework/sample"
)

// BenchmarkThroughAPI measures pods from the start of the scheduler to the watch event that shows
// their binding: a real API server in this process, 1,000 nodes, 5,000 pods of a shape.
func BenchmarkThroughAPI(b *testing.B) {
	stores := map[string]func(b *testing.B) storage.Store{
		"memory": func(*testing.B) storage.Store { return memory.New(memory.Config{}) },
		"etcd":   embedded,
	}
	for _, name := range slices.Sorted(maps.Keys(stores)) {
		for _, s := range shapes() {
			if s.api && (name == "etcd" || s.name == "Basic") {
				b.Run(fmt.Sprintf("store=%s/%s", name, s.name), func(b *testing.B) { throughAPI(b, stores[name](b), s) })
			}
		}
	}
}

func throughAPI(b *testing.B, store storage.Store, s shape) {
	server := apiservertest.Start(b, apiservertest.WithStore(store))
	f := &filler{b, server.Client(auth.Admin())}
	for i := range 1000 {
		f.node(perfNode(i))
	}
	const pods = 5000
	for round := 0; b.Loop(); round++ {
		f.pods(pods, func(i int) *corev1.Pod { return s.pod(round*pods + i) })
		f.schedule(pods)
	}
}

func embedded(b *testing.B) storage.Store {
	e, err := etcd.StartEmbedded(b.Context(), etcd.EmbeddedConfig{DataDir: b.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := e.Close(); err != nil {
			b.Error(err)
		}
	})
	return etcd.New(e.Client(), etcd.Config{})
}

type filler struct {
	*testing.B
	admin client.Transport
}

// pods creates pods, several at a time.
func (f *filler) pods(n int, pod func(i int) *corev1.Pod) {
	var writing errgroup.Group
	writing.SetLimit(64)
	for i := range n {
		p := sample.Owned(pod(i), "rs")
		p.Namespace, p.UID = "default", ""
		writing.Go(func() error {
			_, err := client.Of[*corev1.Pod](f.admin).Create(f.Context(), p)
			return err
		})
	}
	if err := writing.Wait(); err != nil {
		f.Fatal(err)
	}
}

func (f *filler) node(n *corev1.Node) {
	n.UID = ""
	status := n.Status
	made, err := client.Of[*corev1.Node](f.admin).Create(f.Context(), n)
	if err != nil {
		f.Fatal(err)
	}
	made = made.DeepCopy()
	made.Status = status
	if _, err := client.Of[*corev1.Node](f.admin).UpdateStatus(f.Context(), made); err != nil {
		f.Fatal(err)
	}
}

// schedule runs a scheduler until all pods have a node, and reports the rate.
func (f *filler) schedule(pods int) {
	quiet := slog.New(slog.DiscardHandler)
	recorder := client.NewRecorder(f.admin, "default-scheduler", client.RecorderConfig{Config: client.Config{Logger: quiet}})
	informers := client.NewInformers(f.admin, client.Config{})
	s, err := New(f.admin, informers, Config{Recorder: recorder, Logger: quiet})
	if err != nil {
		f.Fatal(err)
	}
	left := make(chan struct{}, pods)
	client.InformerFor[*corev1.Pod](informers).Handle(func(old, p *corev1.Pod) {
		if old != nil && p != nil && old.Spec.NodeName == "" && p.Spec.NodeName != "" {
			left <- struct{}{}
		}
	})
	ctx, stop := context.WithCancel(f.Context())
	var running errgroup.Group
	defer func() { stop(); _ = running.Wait() }() // they return ctx's error
	running.Go(func() error { return informers.Run(ctx) })
	if err := informers.WaitForSync(ctx); err != nil {
		f.Fatal(err)
	}
	began, cpu := time.Now(), cpuTime(f.B)
	running.Go(func() error { return recorder.Run(ctx) })
	running.Go(func() error { return s.Run(ctx) })
	for range pods {
		<-left
	}
	f.ReportMetric(float64(pods)/time.Since(began).Seconds(), "binds/s")
	f.ReportMetric(float64(pods)/(cpuTime(f.B)-cpu).Seconds(), "binds/cpu-s")
}
