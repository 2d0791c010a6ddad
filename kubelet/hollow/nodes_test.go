package hollow_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/miniorch/miniorch/kubelet/container"
	"github.com/miniorch/miniorch/kubelet/hollow"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/client/clienttest"
	"github.com/miniorch/miniorch/pkg/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func TestManyNodesRunPods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const nodes, pods = 20, 100
		server := clienttest.NewServer(t)
		informers := clienttest.NewInformersWith(t, server, client.Config{Logger: slog.New(slog.DiscardHandler)})
		clienttest.RunInformers(t, informers)
		clienttest.Run(t, func(ctx context.Context) error {
			return hollow.Run(ctx, server, informers, hollow.Config{Count: nodes, Logger: slog.New(slog.DiscardHandler)})
		})
		synctest.Wait()
		for i := range pods {
			_, err := client.Of[*corev1.Pod](server).Create(t.Context(), &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("p", i), Namespace: "default", UID: types.UID(fmt.Sprint("u", i))},
				Spec:       corev1.PodSpec{NodeName: fmt.Sprint("hollow-", i%nodes), Containers: []corev1.Container{{Name: "c", Image: "x"}}},
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		ready, _, err := client.Of[*corev1.Node](server).List(t.Context(), "", metav1.ListOptions{})
		if err != nil || len(ready) != nodes {
			t.Fatalf("%d nodes, %v", len(ready), err)
		}
		for _, n := range ready {
			if !api.IsNodeReady(n) {
				t.Errorf("%s is not ready", n.Name)
			}
		}
		all, _, err := client.Of[*corev1.Pod](server).List(t.Context(), "", metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range all {
			if !api.IsPodReady(p) {
				t.Errorf("%s is %s", p.Name, p.Status.Phase)
			}
		}
	})
}

// The rules of a runtime that the pod workers rely on.
func TestRuntimeObeysTheRules(t *testing.T) {
	ctx, r := t.Context(), hollow.NewRuntime(clock.RealClock{})
	if _, err := r.Create(ctx, container.ContainerSpec{Image: "x"}); !errors.Is(err, container.ErrImageNotFound) {
		t.Errorf("created from an image that is not there: %v", err)
	}
	if _, err := r.Pull(ctx, container.PullRequest{Ref: "x"}); err != nil {
		t.Fatal(err)
	}
	id, err := r.Create(ctx, container.ContainerSpec{Image: "x", Name: "c"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Exec(ctx, id, container.ExecRequest{}); !errors.Is(err, container.ErrNotRunning) {
		t.Errorf("exec before start: %v", err)
	}
	if err := r.Start(ctx, id); err != nil {
		t.Fatal(err)
	}
	if r.Start(ctx, id) == nil {
		t.Error("started twice")
	}
	if r.Remove(ctx, id) == nil {
		t.Error("removed while running")
	}
	for range 2 {
		if err := r.Stop(ctx, id, container.StopRequest{Grace: 1}); err != nil {
			t.Errorf("stop: %v", err)
		}
	}
	if r.Start(ctx, id) == nil {
		t.Error("started again after its end")
	}
	if err := r.Remove(ctx, id); err != nil {
		t.Error(err)
	}
	if err := r.Stop(ctx, id, container.StopRequest{}); !errors.Is(err, container.ErrNotFound) {
		t.Errorf("stop of nothing: %v", err)
	}
}
