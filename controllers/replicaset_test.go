package controllers

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
)

// Conformance "Replica Set, adopt matching pods and release non matching pods".
func TestAdoptAndRelease(t *testing.T) {
	inWorld(t, 1, nil, func(w *world) {
		orphan := &corev1.Pod{ObjectMeta: meta("default", "orphan"), Spec: template("v1").Spec}
		orphan.Labels = map[string]string{"app": "web"}
		create(w, orphan)
		w.Tick(100 * time.Millisecond)
		rs := create(w, webSet(1))
		w.Tick(3 * time.Second)
		if ref := metav1.GetControllerOf(get[*corev1.Pod](w, "default", "orphan")); ref == nil || ref.UID != rs.UID {
			t.Errorf("the orphan is controlled by %v, want the set", ref)
		}
		if got := w.active(); got != 1 {
			t.Errorf("%d pods, want the adopted one", got)
		}
		edit(w, "default", "orphan", func(p *corev1.Pod) { p.Labels["app"] = "else" })
		w.Tick(3 * time.Second)
		if ref := metav1.GetControllerOf(get[*corev1.Pod](w, "default", "orphan")); ref != nil {
			t.Errorf("the pod that matches no longer is controlled by %v", ref)
		}
		if got := w.active(); got != 1 {
			t.Errorf("%d pods match, want a new one", got)
		}
	})
}

// refusing is a transport on which pods cannot be created while it refuses.
type refusing struct {
	client.Transport
	refuse *atomic.Bool
	asked  *atomic.Int32
}

func (r refusing) Create(ctx context.Context, req client.Request, obj api.Object, opts metav1.CreateOptions) (api.Object, error) {
	if req.Resource.Name == "pods" && r.refuse.Load() {
		r.asked.Add(1)
		return nil, apierrors.NewForbidden(req.Resource.GroupResource(), obj.GetName(), context.DeadlineExceeded)
	}
	return r.Transport.Create(ctx, req, obj, opts)
}

func TestRefusedPodsAreAskedForSlowly(t *testing.T) {
	var refuse atomic.Bool
	var asked atomic.Int32
	refuse.Store(true)
	between := func(tr client.Transport) client.Transport { return refusing{tr, &refuse, &asked} }
	inWorld(t, 1, between, func(w *world) {
		create(w, webSet(100))
		w.Tick(10 * time.Second)
		if n := asked.Load(); n == 0 || n > 20 {
			t.Errorf("%d pods were asked for in ten seconds, want a few", n)
		}
		rs := get[*appsv1.ReplicaSet](w, "default", "web")
		if len(rs.Status.Conditions) != 1 || rs.Status.Conditions[0].Reason != "FailedCreate" || !strings.Contains(rs.Status.Conditions[0].Message, "forbidden") {
			t.Errorf("conditions are %v, want why no pod is created", rs.Status.Conditions)
		}
		if len(w.Events("FailedCreate")) == 0 {
			t.Error("no event tells that pods are refused")
		}
		refuse.Store(false)
		w.Tick(2 * time.Minute) // the longest back-off
		rs = get[*appsv1.ReplicaSet](w, "default", "web")
		if rs.Status.AvailableReplicas != 100 || len(rs.Status.Conditions) != 0 {
			t.Errorf("%d pods are available, conditions %v; want 100 and none", rs.Status.AvailableReplicas, rs.Status.Conditions)
		}
	})
}

func TestMinReadySecondsAreWaitedFor(t *testing.T) {
	inWorld(t, 1, nil, func(w *world) {
		rs := webSet(2)
		rs.Spec.MinReadySeconds = 30
		create(w, rs)
		w.Tick(10 * time.Second)
		if s := get[*appsv1.ReplicaSet](w, "default", "web").Status; s.ReadyReplicas != 2 || s.AvailableReplicas != 0 {
			t.Errorf("%d ready, %d available after 10s", s.ReadyReplicas, s.AvailableReplicas)
		}
		w.Tick(25 * time.Second)
		if s := get[*appsv1.ReplicaSet](w, "default", "web").Status; s.AvailableReplicas != 2 {
			t.Errorf("%d available after 35s", s.AvailableReplicas)
		}
	})
}
