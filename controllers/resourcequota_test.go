package controllers

import (
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/controllers/controllertest"
	"github.com/miniorch/miniorch/controllers/replicaset"
	"github.com/miniorch/miniorch/controllers/resourcequota"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/quota"
)

func limitTo(pairs ...string) *corev1.ResourceQuota {
	q := &corev1.ResourceQuota{ObjectMeta: meta("default", "limit"), Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{}}}
	for i := 0; i < len(pairs); i += 2 {
		q.Spec.Hard[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return q
}

func (w *world) used() string {
	return quota.Text(get[*corev1.ResourceQuota](w, "default", "limit").Status.Used)
}

// quotaTrial keeps a set that wants eight pods within a quota of five, while pods are taken away.
func quotaTrial() controllertest.Trial {
	removed := 0
	return controllertest.Trial{
		Name: "eight want the room of five", Nodes: 2, Leaders: 2,
		Controllers: []controllertest.Make{func(t client.Transport, i *client.Informers, cfg control.Config) controllertest.Runner {
			return resourcequota.New(t, i, cfg)
		}},
		Begin: func(stage *controllertest.World) {
			w := &world{stage}
			removed = 0
			create(w, limitTo("pods", "5", "count/replicasets.apps", "1"))
			w.Cleanup(w.Start(w.As(), func(t client.Transport, i *client.Informers, cfg control.Config) controllertest.Runner {
				return replicaset.New(t, i, cfg)
			}))
		},
		Acts: []func(*controllertest.World){
			func(stage *controllertest.World) {
				create(&world{stage}, &appsv1.ReplicaSet{ObjectMeta: meta("default", "web"), Spec: appsv1.ReplicaSetSpec{
					Replicas: ptr.To(int32(8)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}, Template: template("v1"),
				}})
			},
			func(stage *controllertest.World) {
				for _, p := range list[*corev1.Pod](&world{stage}, "default", "")[:3] {
					remove[*corev1.Pod](&world{stage}, "default", p.Name, metav1.DeletePropagationBackground)
					removed++
				}
			},
		},
		Always: func(stage *controllertest.World, leaders int) {
			w := &world{stage}
			n := 0
			for _, p := range list[*corev1.Pod](w, "default", "") {
				if !api.IsPodTerminal(p) {
					n++
				}
			}
			if q := get[*corev1.ResourceQuota](w, "default", "limit"); q.Status.Hard != nil && leaders == 1 && n > 5 {
				w.Errorf("%d pods, the quota is 5", n)
			}
		},
		AtRest: func(stage *controllertest.World) bool {
			w := &world{stage}
			q := get[*corev1.ResourceQuota](w, "default", "limit")
			pods := len(list[*corev1.Pod](w, "default", ""))
			if len(list[*appsv1.ReplicaSet](w, "default", "")) == 0 {
				return q.Status.Hard != nil
			}
			used := q.Status.Used[corev1.ResourcePods]
			return pods == 5 && used.Value() == 5
		},
		State: func(stage *controllertest.World) string {
			w := &world{stage}
			return fmt.Sprintf("%s, %d pods, %d removed", w.used(), len(list[*corev1.Pod](w, "default", "")), removed)
		},
	}
}

// A quota holds, and is given back, whatever becomes of the controller that counts.
func TestQuotaUnderFaults(t *testing.T) { controllertest.Faults(t, quotaTrial()) }

func TestQuotaFollowsTheLifeOfObjects(t *testing.T) {
	inWorld(t, 1, nil, func(w *world) {
		create(w, limitTo("services", "3", "services.nodeports", "1", "count/configmaps", "5", "secrets", "3", "resourcequotas", "1", "pods", "9", "requests.cpu", "1"))
		w.Tick(2 * time.Second)
		if got, want := w.used(), "count/configmaps=1,pods=0,requests.cpu=0,resourcequotas=1,secrets=0,services=1,services.nodeports=0"; got != want {
			t.Errorf("at first %s, want %s", got, want)
		}
		ports := []corev1.ServicePort{{Port: 80}}
		create(w, &corev1.Service{ObjectMeta: meta("default", "a"), Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeNodePort, Ports: ports}})
		create(w, &corev1.Secret{ObjectMeta: meta("default", "a")})
		pod := template("v1").Spec
		pod.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("600m")}
		create(w, &corev1.Pod{ObjectMeta: meta("default", "a"), Spec: *pod.DeepCopy()})
		if got, want := w.used(), "count/configmaps=1,pods=1,requests.cpu=600m,resourcequotas=1,secrets=1,services=2,services.nodeports=1"; got != want {
			t.Errorf("charged at once: %s, want %s", got, want)
		}
		_, err := client.Of[*corev1.Pod](w.Admin).Create(w.Context(), &corev1.Pod{ObjectMeta: meta("default", "b"), Spec: *pod.DeepCopy()})
		if !apierrors.IsForbidden(err) {
			t.Errorf("a pod too much: %v", err)
		}
		_, err = client.Of[*corev1.ResourceQuota](w.Admin).Create(w.Context(), &corev1.ResourceQuota{ObjectMeta: meta("default", "second")})
		if !apierrors.IsForbidden(err) {
			t.Errorf("a quota too much: %v", err)
		}
		edit(w, "default", "a", func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeClusterIP; s.Spec.Ports[0].NodePort = 0 })
		remove[*corev1.Secret](w, "default", "a", metav1.DeletePropagationBackground)
		remove[*corev1.Pod](w, "default", "a", metav1.DeletePropagationBackground)
		w.Tick(10 * time.Second)
		if got, want := w.used(), "count/configmaps=1,pods=0,requests.cpu=0,resourcequotas=1,secrets=0,services=2,services.nodeports=0"; got != want {
			t.Errorf("in the end %s, want %s", got, want)
		}
	})
}
