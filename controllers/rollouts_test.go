package controllers

import (
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/controllers/controllertest"
	"github.com/miniorch/miniorch/controllers/deployment"
	"github.com/miniorch/miniorch/controllers/replicaset"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
)

// stepped is a Deployment of four that never has fewer, with a strategy by annotations.
func stepped(annotations ...string) *appsv1.Deployment {
	d := &appsv1.Deployment{ObjectMeta: meta("default", "web"), Spec: appsv1.DeploymentSpec{
		Replicas: ptr.To(int32(4)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}, Template: template("v1"),
		ProgressDeadlineSeconds: ptr.To(int32(120)),
		Strategy: appsv1.DeploymentStrategy{Type: appsv1.RollingUpdateDeploymentStrategyType, RollingUpdate: &appsv1.RollingUpdateDeployment{
			MaxSurge: ptr.To(intstr.FromInt32(1)), MaxUnavailable: ptr.To(intstr.FromInt32(0)),
		}},
	}}
	d.Annotations = map[string]string{}
	for i := 0; i < len(annotations); i += 2 {
		d.Annotations[annotations[i]] = annotations[i+1]
	}
	return d
}

// images counts the web pods that are to stay by image: "v1:3 v2:1".
func (w *world) images() string {
	count := map[string]int{}
	for _, p := range list[*corev1.Pod](w, "default", "app=web") {
		if p.DeletionTimestamp == nil {
			count[p.Spec.Containers[0].Image]++
		}
	}
	var out []string
	for _, image := range []string{"v1", "v2", "bad"} {
		if count[image] > 0 {
			out = append(out, fmt.Sprintf("%s:%d", image, count[image]))
		}
	}
	return strings.Join(out, " ")
}

func (w *world) stage() string {
	for _, c := range get[*appsv1.Deployment](w, "default", "web").Status.Conditions {
		if c.Type == api.ConditionRollout {
			return c.Reason
		}
	}
	return ""
}

func roll(image string) func(*controllertest.World) {
	return func(stage *controllertest.World) {
		edit(&world{stage}, "default", "web", func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = image })
	}
}

func tellRollout(key, value string) func(*controllertest.World) {
	return func(stage *controllertest.World) {
		edit(&world{stage}, "default", "web", func(d *appsv1.Deployment) { d.Annotations[key] = value })
	}
}

// rolloutTrial plays acts that each come to rest at a state.
func rolloutTrial(name string, d *appsv1.Deployment, rests []string, acts ...func(*controllertest.World)) controllertest.Trial {
	act, began := 0, false
	counted := make([]func(*controllertest.World), len(acts))
	for i, f := range acts {
		counted[i] = func(w *controllertest.World) { act++; f(w) }
	}
	state := func(w *world) string { return strings.TrimSpace(w.images() + " " + w.stage()) }
	return controllertest.Trial{
		Name: name, Nodes: 2, Leaders: 2, Seeds: 3, Acts: counted, Want: rests[len(rests)-1],
		Controllers: []controllertest.Make{
			func(t client.Transport, i *client.Informers, cfg control.Config) controllertest.Runner {
				return deployment.New(t, i, cfg)
			},
			func(t client.Transport, i *client.Informers, cfg control.Config) controllertest.Runner {
				return replicaset.New(t, i, cfg)
			},
		},
		Begin: func(stage *controllertest.World) {
			w := &world{stage}
			act, began = 0, false
			w.Machines.Sicken("bad", true)
			for _, name := range []string{"web", "preview"} {
				create(w, &corev1.Service{ObjectMeta: meta("default", name), Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{{Port: 80}}}})
			}
			create(w, d.DeepCopy())
		},
		Always: func(stage *controllertest.World, leaders int) {
			w := &world{stage}
			n := w.readyPods()
			began = began || n == 4
			if began && n < 4 && leaders == 1 {
				w.Errorf("only %d pods serve", n)
			}
		},
		AtRest: func(stage *controllertest.World) bool { return state(&world{stage}) == rests[act] },
		State:  func(stage *controllertest.World) string { return state(&world{stage}) },
	}
}

// Rollouts by steps come to the same end whatever becomes of the controllers, and never serve with fewer pods.
func TestRolloutsByStepsUnderFaults(t *testing.T) {
	canary := stepped(api.AnnotationStrategy, "canary", api.AnnotationSteps, "25% pause, 50% pause 10s, 100%")
	blueGreen := stepped(api.AnnotationStrategy, "blue-green", api.AnnotationActiveService, "web", api.AnnotationPreviewService, "preview")
	controllertest.Faults(t,
		rolloutTrial("a canary", canary, []string{"v1:4 Finished", "v1:3 v2:1 Paused", "v2:4 Finished"}, roll("v2"), tellRollout(api.AnnotationPromote, "2/1")),
		rolloutTrial("a sick canary", canary, []string{"v1:4 Finished", "v1:4 Aborted", "v1:3 v2:1 Paused"}, roll("bad"), roll("v2")),
		rolloutTrial("blue-green", blueGreen, []string{"v1:4 Finished", "v1:4 v2:4 Paused", "v2:4 Finished"}, roll("v2"), tellRollout(api.AnnotationPromote, "2/all")),
	)
}

func TestRolloutTellsItsStory(t *testing.T) {
	inWorld(t, 2, nil, func(w *world) {
		create(w, &corev1.Service{ObjectMeta: meta("default", "preview"), Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{{Port: 80}}}})
		create(w, stepped(api.AnnotationStrategy, "canary", api.AnnotationSteps, "50% pause 30s, 100%", api.AnnotationPreviewService, "preview"))
		w.Tick(20 * time.Second)
		roll("v2")(w.World)
		w.Tick(25 * time.Second)
		if hash := get[*corev1.Service](w, "default", "preview").Spec.Selector[api.LabelPodTemplateHash]; !strings.Contains(w.newest().Name, hash) || hash == "" {
			t.Errorf("the preview leads to %q, the newest set is %s", hash, w.newest().Name)
		}
		w.Tick(time.Minute)
		story := w.newest().Annotations[api.AnnotationStory]
		for _, line := range []string{"revision 2 begins", "step 1 (50% pause 30s) is reached: 2 of 4 pods are new", "step 2 (100%) is reached", "the rollout is finished"} {
			if !strings.Contains(story, line) {
				t.Errorf("the story lacks %q:\n%s", line, story)
			}
		}
		if n := len(w.Events("RolloutStep")); n != 5 {
			t.Errorf("%d events, want 5: %q", n, w.Events("RolloutStep"))
		}
	})
}

// newest returns the set of the Deployment's revision.
func (w *world) newest() *appsv1.ReplicaSet {
	d := get[*appsv1.Deployment](w, "default", "web")
	for _, rs := range list[*appsv1.ReplicaSet](w, "default", "") {
		if rs.Annotations[api.AnnotationRevision] == d.Annotations[api.AnnotationRevision] {
			return rs
		}
	}
	w.Fatal("no set of the newest revision")
	return nil
}
