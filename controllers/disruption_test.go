package controllers

import (
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/controllers/controllertest"
	"github.com/miniorch/miniorch/controllers/deployment"
	"github.com/miniorch/miniorch/controllers/disruption"
	"github.com/miniorch/miniorch/controllers/replicaset"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
)

func webBudget(spec policyv1.PodDisruptionBudgetSpec) *policyv1.PodDisruptionBudget {
	spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
	return &policyv1.PodDisruptionBudget{ObjectMeta: meta("default", "web"), Spec: spec}
}

func (w *world) evict(pod string) error {
	_, err := w.Admin.Create(w.Context(), client.Request{Resource: api.ResourceFor[*corev1.Pod](), Namespace: "default", Name: pod, Subresource: "eviction"},
		&policyv1.Eviction{ObjectMeta: meta("default", pod)}, metav1.CreateOptions{})
	return err
}

// readyPods counts the web pods that serve and are to stay.
func (w *world) readyPods() (n int) {
	for _, p := range list[*corev1.Pod](w, "default", "app=web") {
		if api.IsPodReady(p) && p.DeletionTimestamp == nil {
			n++
		}
	}
	return n
}

// drainTrial evicts every pod of a Deployment as fast as its budget allows.
func drainTrial(name string, spec policyv1.PodDisruptionBudgetSpec, least int) controllertest.Trial {
	first := map[types.UID]bool{} // pods to be drained
	disruptions := func(t client.Transport, informers *client.Informers, cfg control.Config) controllertest.Runner {
		return disruption.New(t, informers, cfg)
	}
	// The sets' own controllers run without faults: whether pods come back is not the question here.
	others := []controllertest.Make{
		func(t client.Transport, i *client.Informers, cfg control.Config) controllertest.Runner {
			return replicaset.New(t, i, cfg)
		},
		func(t client.Transport, i *client.Informers, cfg control.Config) controllertest.Runner {
			return deployment.New(t, i, cfg)
		},
	}
	return controllertest.Trial{
		Name: name, Nodes: 2, Controllers: []controllertest.Make{disruptions}, Leaders: 2,
		Begin: func(stage *controllertest.World) {
			w := &world{stage}
			clear(first)
			stop := w.Start(w.As(), others...)
			w.Cleanup(stop)
			create(w, &appsv1.Deployment{ObjectMeta: meta("default", "web"), Spec: appsv1.DeploymentSpec{
				Replicas: ptr.To(int32(4)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}, Template: template("v1"),
			}})
			w.Tick(10 * time.Second)
			create(w, webBudget(spec))
			for _, p := range list[*corev1.Pod](w, "default", "app=web") {
				first[p.UID] = true
			}
		},
		Always: func(stage *controllertest.World, _ int) {
			w := &world{stage}
			for _, p := range list[*corev1.Pod](w, "default", "app=web") {
				if !first[p.UID] || p.DeletionTimestamp != nil {
					continue
				}
				if err := w.evict(p.Name); err != nil && !apierrors.IsTooManyRequests(err) {
					w.Errorf("evicting %s: %v", p.Name, err)
				}
			}
			if n := w.readyPods(); n < least {
				w.Errorf("only %d pods serve, want at least %d", n, least)
			}
		},
		AtRest: func(stage *controllertest.World) bool {
			w := &world{stage}
			for _, p := range list[*corev1.Pod](w, "default", "app=web") {
				if first[p.UID] {
					return false
				}
			}
			b := get[*policyv1.PodDisruptionBudget](w, "default", "web")
			return w.readyPods() == 4 && b.Status.DisruptionsAllowed > 0 && len(b.Status.DisruptedPods) == 0
		},
		State: func(stage *controllertest.World) string {
			s := get[*policyv1.PodDisruptionBudget](&world{stage}, "default", "web").Status
			return fmt.Sprintf("%d of %d healthy, %d needed, %d allowed, %d on their way", s.CurrentHealthy, s.ExpectedPods, s.DesiredHealthy, s.DisruptionsAllowed, len(s.DisruptedPods))
		},
	}
}

// All pods of a Deployment are drained, never more at a time than its budget allows, whatever
// becomes of the controller that computes it.
func TestDrainsUnderFaults(t *testing.T) {
	one, most := intstr.FromInt32(1), intstr.FromString("75%")
	controllertest.Faults(t,
		drainTrial("one may be missing", policyv1.PodDisruptionBudgetSpec{MaxUnavailable: &one}, 3),
		drainTrial("three quarters must stay", policyv1.PodDisruptionBudgetSpec{MinAvailable: &most}, 3),
	)
}

func TestBudgetOfPodsThatNobodyControls(t *testing.T) {
	inWorld(t, 1, nil, func(w *world) {
		one, half := intstr.FromInt32(1), intstr.FromString("50%")
		create(w, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "alone", Labels: map[string]string{"app": "web"}}, Spec: template("v1").Spec})
		create(w, webBudget(policyv1.PodDisruptionBudgetSpec{MinAvailable: &half}))
		w.Tick(10 * time.Second)
		if s := get[*policyv1.PodDisruptionBudget](w, "default", "web").Status; s.DisruptionsAllowed != 0 || s.ObservedGeneration != 1 {
			t.Errorf("a part of nothing: %+v", s)
		}
		if len(w.Events("UnmanagedPods")) == 0 {
			t.Error("nobody was told that the pod has no controller")
		}
		edit(w, "default", "web", func(b *policyv1.PodDisruptionBudget) { b.Spec.MinAvailable = &one })
		w.Tick(10 * time.Second)
		if err := w.evict("alone"); !apierrors.IsTooManyRequests(err) {
			t.Errorf("evicting the last pod: %v", err)
		}
	})
}

// A pod that was to be disrupted and was not serves on, and says so again after two minutes.
func TestStaleDisruptionIsTakenBack(t *testing.T) {
	inWorld(t, 1, nil, func(w *world) {
		create(w, &corev1.Pod{ObjectMeta: meta("default", "p"), Spec: template("v1").Spec})
		w.Tick(5 * time.Second)
		controllertest.EditStatus(w, "default", "p", func(p *corev1.Pod) {
			p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()})
		})
		target := func() corev1.ConditionStatus {
			return api.PodCondition(get[*corev1.Pod](w, "default", "p"), corev1.DisruptionTarget).Status
		}
		if w.Tick(time.Minute); target() != corev1.ConditionTrue {
			t.Error("taken back after a minute")
		}
		if w.Tick(2 * time.Minute); target() != corev1.ConditionFalse {
			t.Error("not taken back after three")
		}
	})
}
