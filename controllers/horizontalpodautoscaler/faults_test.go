package horizontalpodautoscaler

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/controllers/controllertest"
	"github.com/miniorch/miniorch/controllers/deployment"
	"github.com/miniorch/miniorch/controllers/replicaset"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
)

// weather is a load that the ready pods share evenly.
type weather struct {
	w    *controllertest.World
	load *atomic.Int64 // thousandths of a CPU
}

func (l weather) Resource(_ context.Context, ns string, pods labels.Selector, _ corev1.ResourceName, _ string) (samples, error) {
	out := samples{}
	for _, p := range controllertest.List[*corev1.Pod](l.w, ns, pods.String()) {
		if api.IsPodReady(p) && p.DeletionTimestamp == nil {
			out[p.Name] = sample{Time: time.Now(), Window: defaultPeriod}
		}
	}
	for name, s := range out {
		s.Value = l.load.Load() / int64(len(out))
		out[name] = s
	}
	return out, nil
}

func (weather) Pods(context.Context, string, labels.Selector, autoscalingv2.MetricIdentifier) (samples, error) {
	return nil, fmt.Errorf("not measured")
}
func (weather) Object(context.Context, string, schema.GroupResource, string, autoscalingv2.MetricIdentifier) (int64, error) {
	return 0, fmt.Errorf("not measured")
}
func (weather) External(context.Context, string, autoscalingv2.MetricIdentifier) (int64, error) {
	return 0, fmt.Errorf("not measured")
}

func replicasOf(w *controllertest.World) int32 {
	return *controllertest.Get[*appsv1.Deployment](w, "default", "web").Spec.Replicas
}

// A Deployment follows its load up and down, within its bounds, whatever becomes of the
// controller: what it forgets in dying only makes it slower.
func TestFollowsTheLoadUnderFaults(t *testing.T) {
	var load atomic.Int64
	var stage *controllertest.World
	begin := func(w *controllertest.World) {
		stage = w
		load.Store(1000)
		w.Cleanup(w.Start(w.As(),
			func(t client.Transport, i *client.Informers, cfg control.Config) controllertest.Runner {
				return replicaset.New(t, i, cfg)
			},
			func(t client.Transport, i *client.Informers, cfg control.Config) controllertest.Runner {
				return deployment.New(t, i, cfg)
			}))
		pod := controllertest.Template("v1")
		pod.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}
		controllertest.Create(w, &appsv1.Deployment{ObjectMeta: controllertest.Meta("default", "web"), Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To(int32(2)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}, Template: pod,
		}})
		w.Tick(10 * time.Second)
		controllertest.Create(w, &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: controllertest.Meta("default", "web"), Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"}, MaxReplicas: 10,
			Metrics: []autoscalingv2.MetricSpec{{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{
				Name: corev1.ResourceCPU, Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: ptr.To(int32(50))},
			}}},
		}})
	}
	wanted := func() int32 { return min(10, max(1, int32((load.Load()+499)/500))) }
	controllertest.Faults(t, controllertest.Trial{
		Name: "up and down", Nodes: 2, Leaders: 2, Seeds: 5, Begin: begin,
		Controllers: []controllertest.Make{func(t client.Transport, i *client.Informers, cfg control.Config) controllertest.Runner {
			c := New(t, i, Config{Config: cfg})
			c.metrics = weather{stage, &load}
			return c
		}},
		Acts: []func(w *controllertest.World){
			func(*controllertest.World) { load.Store(3000) },
			func(*controllertest.World) { load.Store(90_000) },
			func(*controllertest.World) { load.Store(700) },
		},
		Always: func(w *controllertest.World, _ int) {
			if n := replicasOf(w); n < 1 || n > 10 {
				w.Errorf("%d replicas, the bounds are 1 and 10", n)
			}
		},
		AtRest: func(w *controllertest.World) bool { return replicasOf(w) == wanted() },
		State:  func(w *controllertest.World) string { return fmt.Sprint(replicasOf(w), " replicas") },
		Want:   "2 replicas",
	})
}

// What the autoscaler says of itself, on the real API, without anybody who measures.
func TestConditionsWithoutMetrics(t *testing.T) {
	controllertest.In(t, 1, true, func(w *controllertest.World) {
		w.Cleanup(w.Start(w.As(), func(t client.Transport, i *client.Informers, cfg control.Config) controllertest.Runner {
			return New(t, i, Config{Config: cfg})
		}))
		a := func(name, target string) {
			controllertest.Create(w, &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: controllertest.Meta("default", name), Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
				ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: target}, MaxReplicas: 3,
			}})
		}
		controllertest.Create(w, &appsv1.ReplicaSet{ObjectMeta: controllertest.Meta("default", "web"), Spec: appsv1.ReplicaSetSpec{
			Replicas: ptr.To(int32(5)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}, Template: controllertest.Template("v1"),
		}})
		a("web", "web")
		a("lost", "nobody")
		w.Tick(time.Minute)
		if n := *controllertest.Get[*appsv1.ReplicaSet](w, "default", "web").Spec.Replicas; n != 3 {
			t.Errorf("%d replicas, the most are 3", n)
		}
		for name, want := range map[string]string{"web": "ScalingActive False FailedGetResourceMetric", "lost": "AbleToScale False FailedGetScale"} {
			var says []string
			for _, c := range controllertest.Get[*autoscalingv2.HorizontalPodAutoscaler](w, "default", name).Status.Conditions {
				says = append(says, fmt.Sprintf("%s %s %s", c.Type, c.Status, c.Reason))
			}
			found := false
			for _, s := range says {
				found = found || s == want
			}
			if !found {
				t.Errorf("%s says %q, want %q", name, says, want)
			}
		}
	})
}
