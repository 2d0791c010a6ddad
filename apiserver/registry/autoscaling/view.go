package autoscaling

import (
	"encoding/json"
	"fmt"
	"maps"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/resource"
	"github.com/miniorch/miniorch/pkg/api"
)

// What autoscaling/v1 has no field for stands in annotations, as JSON.
const (
	metricsKey        = "autoscaling.alpha.kubernetes.io/metrics"
	currentMetricsKey = "autoscaling.alpha.kubernetes.io/current-metrics"
	conditionsKey     = "autoscaling.alpha.kubernetes.io/conditions"
	behaviorKey       = "autoscaling.alpha.kubernetes.io/behavior"
)

// older is the type of the view.
type older = *autoscalingv1.HorizontalPodAutoscaler

// horizontalPodAutoscalersV1 is autoscaling/v1: one metric, CPU, has a field; the others are annotations.
func horizontalPodAutoscalersV1() resource.Descriptor {
	d := kind.Describe(kind.Of[older]{
		Singular:            "horizontalpodautoscaler",
		ShortNames:          []string{"hpa"},
		Categories:          []string{"all"},
		New:                 func() older { return &autoscalingv1.HorizontalPodAutoscaler{} },
		NewList:             func() runtime.Object { return &autoscalingv1.HorizontalPodAutoscalerList{} },
		Defaults:            func(a older) { kind.SetDefault(&a.Spec.MinReplicas, 1) },
		PrepareCreate:       prepareOlderCreate,
		PrepareUpdate:       prepareOlderUpdate,
		Validate:            validateOlder,
		UnconditionalUpdate: true,
		Columns:             columns(shownOlder),
		Subresources: []resource.Subresource{kind.StatusOf(
			func(a, old older) { a.Spec = old.Spec; keepAnnotations(a, old, metricsKey, behaviorKey) },
			func(a, old older) field.ErrorList { return validateStatus(shownOlder(a), shownOlder(old)) },
		)},
	})
	d.View = &resource.View{
		Of: api.ResourceFor[autoscaler](),
		To: func(obj api.Object) (api.Object, error) {
			a, ok := obj.(older)
			if !ok {
				return nil, fmt.Errorf("converting %T: it is no autoscaling/v1 HorizontalPodAutoscaler", obj)
			}
			return newer(a)
		},
		From: func(obj api.Object) (api.Object, error) {
			a, ok := obj.(autoscaler)
			if !ok {
				return nil, fmt.Errorf("converting %T: it is no autoscaling/v2 HorizontalPodAutoscaler", obj)
			}
			return viewed(a)
		},
	}
	return d
}

func prepareOlderCreate(a older) {
	a.Status = autoscalingv1.HorizontalPodAutoscalerStatus{}
	keepAnnotations(a, &autoscalingv1.HorizontalPodAutoscaler{}, currentMetricsKey, conditionsKey)
	a.Generation = 1
}

func prepareOlderUpdate(a, old older) {
	a.Status = old.Status
	keepAnnotations(a, old, currentMetricsKey, conditionsKey)
	now, errNow := newer(a)
	was, errWas := newer(old)
	if errNow == nil && errWas == nil {
		prepareUpdate(now, was)
		a.Generation = now.Generation
	}
}

// keepAnnotations puts back those that stand for fields which this endpoint does not change.
func keepAnnotations(a, old older, keys ...string) {
	a.Annotations = maps.Clone(a.Annotations)
	for _, k := range keys {
		delete(a.Annotations, k)
		if v, ok := old.Annotations[k]; ok {
			if a.Annotations == nil {
				a.Annotations = map[string]string{}
			}
			a.Annotations[k] = v
		}
	}
}

func validateOlder(a older) field.ErrorList {
	stored, err := newer(a)
	if err != nil {
		return field.ErrorList{field.Invalid(field.NewPath("metadata", "annotations"), "", err.Error())}
	}
	return validate(stored)
}

// shownOlder is what the columns of the view are read from.
func shownOlder(a older) autoscaler {
	stored, err := newer(a)
	if err != nil {
		return &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: a.ObjectMeta}
	}
	return stored
}

