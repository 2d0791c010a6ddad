package controllers

import (
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/pkg/api"
)

func webDeployment(replicas int32, image string) *appsv1.Deployment {
	one, none := intstr.FromInt32(1), intstr.FromInt32(0)
	return &appsv1.Deployment{
		ObjectMeta: meta("default", "web"),
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}, Template: template(image),
			Strategy: appsv1.DeploymentStrategy{
				Type: appsv1.RollingUpdateDeploymentStrategyType, RollingUpdate: &appsv1.RollingUpdateDeployment{MaxSurge: &one, MaxUnavailable: &none},
			},
		},
	}
}

func setImage(image string) func(*appsv1.Deployment) {
	return func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = image }
}

// status prints a Deployment's numbers and conditions.
func (w *world) status() string {
	d := get[*appsv1.Deployment](w, "default", "web")
	s := d.Status
	out := fmt.Sprintf("revision %s: %d replicas, %d updated, %d ready, %d available", d.Annotations["deployment.kubernetes.io/revision"], s.Replicas, s.UpdatedReplicas, s.ReadyReplicas, s.AvailableReplicas)
	for _, c := range s.Conditions {
		out += fmt.Sprintf("; %s=%s %s", c.Type, c.Status, c.Reason)
	}
	return out
}

func (w *world) expectStatus(reason, want string) {
	w.Helper()
	if got := w.status(); got != want {
		w.Errorf("%s: the status is\n%s, want\n%s", reason, got, want)
	}
}

const settled = "; Available=True MinimumReplicasAvailable; Progressing=True NewReplicaSetAvailable"

func TestRolloutNeverDropsBelowPromise(t *testing.T) {
	inWorld(t, 2, nil, func(w *world) {
		create(w, webDeployment(3, "v1"))
		create(w, &corev1.Service{ObjectMeta: meta("default", "web"), Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{{Port: 80}}}})
		w.Tick(5 * time.Second)
		w.expectStatus("first rollout", "revision 1: 3 replicas, 3 updated, 3 ready, 3 available"+settled)

		edit(w, "default", "web", setImage("v2"))
		for range 100 { // at every moment of the rollout
			w.Tick(100 * time.Millisecond)
			pods, ready := 0, 0
			for _, p := range list[*corev1.Pod](w, "default", "app=web") {
				if api.IsPodActive(p) {
					pods++
				}
				if api.IsPodActive(p) && api.IsPodReady(p) {
					ready++
				}
			}
			serving := 0
			for _, s := range list[*discoveryv1.EndpointSlice](w, "default", "kubernetes.io/service-name=web") {
				for _, e := range s.Endpoints {
					if *e.Conditions.Ready {
						serving++
					}
				}
			}
			if pods > 4 || ready < 3 || serving < 3 {
				t.Fatalf("%d pods, %d ready, %d endpoints: want at most 4, at least 3 and 3", pods, ready, serving)
			}
		}
		w.expectStatus("second rollout", "revision 2: 3 replicas, 3 updated, 3 ready, 3 available"+settled)
		for _, p := range list[*corev1.Pod](w, "default", "app=web") {
			if image := p.Spec.Containers[0].Image; image != "v2" {
				t.Errorf("pod %s runs %s", p.Name, image)
			}
		}
	})
}

// https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#rolling-back-a-deployment
func TestRollback(t *testing.T) {
	inWorld(t, 2, nil, func(w *world) {
		d := webDeployment(2, "v1")
		d.Annotations = map[string]string{"kubernetes.io/change-cause": "first"}
		create(w, d)
		w.Tick(5 * time.Second)
		edit(w, "default", "web", setImage("v2"))
		w.Tick(10 * time.Second)
		edit(w, "default", "web", setImage("v1")) // what kubectl rollout undo does
		w.Tick(10 * time.Second)
		w.expectStatus("after the rollback", "revision 3: 2 replicas, 2 updated, 2 ready, 2 available"+settled)
		sets := list[*appsv1.ReplicaSet](w, "default", "app=web")
		if len(sets) != 2 {
			t.Fatalf("%d sets, want the two templates'", len(sets))
		}
		for _, rs := range sets {
			want := map[string]string{"v1": "3", "v2": "2"}[rs.Spec.Template.Spec.Containers[0].Image]
			if got := rs.Annotations["deployment.kubernetes.io/revision"]; got != want || rs.Annotations["kubernetes.io/change-cause"] != "first" {
				t.Errorf("set %s has the annotations %v, want revision %s and the cause", rs.Name, rs.Annotations, want)
			}
		}
	})
}

