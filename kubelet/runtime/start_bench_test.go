package runtime

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"

	"github.com/miniorch/miniorch/kubelet/container"
)

// BenchmarkStart compares what it takes until a container's process runs: by containerd's
// own client with the least that it takes, and by this package with a log, a cgroup and
// everything. Run it with -benchtime=30x; both see the same machine in the same run, in
// turns.
func BenchmarkStart(b *testing.B) {
	n := startNode(b)
	events, err := n.Events(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	started := make(chan string, 100)
	go func() {
		for e := range events {
			if e.Type == container.EventStarted {
				started <- e.ID
			}
		}
	}()
	_, remove := n.plainStart(b, "warm")
	remove()
	n.fullStart(b, "warm", started)
	var plain, full, shared []time.Duration
	for i := range max(b.N, 30) {
		d, remove := n.plainStart(b, fmt.Sprint("plain", i))
		remove()
		plain = append(plain, d)
		d1, d2 := n.fullStart(b, fmt.Sprint("full", i), started)
		full, shared = append(full, d1), append(shared, d2)
	}
	for name, took := range map[string][]time.Duration{"plain": plain, "full": full, "second-in-pod": shared} {
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, name+"-p50-ms")
		b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, name+"-p99-ms")
	}
}

// plainStart is the time that containerd alone takes, output going nowhere.
func (n *node) plainStart(b *testing.B, id string) (took time.Duration, remove func()) {
	b.Helper()
	ctx := n.scope(context.Background())
	image, err := n.client.GetImage(ctx, "docker.io/library/busybox:latest")
	if err != nil {
		b.Fatal(err)
	}
	begin := time.Now()
	c, err := n.client.NewContainer(ctx, id, client.WithSnapshotter("overlayfs"), client.WithNewSnapshot(id, image),
		client.WithNewSpec(oci.WithImageConfig(image), oci.WithProcessArgs("sleep", "1000"), oci.WithHostNamespace("network")))
	if err != nil {
		b.Fatal(err)
	}
	task, err := c.NewTask(ctx, cio.NullIO)
	if err != nil {
		b.Fatal(err)
	}
	if err := task.Start(ctx); err != nil {
		b.Fatal(err)
	}
	took = time.Since(begin)
	return took, func() {
		if _, err := task.Delete(ctx, client.WithProcessKill); err != nil {
			b.Error(err)
		}
		if err := c.Delete(ctx, client.WithSnapshotCleanup); err != nil {
			b.Error(err)
		}
	}
}

// fullStart is the time this package takes to the event of the start, for a pod's first
// container and for its second.
func (n *node) fullStart(b *testing.B, pod string, started <-chan string) (first, second time.Duration) {
	b.Helper()
	one := func(name string) (string, time.Duration) {
		begin := time.Now()
		id := n.run(n.spec(pod, name, "sleep", "1000"))
		for <-started != id {
		}
		return id, time.Since(begin)
	}
	id1, first := one("one")
	id2, second := one("two")
	for _, id := range []string{id1, id2} {
		if err := n.Remove(context.Background(), id); err != nil {
			b.Fatal(err)
		}
	}
	return first, second
}

// BenchmarkThirtyTogether compares the time until thirty containers run that are started
// at once, each in a pod of its own. The two take turns at going first, and the median of
// the rounds counts: on a small machine everything else is noise.
func BenchmarkThirtyTogether(b *testing.B) {
	const many = 30
	n := startNode(b)
	together := func(one func(i int) (remove func())) time.Duration {
		removals := make([]func(), many)
		begin := time.Now()
		var all sync.WaitGroup
		for i := range many {
			all.Go(func() { removals[i] = one(i) })
		}
		all.Wait()
		took := time.Since(begin)
		for _, remove := range removals {
			remove()
		}
		return took
	}
	var plain, full []time.Duration
	starts := []func(round int){
		func(round int) {
			plain = append(plain, together(func(i int) func() {
				_, remove := n.plainStart(b, fmt.Sprint("plain", round, "-", i))
				return remove
			}))
		},
		func(round int) {
			full = append(full, together(func(i int) func() {
				id := n.run(n.spec(fmt.Sprint("full", round, "-", i), "main", "sleep", "1000"))
				return func() {
					if err := n.Remove(context.Background(), id); err != nil {
						b.Error(err)
					}
				}
			}))
		},
	}
	for round := range max(b.N, 5) {
		starts[round%2](round)
		starts[1-round%2](round)
	}
	for name, took := range map[string][]time.Duration{"plain": plain, "full": full} {
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)/2].Milliseconds()), name+"-ms")
	}
}
