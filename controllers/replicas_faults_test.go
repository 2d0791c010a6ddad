package controllers

import (
	"fmt"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/controllers/controllertest"
	"github.com/miniorch/miniorch/controllers/replicationcontroller"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
)

func makeReplicationControllers(t client.Transport, informers *client.Informers, cfg control.Config) controllertest.Runner {
	return replicationcontroller.New(t, informers, cfg)
}

// sized is a kind that runs replicas, as the trial sees it.
type sized[T api.Object] struct {
	make   func() T
	resize func(obj T, n int32)
	look   func(obj T) (wanted int32, observed bool, available, terminating int32)
}

// replicasTrial is a set called "web" that adopts a pod, grows, loses one and lets another go, and shrinks.
func replicasTrial[T api.Object](name string, run controllertest.Make, kind sized[T]) controllertest.Trial {
	resize := func(n int32) func(*controllertest.World) {
		return func(w *controllertest.World) {
			controllertest.Edit(w, "default", "web", func(obj T) { kind.resize(obj, n) })
		}
	}
	most := 0
	return controllertest.Trial{
		Name: name, Nodes: 2, Controllers: []controllertest.Make{run}, Leaders: 2, Seeds: 8, Want: "active [4], let go true",
		Begin: func(w *controllertest.World) {
			most = 6
			p := &corev1.Pod{ObjectMeta: meta("default", "orphan"), Spec: template("v1").Spec}
			p.Labels = map[string]string{"app": "web"}
			controllertest.Create(w, p)
			controllertest.Create(w, kind.make())
		},
		Acts: []func(*controllertest.World){
			resize(6),
			func(w *controllertest.World) {
				controllertest.Edit(w, "default", "orphan", func(p *corev1.Pod) { p.Labels = map[string]string{"app": "other"} })
			},
			func(w *controllertest.World) {
				p := controllertest.List[*corev1.Pod](w, "default", "app=web")[0]
				controllertest.Remove[*corev1.Pod](w, "default", p.Name, metav1.DeletePropagationBackground)
			},
			resize(4),
		},
		Always: func(w *controllertest.World, leaders int) {
			if n := (&world{w}).active(); leaders == 1 && n > most {
				w.Errorf("%d pods are active, want at most %d", n, most)
			}
		},
		AtRest: func(w *controllertest.World) bool {
			wanted, observed, available, terminating := kind.look(controllertest.Get[T](w, "default", "web"))
			return observed && available == wanted && terminating == 0 && int32((&world{w}).active()) == wanted
		},
		State: func(w *controllertest.World) string {
			free := metav1.GetControllerOf(controllertest.Get[*corev1.Pod](w, "default", "orphan")) == nil
			return fmt.Sprintf("active [%d], let go %v", (&world{w}).active(), free)
		},
	}
}

// Whatever happens on the way, sets of replicas end with as many pods as they ask for.
func TestReplicasUnderFaults(t *testing.T) {
	controllertest.Faults(t,
		replicasTrial("ReplicaSet", makeReplicaSets, sized[*appsv1.ReplicaSet]{
			make:   func() *appsv1.ReplicaSet { return webSet(2) },
			resize: func(rs *appsv1.ReplicaSet, n int32) { rs.Spec.Replicas = &n },
			look: func(rs *appsv1.ReplicaSet) (int32, bool, int32, int32) {
				return *rs.Spec.Replicas, rs.Status.ObservedGeneration == rs.Generation, rs.Status.AvailableReplicas, ptr.Deref(rs.Status.TerminatingReplicas, 0)
			},
		}),
		replicasTrial("ReplicationController", makeReplicationControllers, sized[*corev1.ReplicationController]{
			make: func() *corev1.ReplicationController {
				t := template("v1")
				return &corev1.ReplicationController{ObjectMeta: meta("default", "web"), Spec: corev1.ReplicationControllerSpec{Replicas: ptr.To[int32](2), Template: &t}}
			},
			resize: func(rc *corev1.ReplicationController, n int32) { rc.Spec.Replicas = &n },
			look: func(rc *corev1.ReplicationController) (int32, bool, int32, int32) {
				return *rc.Spec.Replicas, rc.Status.ObservedGeneration == rc.Generation, rc.Status.AvailableReplicas, 0
			},
		}),
	)
}
