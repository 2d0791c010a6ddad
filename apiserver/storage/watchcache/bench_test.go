package watchcache

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/apiserver/storage"
	"github.com/miniorch/miniorch/apiserver/storage/memory"
	"github.com/miniorch/miniorch/pkg/api"
)

// realPod has what the pods of a Deployment have.
func realPod(i int) *corev1.Pod {
	name := fmt.Sprintf("web-6f7b9c5d8-%05d", i)
	list := corev1.ResourceList{"cpu": resource.MustParse("100m"), "memory": resource.MustParse("64Mi")}
	now := metav1.Now()
	var conditions []corev1.PodCondition
	for _, c := range []corev1.PodConditionType{"PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"} {
		conditions = append(conditions, corev1.PodCondition{Type: c, Status: "True", LastTransitionTime: now})
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, GenerateName: "web-6f7b9c5d8-", Namespace: "default", UID: "3a5b2a4e-0b7c-4a53-9d0e-0f4a5a0f6f11", CreationTimestamp: now,
			Labels:          map[string]string{"app": "web", "pod-template-hash": "6f7b9c5d8"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web-6f7b9c5d8", UID: "u", Controller: new(bool)}},
			ManagedFields:   []metav1.ManagedFieldsEntry{{Manager: "kube-controller-manager", Operation: "Update", APIVersion: "v1", Time: &now, FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(fmt.Sprintf(`{"f:spec":{%q:{}}}`, strings.Repeat("f", 800)))}},
		},
		Spec: corev1.PodSpec{
			NodeName: fmt.Sprintf("node-%d", i%100), RestartPolicy: "Always", ServiceAccountName: "default", SchedulerName: "default-scheduler", DNSPolicy: "ClusterFirst",
			Volumes:     []corev1.Volume{{Name: "kube-api-access-x7z2k", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}},
			Tolerations: []corev1.Toleration{{Key: "node.kubernetes.io/not-ready", Operator: "Exists", Effect: "NoExecute"}, {Key: "node.kubernetes.io/unreachable", Operator: "Exists", Effect: "NoExecute"}},
			Containers: []corev1.Container{{
				Name: "web", Image: "miniorch/demo:latest", ImagePullPolicy: "IfNotPresent", Resources: corev1.ResourceRequirements{Requests: list, Limits: list},
				Env:          []corev1.EnvVar{{Name: "A", Value: "some value"}, {Name: "B", Value: "another value"}},
				Ports:        []corev1.ContainerPort{{Name: "http", ContainerPort: 8080, Protocol: "TCP"}},
				VolumeMounts: []corev1.VolumeMount{{Name: "kube-api-access-x7z2k", MountPath: "/var/run/secrets/kubernetes.io/serviceaccount", ReadOnly: true}},
			}},
		},
		Status: corev1.PodStatus{
			Phase: "Running", PodIP: "10.244.1.17", HostIP: "10.89.0.12", Conditions: conditions,
			ContainerStatuses: []corev1.ContainerStatus{{Name: "web", Ready: true, Image: "miniorch/demo:latest", ImageID: "sha256:d2c94e258dcb3c5ac2798d32e1249e42ef01cba4841c2234249495f87264ac5a", ContainerID: "containerd://d2c94e258dcb3c5ac2798d32e1249e42ef01cba4841c2234249495f87264ac5a"}},
		},
	}
}

// filled returns a cache of n real pods.
func filled(b *testing.B, n int) *fixture {
	b.Helper()
	store := memory.New(memory.Config{})
	for i := range n {
		b := value(b, i)
		if _, err := store.Write(context.Background(), storage.Write{Key: benchKey(i), Value: b}); err != nil {
			panic(err)
		}
	}
	return begin(b, store, config())
}

func benchKey(i int) string { return fmt.Sprintf("%sdefault/web-%05d", prefix, i) }

func value(b *testing.B, i int) []byte {
	v, err := podCodec.Encode(benchKey(i), realPod(i))
	if err != nil {
		b.Fatal(err)
	}
	return v
}

func BenchmarkGet(b *testing.B) {
	f := filled(b, 10_000)
	key := benchKey(5000)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := f.cache.Get(key); !ok {
			b.Fatal("gone")
		}
	}
}

