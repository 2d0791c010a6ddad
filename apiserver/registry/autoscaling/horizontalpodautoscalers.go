package autoscaling

import (
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/resource"
)

// autoscaler is the stored type.
type autoscaler = *autoscalingv2.HorizontalPodAutoscaler

// defaultUtilization is what one aims at who says nothing about metrics.
const defaultUtilization = 80

func horizontalPodAutoscalers() resource.Descriptor {
	return kind.Describe(kind.Of[autoscaler]{
		Singular:            "horizontalpodautoscaler",
		ShortNames:          []string{"hpa"},
		Categories:          []string{"all"},
		New:                 func() autoscaler { return &autoscalingv2.HorizontalPodAutoscaler{} },
		NewList:             func() runtime.Object { return &autoscalingv2.HorizontalPodAutoscalerList{} },
		Defaults:            setDefaults,
		PrepareCreate:       prepareCreate,
		PrepareUpdate:       prepareUpdate,
		Validate:            validate,
		UnconditionalUpdate: true,
		Columns:             columns(func(a autoscaler) autoscaler { return a }),
		Subresources:        []resource.Subresource{kind.StatusOf(prepareStatus, validateStatus)},
	})
}

func setDefaults(a autoscaler) {
	kind.SetDefault(&a.Spec.MinReplicas, 1)
	if len(a.Spec.Metrics) == 0 {
		a.Spec.Metrics = []autoscalingv2.MetricSpec{cpuUtilization(defaultUtilization)}
	}
	if b := a.Spec.Behavior; b != nil {
		b.ScaleUp = defaultRules(b.ScaleUp, ptr.To(int32(0)),
			autoscalingv2.HPAScalingPolicy{Type: autoscalingv2.PodsScalingPolicy, Value: 4, PeriodSeconds: 15},
			autoscalingv2.HPAScalingPolicy{Type: autoscalingv2.PercentScalingPolicy, Value: 100, PeriodSeconds: 15})
		b.ScaleDown = defaultRules(b.ScaleDown, nil,
			autoscalingv2.HPAScalingPolicy{Type: autoscalingv2.PercentScalingPolicy, Value: 100, PeriodSeconds: 15})
	}
}

func cpuUtilization(percent int32) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{
		Name:   corev1.ResourceCPU,
		Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: &percent},
	}}
}

// defaultRules fills the rules of one direction; the window of scaling down stays open, because
// it is a setting of the controller.
func defaultRules(r *autoscalingv2.HPAScalingRules, window *int32, policies ...autoscalingv2.HPAScalingPolicy) *autoscalingv2.HPAScalingRules {
	if r == nil {
		r = &autoscalingv2.HPAScalingRules{}
	}
	kind.SetDefault(&r.SelectPolicy, autoscalingv2.MaxChangePolicySelect)
	if r.StabilizationWindowSeconds == nil {
		r.StabilizationWindowSeconds = window
	}
	if r.Policies == nil {
		r.Policies = policies
	}
	return r
}

func prepareCreate(a autoscaler) {
	a.Status = autoscalingv2.HorizontalPodAutoscalerStatus{}
	a.Generation = 1
}

func prepareUpdate(a, old autoscaler) {
	a.Status = old.Status
	a.Generation = old.Generation
	if !equality.Semantic.DeepEqual(a.Spec, old.Spec) {
		a.Generation++
	}
}

func prepareStatus(a, old autoscaler) { a.Spec = old.Spec }
