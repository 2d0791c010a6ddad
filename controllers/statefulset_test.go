package controllers

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/controllers/controllertest"
	"github.com/miniorch/miniorch/controllers/statefulset"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
)

func makeStatefulSets(t client.Transport, informers *client.Informers, cfg control.Config) controllertest.Runner {
	return statefulset.New(t, informers, cfg)
}

// webStateful is a set called "web" with a claim per pod; edits change what a case is about.
func webStateful(n int32, image string, edits ...func(*appsv1.StatefulSetSpec)) *appsv1.StatefulSet {
	s := &appsv1.StatefulSet{ObjectMeta: meta("default", "web"), Spec: appsv1.StatefulSetSpec{
		Replicas: &n, ServiceName: "web", Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}, Template: template(image),
		VolumeClaimTemplates: []corev1.PersistentVolumeClaim{{
			ObjectMeta: metav1.ObjectMeta{Name: "data"},
			Spec: corev1.PersistentVolumeClaimSpec{
				AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
				Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
			},
		}},
	}}
	for _, e := range edits {
		e(&s.Spec)
	}
	return s
}

func editStateful(change func(*appsv1.StatefulSetSpec)) func(*controllertest.World) {
	return func(w *controllertest.World) {
		controllertest.Edit(w, "default", "web", func(s *appsv1.StatefulSet) { change(&s.Spec) })
	}
}

// describeStateful tells a set, its pods and its claims.
func describeStateful(w *world) string {
	s := get[*appsv1.StatefulSet](w, "default", "web")
	var pods, claims []string
	for _, p := range list[*corev1.Pod](w, "default", "app=web") {
		pods = append(pods, fmt.Sprintf("%s=%s/%s", p.Name, p.Spec.Containers[0].Image, p.Status.Phase))
	}
	for _, c := range list[*corev1.PersistentVolumeClaim](w, "default", "app=web") {
		var owners []string
		for _, o := range c.OwnerReferences {
			owners = append(owners, o.Kind+"/"+o.Name)
		}
		claims = append(claims, c.Name+strings.Join(owners, "+"))
	}
	slices.Sort(pods)
	slices.Sort(claims)
	return fmt.Sprintf("pods %v claims %v; replicas %d ready %d updated %d, one revision: %v", pods, claims,
		s.Status.Replicas, s.Status.ReadyReplicas, s.Status.UpdatedReplicas, s.Status.CurrentRevision == s.Status.UpdateRevision)
}

// statefulAtRest tells whether the controller has seen the spec and done what it asks for.
func statefulAtRest(w *controllertest.World) bool {
	s := controllertest.Get[*appsv1.StatefulSet](w, "default", "web")
	n := *s.Spec.Replicas
	updated := n - min(n, *s.Spec.UpdateStrategy.RollingUpdate.Partition)
	return s.Status.ObservedGeneration == s.Generation && s.Status.Replicas == n && s.Status.AvailableReplicas == n && s.Status.UpdatedReplicas >= updated
}

// statefulTrial is a set that grows, rolls to v2 by way of a partition, goes back, loses a pod and shrinks.
func statefulTrial(name string, most int, edits ...func(*appsv1.StatefulSetSpec)) controllertest.Trial {
	rolling := false
	return controllertest.Trial{
		Name: name, Nodes: 3, Controllers: []controllertest.Make{makeStatefulSets}, Leaders: 2, Seeds: 5,
		Begin: func(w *controllertest.World) {
			rolling = false
			controllertest.Create(w, webStateful(3, "v1", edits...))
		},
		Acts: []func(*controllertest.World){
			editStateful(func(s *appsv1.StatefulSetSpec) {
				rolling = true
				s.Template.Spec.Containers[0].Image = "v2"
				s.UpdateStrategy.RollingUpdate.Partition = ptr.To[int32](2)
			}),
			editStateful(func(s *appsv1.StatefulSetSpec) { s.UpdateStrategy.RollingUpdate.Partition = ptr.To[int32](0) }),
			func(w *controllertest.World) {
				rolling = false
				p := controllertest.Get[*corev1.Pod](w, "default", "web-1").DeepCopy()
				p.Status.Phase, p.Status.Reason = corev1.PodFailed, "Evicted"
				if _, err := client.Of[*corev1.Pod](w.Admin).UpdateStatus(w.Context(), p); err != nil {
					w.Error(err)
				}
			},
			editStateful(func(s *appsv1.StatefulSetSpec) {
				s.Template.Spec.Containers[0].Image = "v1"
				s.Replicas = ptr.To[int32](1)
			}),
			editStateful(func(s *appsv1.StatefulSetSpec) { s.Replicas = ptr.To[int32](4) }),
		},
		Always: func(w *controllertest.World, leaders int) {
			if missed := 3 - available(w); rolling && leaders == 1 && missed > most {
				w.Errorf("%d of 3 pods are missed in a rolling update, want at most %d", missed, most)
			}
		},
		AtRest: statefulAtRest,
		State:  func(w *controllertest.World) string { return describeStateful(&world{w}) },
	}
}

func available(w *controllertest.World) int {
	n := 0
	for _, p := range controllertest.List[*corev1.Pod](w, "default", "app=web") {
		if api.IsPodActive(p) && api.IsPodReady(p) {
			n++
		}
	}
	return n
}

// Whatever happens on the way, a StatefulSet ends with the pods and claims of a run without faults, and
// a rolling update misses no more pods than it may.
func TestStatefulSetsUnderFaults(t *testing.T) {
	controllertest.Faults(t,
		statefulTrial("in order", 1),
		statefulTrial("in parallel, two at a time", 2, func(s *appsv1.StatefulSetSpec) {
			s.PodManagementPolicy = appsv1.ParallelPodManagement
			s.UpdateStrategy = appsv1.StatefulSetUpdateStrategy{Type: appsv1.RollingUpdateStatefulSetStrategyType, RollingUpdate: &appsv1.RollingUpdateStatefulSetStrategy{MaxUnavailable: ptr.To(intstr.FromInt32(2))}}
			s.PersistentVolumeClaimRetentionPolicy = &appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{WhenDeleted: "Delete", WhenScaled: "Retain"}
		}),
	)
}
