package controllers

import (
	"fmt"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/controllers/controllertest"
	"github.com/miniorch/miniorch/controllers/deployment"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
)

func makeDeployments(t client.Transport, informers *client.Informers, cfg control.Config) controllertest.Runner {
	return deployment.New(t, informers, cfg)
}

// Whatever happens on the way, a Deployment ends with the pods of its newest template, and while it rolls, one pod
// more than it asks for is there at most, and none less serves.
func TestDeploymentsUnderFaults(t *testing.T) {
	edited := func(change func(*appsv1.Deployment)) func(*controllertest.World) {
		return func(w *controllertest.World) { controllertest.Edit(w, "default", "web", change) }
	}
	rolling := false
	controllertest.Faults(t, controllertest.Trial{
		Name: "two rollouts and back", Nodes: 2, Controllers: []controllertest.Make{makeDeployments, makeReplicaSets}, Leaders: 2, Seeds: 3,
		Want: "pods 5, sets map[v1:5 v2:0 v3:0], revision 4",
		Begin: func(w *controllertest.World) {
			rolling = false
			controllertest.Create(w, webDeployment(3, "v1"))
		},
		Acts: []func(*controllertest.World){
			func(w *controllertest.World) { rolling = true; edited(setImage("v2"))(w) },
			edited(setImage("v3")),
			edited(setImage("v1")),
			func(w *controllertest.World) {
				rolling = false
				edited(func(d *appsv1.Deployment) { d.Spec.Replicas = ptr.To[int32](5) })(w)
			},
		},
		Always: func(w *controllertest.World, leaders int) {
			if !rolling || leaders > 1 {
				return
			}
			if n := (&world{w}).active(); n > 4 {
				w.Errorf("%d pods are active, want 4 at most", n)
			}
			if n := available(w); n < 3 {
				w.Errorf("%d pods serve, want 3 at least", n)
			}
		},
		AtRest: func(w *controllertest.World) bool {
			d := controllertest.Get[*appsv1.Deployment](w, "default", "web")
			n, s := *d.Spec.Replicas, d.Status
			return s.ObservedGeneration == d.Generation && s.Replicas == n && s.UpdatedReplicas == n && s.AvailableReplicas == n &&
				len(controllertest.List[*corev1.Pod](w, "default", "app=web")) == int(n)
		},
		State: func(w *controllertest.World) string {
			sets := map[string]int32{}
			for _, rs := range controllertest.List[*appsv1.ReplicaSet](w, "default", "app=web") {
				sets[rs.Spec.Template.Spec.Containers[0].Image] += *rs.Spec.Replicas
			}
			d := controllertest.Get[*appsv1.Deployment](w, "default", "web")
			return fmt.Sprintf("pods %d, sets %v, revision %s", (&world{w}).active(), sets, d.Annotations[api.AnnotationRevision])
		},
	})
}
