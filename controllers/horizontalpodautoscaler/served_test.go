package horizontalpodautoscaler

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/controllers/controllertest"
	"github.com/miniorch/miniorch/pkg/client"
)

// behind is a transport behind whose API server somebody serves metrics.
type behind struct {
	client.Transport
	served http.Handler
}

func (b behind) Raw(_ context.Context, path string, query url.Values) ([]byte, error) {
	w := httptest.NewRecorder()
	b.served.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path+"?"+query.Encode(), nil))
	if w.Code != http.StatusOK {
		return nil, apierrors.NewGenericServerResponse(w.Code, "get", schema.GroupResource{}, path, "", 0, true)
	}
	return w.Body.Bytes(), nil
}

// adapter serves what the documented walk-through of multiple metrics measures.
func adapter(t *testing.T) http.Handler {
	mux := http.NewServeMux()
	custom := "/apis/custom.metrics.k8s.io/v1beta2/namespaces/default"
	mux.HandleFunc("GET "+custom+"/pods/{all}/packets-per-second", func(w http.ResponseWriter, r *http.Request) {
		if got := r.PathValue("all") + " " + r.FormValue("labelSelector") + " " + r.FormValue("metricLabelSelector"); got != "* app=web verb=GET" {
			t.Errorf("packets of %q are asked for", got)
		}
		fmt.Fprint(w, `{"kind":"MetricValueList","apiVersion":"custom.metrics.k8s.io/v1beta2","items":[`)
		for i := range 2 {
			if i > 0 {
				fmt.Fprint(w, ",")
			}
			fmt.Fprintf(w, `{"describedObject":{"kind":"Pod","namespace":"default","name":"p%d"},"metric":{"name":"packets-per-second"},"timestamp":%q,"value":"1500"}`, i, time.Now().Format(time.RFC3339))
		}
		fmt.Fprint(w, `]}`)
	})
	mux.HandleFunc("GET "+custom+"/services/front/requests-per-second", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"items":[{"describedObject":{"kind":"Service","name":"front"},"metric":{"name":"requests-per-second"},"value":"10k"}]}`)
	})
	mux.HandleFunc("GET /apis/external.metrics.k8s.io/v1beta1/namespaces/default/queue_messages_ready", func(w http.ResponseWriter, r *http.Request) {
		if got := r.FormValue("labelSelector"); got != "queue=worker_tasks" {
			t.Errorf("messages of %q are asked for", got)
		}
		fmt.Fprint(w, `{"items":[{"metricName":"queue_messages_ready","value":"100"},{"metricName":"queue_messages_ready","value":"20500m"}]}`)
	})
	return mux
}

// https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale-walkthrough/, "Autoscaling on
// multiple metrics and custom metrics": of pods, of an object and of nothing in the cluster; and what is
// said when nobody serves them.
func TestMetricsThatOthersServe(t *testing.T) {
	value := func(v string) *resource.Quantity { return ptr.To(resource.MustParse(v)) }
	packets := autoscalingv2.MetricSpec{Type: autoscalingv2.PodsMetricSourceType, Pods: &autoscalingv2.PodsMetricSource{
		Metric: autoscalingv2.MetricIdentifier{Name: "packets-per-second", Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"verb": "GET"}}},
		Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: value("1k")},
	}}
	requests := autoscalingv2.MetricSpec{Type: autoscalingv2.ObjectMetricSourceType, Object: &autoscalingv2.ObjectMetricSource{
		Metric: autoscalingv2.MetricIdentifier{Name: "requests-per-second"}, DescribedObject: autoscalingv2.CrossVersionObjectReference{APIVersion: "v1", Kind: "Service", Name: "front"},
		Target: autoscalingv2.MetricTarget{Type: autoscalingv2.ValueMetricType, Value: value("2k")},
	}}
	messages := autoscalingv2.MetricSpec{Type: autoscalingv2.ExternalMetricSourceType, External: &autoscalingv2.ExternalMetricSource{
		Metric: autoscalingv2.MetricIdentifier{Name: "queue_messages_ready", Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"queue": "worker_tasks"}}},
		Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: value("30")},
	}}
	for _, tc := range []struct {
		name, reason string
		metric       autoscalingv2.MetricSpec
		served       bool
		replicas     int32
		condition    string
		current      string
	}{
		{"pods", "1500 each of 1000 wanted: 2 × 1.5", packets, true, 3, "ScalingActive True ValidMetricFound", "1500"},
		{"object", "10k of 2k wanted: 2 × 5, but four at a time", requests, true, 6, "ScalingActive True ValidMetricFound", "10k"},
		{"external", "120.5 at 30 each: 5", messages, true, 5, "ScalingActive True ValidMetricFound", "60250m"},
		{"pods, unserved", "nobody is there", packets, false, 2, "ScalingActive False FailedGetPodsMetric: the HPA was unable to compute the replica count: " +
			"unable to get metric packets-per-second: unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered", ""},
		{"object, unserved", "nobody is there", requests, false, 2, "ScalingActive False FailedGetObjectMetric: the HPA was unable to compute the replica count: " +
			"unable to get metric requests-per-second: Service on default front/unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered", ""},
		{"external, unserved", "nobody is there", messages, false, 2, "ScalingActive False FailedGetExternalMetric: the HPA was unable to compute the replica count: " +
			"unable to get external metric default/queue_messages_ready/queue=worker_tasks: unable to fetch metrics from external metrics API: no external metrics API (external.metrics.k8s.io) registered", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			controllertest.In(t, 1, true, func(w *controllertest.World) {
				transport := w.As()
				if tc.served {
					transport = behind{transport, adapter(t)}
				}
				for i := range 2 {
					p := &corev1.Pod{ObjectMeta: controllertest.Meta("default", fmt.Sprint("p", i)), Spec: controllertest.Template("v1").Spec}
					p.Labels = map[string]string{"app": "web"}
					controllertest.Create(w, p)
				}
				controllertest.Create(w, &corev1.Service{ObjectMeta: controllertest.Meta("default", "front"), Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}})
				controllertest.Create(w, &appsv1.ReplicaSet{ObjectMeta: controllertest.Meta("default", "web"), Spec: appsv1.ReplicaSetSpec{
					Replicas: ptr.To(int32(2)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}, Template: controllertest.Template("v1"),
				}})
				controllertest.EditStatus(w, "default", "web", func(rs *appsv1.ReplicaSet) { rs.Status.Replicas = 2 })
				w.Tick(time.Minute)
				w.Cleanup(w.Start(transport, func(t client.Transport, i *client.Informers, cfg control.Config) controllertest.Runner {
					return New(t, i, Config{Config: cfg})
				}))
				controllertest.Create(w, &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: controllertest.Meta("default", "web"), Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
					ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web"}, MaxReplicas: 20, Metrics: []autoscalingv2.MetricSpec{tc.metric},
				}})
				w.Tick(5 * time.Second)
				if n := *controllertest.Get[*appsv1.ReplicaSet](w, "default", "web").Spec.Replicas; n != tc.replicas {
					t.Errorf("%s: %d replicas, want %d", tc.reason, n, tc.replicas)
				}
				status := controllertest.Get[*autoscalingv2.HorizontalPodAutoscaler](w, "default", "web").Status
				found := false
				for _, c := range status.Conditions {
					found = found || strings.HasPrefix(fmt.Sprintf("%s %s %s: %s", c.Type, c.Status, c.Reason, c.Message), tc.condition)
				}
				if current := currentValue(status); !found || current != tc.current {
					t.Errorf("%s: current %q, want %q; want the condition\n%s, have\n%v", tc.reason, current, tc.current, tc.condition, status.Conditions)
				}
			})
		})
	}
}

func currentValue(status autoscalingv2.HorizontalPodAutoscalerStatus) string {
	var all []autoscalingv2.MetricValueStatus
	for _, m := range status.CurrentMetrics {
		switch {
		case m.Pods != nil:
			all = append(all, m.Pods.Current)
		case m.Object != nil:
			all = append(all, m.Object.Current)
		case m.External != nil:
			all = append(all, m.External.Current)
		}
	}
	if len(all) == 0 {
		return ""
	}
	if all[0].Value != nil {
		return all[0].Value.String()
	}
	return all[0].AverageValue.String()
}