// BenchmarkList walks 5,000 pods and takes each one's kept JSON, as a LIST does.
func BenchmarkList(b *testing.B) {
	f := filled(b, 5000)
	encode := func(obj api.Object) ([]byte, error) { return json.Marshal(obj) }
	list := func() (size int) {
		f.cache.Snapshot().Ascend(prefix, "", func(it *Item) bool {
			body, err := it.Encoded(FormatJSON, encode)
			if err != nil {
				b.Fatal(err)
			}
			size += len(body)
			return true
		})
		return size
	}
	begin := time.Now()
	size := list()
	first := time.Since(begin)
	b.ReportAllocs()
	for b.Loop() {
		list()
	}
	b.SetBytes(int64(size))
	b.ReportMetric(float64(first.Milliseconds()), "ms-first")
}

// BenchmarkApply is what the cache does for each event, with and without watchers.
func BenchmarkApply(b *testing.B) {
	f := filled(b, 10_000)
	v := value(b, 1)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		rev := f.cache.Revision() + 1
		f.cache.apply(storage.Batch{Progress: rev, Events: []storage.Event{{KV: storage.KV{Key: benchKey(i % 10_000), Value: v, Revision: rev}}}})
	}
}

// BenchmarkFanOut measures from the write of one pod until all watchers have its event.
func BenchmarkFanOut(b *testing.B) {
	for _, watchers := range []int{100, 1000, 10_000} {
		b.Run(fmt.Sprint(watchers), func(b *testing.B) {
			f := withMemory(b)
			ctx, cancel := context.WithCancel(context.Background())
			before := heap()
			var got atomic.Int64
			all := make(chan struct{}, 1)
			var wg sync.WaitGroup
			for range watchers {
				w, err := f.cache.Watch(ctx, WatchOptions{Prefix: prefix + "default/"})
				if err != nil {
					b.Fatal(err)
				}
				wg.Go(func() {
					for {
						if _, err := w.Next(ctx); err != nil {
							return
						}
						if got.Add(1)%int64(watchers) == 0 {
							all <- struct{}{}
						}
					}
				})
			}
			time.Sleep(100 * time.Millisecond) // let them settle, to measure them idle
			idle := heap() - before
			v := value(b, 1)
			cpu := processorTime()
			for b.Loop() {
				force(b, f.store, benchKey(1), v)
				<-all
			}
			b.ReportMetric(float64(processorTime()-cpu)/float64(b.N), "cpu-ns/op")
			b.ReportMetric(float64(b.N)*float64(watchers)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64(idle)/float64(watchers), "B/watcher")
			cancel()
			wg.Wait()
		})
	}
}

// BenchmarkNodeWatchers is 1,000 kubelets that watch their pods while others' are written:
// each write wakes one of them.
func BenchmarkNodeWatchers(b *testing.B) {
	f := withMemory(b)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	got := make(chan struct{}, 1)
	for i := range 1000 {
		w, err := f.cache.Watch(ctx, WatchOptions{Index: "spec.nodeName", Value: fmt.Sprintf("node-%d", i)})
		if err != nil {
			b.Fatal(err)
		}
		wg.Go(func() {
			for {
				if _, err := w.Next(ctx); err != nil {
					return
				}
				got <- struct{}{}
			}
		})
	}
	values := make([][]byte, 100)
	for i := range values {
		values[i] = value(b, i)
	}
	for i := 0; b.Loop(); i++ {
		force(b, f.store, benchKey(i%100), values[i%100])
		<-got
	}
	cancel()
	wg.Wait()
}

// BenchmarkMemory reports what 10,000 pods take, without and with their JSON.
func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		store := memory.New(memory.Config{})
		stored := 0
		for i := range 10_000 {
			v := value(b, i)
			stored += len(v)
			force(b, store, benchKey(i), v)
		}
		before := heap()
		cfg := config()
		cfg.Budget = NewBudget(1 << 30)
		f := begin(b, store, cfg)
		cached := heap() - before
		f.cache.Snapshot().Ascend(prefix, "", func(it *Item) bool {
			_, err := it.Encoded(FormatJSON, func(obj api.Object) ([]byte, error) { return json.Marshal(obj) })
			return err == nil
		})
		b.ReportMetric(float64(stored)/1e6, "MB-stored")
		b.ReportMetric(float64(cached)/1e6, "MB-cached")
		b.ReportMetric(float64(heap()-before)/1e6, "MB-with-JSON")
		f.stop()
	}
}

// processorTime is what this process has used: unlike elapsed time it does not depend on
// who else uses the machine.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// BenchmarkFill is the start of a cache of 10,000 pods.
func BenchmarkFill(b *testing.B) {
	store := memory.New(memory.Config{})
	for i := range 10_000 {
		force(b, store, benchKey(i), value(b, i))
	}
	for b.Loop() {
		begin(b, store, config()).stop()
	}
}
