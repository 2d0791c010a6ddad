package controllers

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/controllers/controllertest"
	"github.com/miniorch/miniorch/controllers/replicaset"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/client/clienttest"
)

func (w *world) active() int {
	n := 0
	for _, p := range list[*corev1.Pod](w, "default", "app=web") {
		if api.IsPodActive(p) {
			n++
		}
	}
	return n
}

// leaders runs so many ReplicaSet controllers at once, each with its own late view: what
// happens when leadership, which is a hint, is with two.
func (w *world) leaders(n int, lag time.Duration, seed uint64) {
	for i := range n {
		w.Cleanup(w.Start(clienttest.NewLate(w.Admin, lag, seed*10+uint64(i)), makeReplicaSets))
	}
}

func makeReplicaSets(t client.Transport, informers *client.Informers, cfg control.Config) controllertest.Runner {
	return replicaset.New(t, informers, cfg)
}

func webSet(n int32) *appsv1.ReplicaSet {
	return &appsv1.ReplicaSet{ObjectMeta: meta("default", "web"), Spec: appsv1.ReplicaSetSpec{
		Replicas: &n, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}, Template: template("v1"),
	}}
}

// A stale view makes no duplicate, and one leader never takes a pod too many.
func TestStaleViewsDoNoHarm(t *testing.T) {
	cases := []struct {
		leaders int
		lag     time.Duration
	}{{1, 5 * time.Second}, {2, 900 * time.Millisecond}, {3, 300 * time.Millisecond}}
	for _, tc := range cases {
		for seed := range uint64(10) {
			t.Run(fmt.Sprintf("%d leaders, lag %v, seed %d", tc.leaders, tc.lag, seed), func(t *testing.T) {
				inWorldOf(t, 3, nil, false, func(w *world) {
					w.leaders(tc.leaders, tc.lag, seed)
					w.molest(tc.leaders == 1, rand.New(rand.NewPCG(seed, 2)))
				})
			})
		}
	}
}

// molest deletes pods and changes the set's size at random, and watches the number of pods.
func (w *world) molest(strict bool, chance *rand.Rand) {
	w.Helper()
	want := 5
	create(w, webSet(int32(want)))
	w.Tick(20 * time.Second)
	for step := range 60 {
		most, least := want, 0
		switch pods := list[*corev1.Pod](w, "default", "app=web"); chance.IntN(4) {
		case 0:
			if len(pods) > 0 {
				grace := int64(30)
				if strict { // a pod whose whole life is shorter than the lag leaves no trace for a second leader
					grace *= int64(chance.IntN(2))
				}
				p := pods[chance.IntN(len(pods))]
				if err := client.Of[*corev1.Pod](w.Admin).Delete(w.Context(), "default", p.Name, metav1.DeleteOptions{GracePeriodSeconds: &grace}); err != nil {
					w.Fatal(err)
				}
			}
		case 1:
			w.Tick(15 * time.Second) // everybody has seen everything
			least = min(w.active(), want)
			was := want
			want = chance.IntN(8)
			most, least = max(was, want), min(least, want)
			edit(w, "default", "web", func(rs *appsv1.ReplicaSet) { rs.Spec.Replicas = ptr.To(int32(want)) })
			for range 30 {
				w.Tick(500 * time.Millisecond)
				w.expectActive(step, most, least, strict)
			}
			continue
		}
		for range 1 + chance.IntN(10) {
			w.Tick(200 * time.Millisecond)
			w.expectActive(step, most, 0, strict)
		}
	}
	w.Tick(30 * time.Second)
	w.expectActive(-1, want, want, true)
}

func (w *world) expectActive(step, most, least int, strict bool) {
	w.Helper()
	if n := w.active(); n > most || strict && n < least {
		for _, r := range w.Decisions.Since(0) {
			w.Logf("%s %s %s %s", r.Time.Format("05.000"), r.Component, r.Plan, r.Error)
		}
		w.Fatalf("step %d: %d active pods, want %d to %d", step, n, least, most)
	}
}