func TestStuckRolloutIsReportedAndRecovers(t *testing.T) {
	inWorld(t, 2, nil, func(w *world) {
		w.Machines.Sicken("broken", true)
		d := webDeployment(2, "v1")
		d.Spec.ProgressDeadlineSeconds = ptr.To(int32(30))
		create(w, d)
		w.Tick(5 * time.Second)
		edit(w, "default", "web", setImage("broken"))
		w.Tick(25 * time.Second)
		w.expectStatus("before the deadline", "revision 2: 3 replicas, 1 updated, 2 ready, 2 available; Available=True MinimumReplicasAvailable; Progressing=True ReplicaSetUpdated")
		w.Tick(10 * time.Second)
		w.expectStatus("after the deadline", "revision 2: 3 replicas, 1 updated, 2 ready, 2 available; Available=True MinimumReplicasAvailable; Progressing=False ProgressDeadlineExceeded")
		edit(w, "default", "web", setImage("v3"))
		w.Tick(10 * time.Second)
		w.expectStatus("rolled over", "revision 3: 2 replicas, 2 updated, 2 ready, 2 available"+settled)
	})
}

func TestRecreateLeavesNoOverlap(t *testing.T) {
	inWorld(t, 2, nil, func(w *world) {
		d := webDeployment(3, "v1")
		d.Spec.Strategy = appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType}
		create(w, d)
		w.Tick(5 * time.Second)
		edit(w, "default", "web", setImage("v2"))
		for range 50 {
			w.Tick(100 * time.Millisecond)
			images := map[string]bool{}
			for _, p := range list[*corev1.Pod](w, "default", "app=web") {
				images[p.Spec.Containers[0].Image] = true
			}
			if len(images) > 1 {
				t.Fatal("pods of both templates exist at the same time")
			}
		}
		w.expectStatus("in the end", "revision 2: 3 replicas, 3 updated, 3 ready, 3 available"+settled)
	})
}

func TestPauseResumeScaleRestart(t *testing.T) {
	inWorld(t, 2, nil, func(w *world) {
		create(w, webDeployment(2, "v1"))
		w.Tick(5 * time.Second)
		edit(w, "default", "web", func(d *appsv1.Deployment) { d.Spec.Paused = true })
		edit(w, "default", "web", setImage("v2"))
		edit(w, "default", "web", func(d *appsv1.Deployment) { d.Spec.Replicas = ptr.To(int32(4)) })
		w.Tick(5 * time.Second)
		w.expectStatus("paused: scaled, not rolled out", "revision 1: 4 replicas, 0 updated, 4 ready, 4 available; Available=True MinimumReplicasAvailable; Progressing=Unknown DeploymentPaused")
		edit(w, "default", "web", func(d *appsv1.Deployment) { d.Spec.Paused = false })
		w.Tick(15 * time.Second)
		w.expectStatus("resumed", "revision 2: 4 replicas, 4 updated, 4 ready, 4 available"+settled)
		edit(w, "default", "web", func(d *appsv1.Deployment) { // what kubectl rollout restart does
			d.Spec.Template.Annotations = map[string]string{"kubectl.kubernetes.io/restartedAt": "now"}
		})
		w.Tick(15 * time.Second)
		w.expectStatus("restarted", "revision 3: 4 replicas, 4 updated, 4 ready, 4 available"+settled)
		var said []string
		for _, e := range w.Events("ScalingReplicaSet") {
			said = append(said, strings.Join(strings.Fields(e)[1:3], " ")) // "Scaled up"
		}
		if text := strings.Join(said, ","); !strings.Contains(text, "Scaled up") || !strings.Contains(text, "Scaled down") {
			t.Errorf("events say %q", text)
		}
	})
}

func TestHistoryLimit(t *testing.T) {
	inWorld(t, 2, nil, func(w *world) {
		d := webDeployment(1, "v0")
		d.Spec.RevisionHistoryLimit = ptr.To(int32(1))
		create(w, d)
		for n := range 4 {
			w.Tick(5 * time.Second)
			edit(w, "default", "web", setImage(fmt.Sprint("v", n+1)))
		}
		w.Tick(10 * time.Second)
		images := map[string]bool{}
		for _, rs := range list[*appsv1.ReplicaSet](w, "default", "app=web") {
			images[rs.Spec.Template.Spec.Containers[0].Image] = true
		}
		if len(images) != 2 || !images["v4"] || !images["v3"] {
			t.Errorf("sets are left of %v, want the last two", images)
		}
	})
}

func TestNameCollisionIsAvoided(t *testing.T) {
	inWorld(t, 1, nil, func(w *world) {
		create(w, webDeployment(1, "v1"))
		w.Tick(3 * time.Second)
		name := list[*appsv1.ReplicaSet](w, "default", "app=web")[0].Name
		remove[*appsv1.Deployment](w, "default", "web", "Background")
		w.Tick(10 * time.Second)
		create(w, &appsv1.ReplicaSet{ // somebody else takes the name that the template gives
			ObjectMeta: meta("default", name),
			Spec:       appsv1.ReplicaSetSpec{Replicas: ptr.To(int32(0)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "other"}}, Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "other"}}, Spec: template("x").Spec}},
		})
		create(w, webDeployment(1, "v1"))
		w.Tick(10 * time.Second)
		w.expectStatus("with a name of its own", "revision 1: 1 replicas, 1 updated, 1 ready, 1 available"+settled)
		if n := get[*appsv1.Deployment](w, "default", "web").Status.CollisionCount; n == nil || *n != 1 {
			t.Errorf("collisionCount is %v, want 1", n)
		}
	})
}
