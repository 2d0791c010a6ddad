package scheduler

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/apiserver/apiservertest"
	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/client/clienttest"
	"github.com/miniorch/miniorch/scheduler/framework"
	"github.com/miniorch/miniorch/scheduler/framework/sample"
)

// BenchmarkDecide measures decisions alone: replicas share evaluations, strangers do not.
func BenchmarkDecide(b *testing.B) {
	kinds := []struct {
		name string
		pod  func(i int) *corev1.Pod
	}{
		{"replicas", func(i int) *corev1.Pod {
			return sample.Owned(sample.Pod(fmt.Sprint("p", i), "cpu", "10m", "memory", "10Mi"), "rs")
		}},
		{"strangers", func(i int) *corev1.Pod {
			return sample.Pod(fmt.Sprint("p", i), "cpu", fmt.Sprint(i%2000+1, "m"), "memory", "10Mi")
		}},
	}
	for _, nodes := range []int{1000, 5000} {
		for _, k := range kinds {
			b.Run(fmt.Sprintf("%s/nodes=%d", k.name, nodes), func(b *testing.B) {
				fw, err := framework.New(DefaultProfile(nil))
				if err != nil {
					b.Fatal(err)
				}
				c, shared := newCache(), &evaluations{}
				for i := range nodes {
					c.setNode(sample.Node(fmt.Sprintf("n%04d", i), "cpu", "64", "memory", "256Gi", "pods", "1000000"))
				}
				n := 0
				for b.Loop() {
					pod := k.pod(n)
					pod.UID = types.UID(pod.Name)
					info := framework.NewPodInfo(pod)
					if d := decide(shared, fw, info, fw.Sign(info), c.snapshot(), rand.Float64); d.Node != "" {
						c.assume(info, d.Node)
					}
					n++
				}
				b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "pods/s")
			})
		}
	}
}

// BenchmarkThroughAPI measures pods from creation to binding against a real API server in
// this process, on the memory store, with 1,000 nodes.
func BenchmarkThroughAPI(b *testing.B) {
	server := apiservertest.Start(b)
	admin := server.Client(auth.Admin())
	w := &filler{b, admin}
	for i := range 1000 {
		w.node(sample.Node(fmt.Sprintf("n%04d", i), "cpu", "64", "memory", "256Gi", "pods", "1000"))
	}
	for round := 0; b.Loop(); round++ {
		const pods = 5000
		for i := range pods {
			w.pod(sample.Owned(sample.Pod(fmt.Sprintf("p%d-%d", round, i), "cpu", "10m", "memory", "10Mi"), "rs"))
		}
		w.schedule(pods)
	}
}

type filler struct {
	*testing.B
	admin client.Transport
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

func (f *filler) pod(p *corev1.Pod) {
	p.Namespace, p.UID = "default", ""
	if _, err := client.Of[*corev1.Pod](f.admin).Create(f.Context(), p); err != nil {
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
	clienttest.Run(f.B, informers.Run)
	if err := informers.WaitForSync(f.Context()); err != nil {
		f.Fatal(err)
	}
	began := time.Now()
	clienttest.Run(f.B, recorder.Run)
	clienttest.Run(f.B, s.Run)
	for range pods {
		<-left
	}
	f.ReportMetric(float64(pods)/time.Since(began).Seconds(), "binds/s")
}
