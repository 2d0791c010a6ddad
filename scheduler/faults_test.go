package scheduler

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/apiserver/apiservertest"
	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/client/clienttest"
	"github.com/miniorch/miniorch/scheduler/framework/sample"
)

// stage is a world in which schedulers come and go, and pods that were evicted end after a while.
type stage struct {
	*world
	server interface {
		Client(auth.User) client.Transport
	}
	at   map[string]string // where each pod was seen first
	told map[string]bool
}

// start runs a scheduler through t until stop is called or t dies.
func (s *stage) start(t client.Transport) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	informers := clienttest.NewInformers(s.T, t)
	one, err := New(t, informers, Config{Logger: slog.New(slog.DiscardHandler), Decisions: s.decisions})
	if err != nil {
		s.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() { _ = informers.Run(ctx) })
	running.Go(func() { _ = one.Run(ctx) })
	if m, ok := t.(*clienttest.Mortal); ok {
		running.Go(func() {
			select {
			case <-m.Died():
				cancel()
			case <-ctx.Done():
			}
		})
	}
	return func() {
		cancel()
		running.Wait()
	}
}

func (s *stage) list() []*corev1.Pod {
	s.Helper()
	all, _, err := client.Of[*corev1.Pod](s.admin).List(s.Context(), "default", metav1.ListOptions{})
	if err != nil {
		s.Fatal(err)
	}
	return all
}

// tick lets a moment pass, ends pods that have been told to go, and checks what must hold always:
// a pod stays on its node, and one scheduler alone never puts more on a node than it has.
func (s *stage) tick(leaders int) {
	s.Helper()
	time.Sleep(250 * time.Millisecond)
	synctest.Wait()
	used := map[string]int64{}
	for _, p := range s.list() {
		node := p.Spec.NodeName
		if node == "" {
			continue
		}
		if s.at[p.Name] == "" {
			s.at[p.Name] = node
		}
		if s.at[p.Name] != node {
			s.Fatalf("%s was bound to %s and then to %s", p.Name, s.at[p.Name], node)
		}
		if p.DeletionTimestamp != nil && !s.told[p.Name] {
			s.told[p.Name] = true
			s.Log(time.Now().Format("04:05.000"), p.Name, "has to go from", node, p.Status.Conditions)
		}
		requests := api.PodRequests(p)
		used[node] += requests.Cpu().MilliValue()
		if p.DeletionTimestamp != nil && time.Since(p.DeletionTimestamp.Time.Add(-30*time.Second)) > 3*time.Second {
			s.delete(p.Name)
		}
	}
	for node, cpu := range used {
		if leaders == 1 && cpu > 2000 {
			s.Fatalf("node %s has 2 CPUs, its pods want %dm", node, cpu)
		}
	}
}

// end tells how many pods of each kind have a node.
func (s *stage) end() string {
	s.Helper()
	placed := map[string]int{}
	for _, p := range s.list() {
		kind, _, _ := strings.Cut(p.Name, "-")
		if p.Spec.NodeName != "" && p.DeletionTimestamp == nil {
			placed[kind]++
		} else {
			placed[kind+" without a node"]++
		}
	}
	var out []string
	for kind, n := range placed {
		out = append(out, fmt.Sprint(n, " ", kind))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// process is a scheduler under faults, and another after it, and so on.
type process struct {
	*clienttest.Mortal
	stop func()
}

func (s *stage) process(chance *rand.Rand, leaders int, calm bool) *process {
	left, flaws := 1+chance.IntN(10), 10
	if calm {
		left, flaws = -1, 0
	}
	lag := 2 * time.Second / time.Duration(leaders)
	var t client.Transport = clienttest.NewLate(s.server.Client(auth.User{Name: auth.UserScheduler, Groups: []string{auth.GroupAuthenticated}}), lag, chance.Uint64())
	t = clienttest.NewFlaky(t, 0.1, flaws, rand.New(rand.NewPCG(chance.Uint64(), 1)))
	t = clienttest.NewPausing(t, 0.2, lag, flaws, rand.New(rand.NewPCG(chance.Uint64(), 2)))
	m := clienttest.NewMortal(t, left, chance.IntN(2) == 0)
	return &process{m, s.start(m)}
}

// TestFaults schedules plain pods, a group and a pod that others must make room for, while views are
// stale, writes fail or get lost, and schedulers die before or after any write; alone, and two at
// once that both think that they lead. The end is the one without faults.
func TestFaults(t *testing.T) {
	for _, tt := range []struct {
		leaders   int
		cpu, want string // of each node; the end
	}{
		{1, "2", "1 high, 2 group, 4 low"}, // two have to go, and no more
		{2, "4", "1 high, 2 group, 6 low"}, // room for all: two that know nothing of one another take the same
	} {
		for seed := range uint64(12) {
			t.Run(fmt.Sprintf("leaders=%d/seed=%d", tt.leaders, seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					faults(t, tt.leaders, tt.cpu, tt.want, rand.New(rand.NewPCG(seed, uint64(tt.leaders))))
				})
			})
		}
	}
}

func faults(t *testing.T, leaders int, cpu, want string, chance *rand.Rand) {
	server := apiservertest.Start(t)
	s := &stage{world: newWorld(t, server.Client(auth.Admin())), server: server, at: map[string]string{}, told: map[string]bool{}}
	s.classes()
	for i := range 4 {
		s.node(sample.Node(fmt.Sprint("n", i), "cpu", cpu))
	}
	for i := range 6 {
		s.pod(classed(sample.Pod(fmt.Sprint("low-", i), "cpu", "1"), "low"))
	}
	for i := range 2 {
		s.pod(classed(member("group", i, "2"), "middle"))
	}
	running, deaths := make([]*process, leaders), 0
	for i := range running {
		running[i] = s.process(chance, leaders, false)
	}
	defer func() {
		for _, p := range running {
			p.stop()
		}
		for _, r := range s.decisions.Since(0) {
			if t.Failed() {
				t.Log(r.Time.Format("04:05.000"), r.Object.Name, r.Plan, r.Error)
			}
		}
	}()
	play := func(done string) {
		for range 4 * 600 {
			s.tick(leaders)
			for i, p := range running {
				if p.IsDead() {
					p.stop()
					deaths++
					t.Log(time.Now().Format("04:05.000"), "death")
					running[i] = s.process(chance, leaders, deaths > 20)
				}
			}
			if s.end() == done {
				return
			}
		}
		t.Fatalf("after %d deaths: %s, want %s", deaths, s.end(), done)
	}
	play("2 group, 6 low")
	s.pod(classed(sample.Pod("high-0", "cpu", "2"), "high"))
	play(want)
	for range 40 {
		s.tick(leaders)
	}
	if got := s.end(); got != want {
		t.Errorf("it does not last: %s", got)
	}
}