// newer turns the view into the stored type, with its defaults. The two share what they point at.
func newer(a older) (autoscaler, error) {
	s := &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: a.ObjectMeta,
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference(a.Spec.ScaleTargetRef), MinReplicas: a.Spec.MinReplicas, MaxReplicas: a.Spec.MaxReplicas,
		},
		Status: autoscalingv2.HorizontalPodAutoscalerStatus{
			ObservedGeneration: a.Status.ObservedGeneration, LastScaleTime: a.Status.LastScaleTime,
			CurrentReplicas: a.Status.CurrentReplicas, DesiredReplicas: a.Status.DesiredReplicas,
		},
	}
	if cpu := a.Spec.TargetCPUUtilizationPercentage; cpu != nil {
		s.Spec.Metrics = append(s.Spec.Metrics, cpuUtilization(*cpu))
	}
	if cpu := a.Status.CurrentCPUUtilizationPercentage; cpu != nil {
		s.Status.CurrentMetrics = append(s.Status.CurrentMetrics, autoscalingv2.MetricStatus{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricStatus{
			Name: corev1.ResourceCPU, Current: autoscalingv2.MetricValueStatus{AverageUtilization: cpu},
		}})
	}
	if err := readAnnotations(s, a.Annotations); err != nil {
		return nil, err
	}
	setDefaults(s)
	return s, nil
}

// readAnnotations moves what the annotations say into fields.
func readAnnotations(s autoscaler, annotations map[string]string) error {
	var metrics []autoscalingv1.MetricSpec
	var current []autoscalingv1.MetricStatus
	var conditions []autoscalingv1.HorizontalPodAutoscalerCondition
	s.Annotations = maps.Clone(annotations)
	for key, into := range map[string]any{metricsKey: &metrics, currentMetricsKey: &current, conditionsKey: &conditions, behaviorKey: &s.Spec.Behavior} {
		text, ok := annotations[key]
		if !ok {
			continue
		}
		if err := json.Unmarshal([]byte(text), into); err != nil {
			return fmt.Errorf("reading the annotation %s: %w", key, err)
		}
		delete(s.Annotations, key)
	}
	for _, m := range metrics {
		s.Spec.Metrics = append(s.Spec.Metrics, newerMetric(m))
	}
	for _, m := range current {
		s.Status.CurrentMetrics = append(s.Status.CurrentMetrics, newerStatus(m))
	}
	for _, c := range conditions {
		s.Status.Conditions = append(s.Status.Conditions, autoscalingv2.HorizontalPodAutoscalerCondition{
			Type: autoscalingv2.HorizontalPodAutoscalerConditionType(c.Type), Status: c.Status, LastTransitionTime: c.LastTransitionTime,
			Reason: c.Reason, Message: c.Message, ObservedGeneration: c.ObservedGeneration,
		})
	}
	return nil
}

// viewed turns the stored type into the view.
func viewed(s autoscaler) (older, error) {
	a := &autoscalingv1.HorizontalPodAutoscaler{
		ObjectMeta: s.ObjectMeta,
		Spec: autoscalingv1.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv1.CrossVersionObjectReference(s.Spec.ScaleTargetRef), MinReplicas: s.Spec.MinReplicas, MaxReplicas: s.Spec.MaxReplicas,
		},
		Status: autoscalingv1.HorizontalPodAutoscalerStatus{
			ObservedGeneration: s.Status.ObservedGeneration, LastScaleTime: s.Status.LastScaleTime,
			CurrentReplicas: s.Status.CurrentReplicas, DesiredReplicas: s.Status.DesiredReplicas,
		},
	}
	var metrics []autoscalingv1.MetricSpec
	for _, m := range s.Spec.Metrics {
		if a.Spec.TargetCPUUtilizationPercentage == nil && m.Resource != nil && m.Resource.Name == corev1.ResourceCPU && m.Resource.Target.AverageUtilization != nil {
			a.Spec.TargetCPUUtilizationPercentage = m.Resource.Target.AverageUtilization
			continue
		}
		metrics = append(metrics, olderMetric(m))
	}
	var current []autoscalingv1.MetricStatus
	for _, m := range s.Status.CurrentMetrics {
		if r := m.Resource; r != nil && r.Name == corev1.ResourceCPU && r.Current.AverageUtilization != nil {
			a.Status.CurrentCPUUtilizationPercentage = r.Current.AverageUtilization
		}
		current = append(current, olderStatus(m))
	}
	return a, writeAnnotations(a, s, metrics, current)
}

func writeAnnotations(a older, s autoscaler, metrics []autoscalingv1.MetricSpec, current []autoscalingv1.MetricStatus) error {
	a.Annotations = maps.Clone(s.Annotations)
	for _, f := range []struct {
		key   string
		value any
		there bool
	}{
		{metricsKey, metrics, len(metrics) > 0}, {currentMetricsKey, current, len(current) > 0},
		{conditionsKey, s.Status.Conditions, len(s.Status.Conditions) > 0}, {behaviorKey, s.Spec.Behavior, s.Spec.Behavior != nil},
	} {
		if !f.there {
			continue
		}
		text, err := json.Marshal(f.value)
		if err != nil {
			return fmt.Errorf("writing the annotation %s: %w", f.key, err)
		}
		if a.Annotations == nil {
			a.Annotations = map[string]string{}
		}
		a.Annotations[f.key] = string(text)
	}
	return nil
}
