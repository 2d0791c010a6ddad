package horizontalpodautoscaler

import (
	"context"
	"fmt"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// measurer turns the metrics of one autoscaler into what they ask for.
type measurer struct {
	Metrics
	ns       string
	selector labels.Selector
	load     load
	// resource finds the REST resource of an object that a metric is about.
	resource func(ctx context.Context, ref autoscalingv2.CrossVersionObjectReference) (schema.GroupResource, error)
}

// measure computes one metric's proposal.
func (m measurer) measure(ctx context.Context, spec autoscalingv2.MetricSpec) outcome {
	var o outcome
	switch spec.Type {
	case autoscalingv2.ResourceMetricSourceType:
		o = m.usage(ctx, spec.Resource.Name, "", spec.Resource.Target)
		o.Reason = "FailedGetResourceMetric"
	case autoscalingv2.ContainerResourceMetricSourceType:
		o = m.usage(ctx, spec.ContainerResource.Name, spec.ContainerResource.Container, spec.ContainerResource.Target)
		o.Reason = "FailedGetContainerResourceMetric"
	case autoscalingv2.PodsMetricSourceType:
		o = m.pods(ctx, spec.Pods)
		o.Reason = "FailedGetPodsMetric"
	case autoscalingv2.ObjectMetricSourceType:
		o = m.object(ctx, spec.Object)
		o.Reason = "FailedGetObjectMetric"
	case autoscalingv2.ExternalMetricSourceType:
		o = m.external(ctx, spec.External)
		o.Reason = "FailedGetExternalMetric"
	default:
		return outcome{Reason: "InvalidMetricSourceType", Err: fmt.Errorf("unknown metric source type %q", spec.Type)}
	}
	o.Status.Type = spec.Type
	return o
}

func milli(n int64) *resource.Quantity { return resource.NewMilliQuantity(n, resource.DecimalSI) }

// amount is milli for memory and the like, which nobody reads in thousandths.
func amount(name corev1.ResourceName, n int64) *resource.Quantity {
	if name == corev1.ResourceCPU {
		return milli(n)
	}
	return resource.NewQuantity(n/1000, resource.BinarySI)
}

func (m measurer) usage(ctx context.Context, name corev1.ResourceName, container string, target autoscalingv2.MetricTarget) (o outcome) {
	o.Name = fmt.Sprintf("%s resource", name)
	if container != "" {
		o.Name = fmt.Sprintf("%s container resource of %s", name, container)
	}
	l := m.load
	if l.Measured, o.Err = m.Resource(ctx, m.ns, m.selector, name, container); o.Err != nil {
		o.Err = fmt.Errorf("failed to get %s utilization: unable to get metrics for resource %s: %w", name, name, o.Err)
		return o
	}
	current := autoscalingv2.MetricValueStatus{}
	if target.AverageUtilization != nil {
		o.Name += " utilization (percentage of request)"
		o.Proposal, o.Err = l.byUtilization(*target.AverageUtilization, name, container)
		current.AverageUtilization = &o.Proposal.Utilization
	} else {
		o.Proposal, o.Err = l.byAverage(target.AverageValue.MilliValue(), name == corev1.ResourceCPU)
	}
	if o.Err != nil {
		o.Err = fmt.Errorf("failed to get %s: %w", o.Name, o.Err)
	}
	current.AverageValue = amount(name, o.Proposal.Average)
	if container != "" {
		o.Status.ContainerResource = &autoscalingv2.ContainerResourceMetricStatus{Name: name, Container: container, Current: current}
	} else {
		o.Status.Resource = &autoscalingv2.ResourceMetricStatus{Name: name, Current: current}
	}
	return o
}

func (m measurer) pods(ctx context.Context, spec *autoscalingv2.PodsMetricSource) (o outcome) {
	o.Name = "pods metric " + spec.Metric.Name
	l := m.load
	if l.Measured, o.Err = m.Pods(ctx, m.ns, m.selector, spec.Metric); o.Err == nil {
		o.Proposal, o.Err = l.byAverage(spec.Target.AverageValue.MilliValue(), false)
	}
	if o.Err != nil {
		o.Err = fmt.Errorf("unable to get metric %s: %w", spec.Metric.Name, o.Err)
		return o
	}
	o.Status.Pods = &autoscalingv2.PodsMetricStatus{Metric: spec.Metric, Current: autoscalingv2.MetricValueStatus{AverageValue: milli(o.Proposal.Average)}}
	return o
}

func (m measurer) object(ctx context.Context, spec *autoscalingv2.ObjectMetricSource) (o outcome) {
	o.Name = fmt.Sprintf("%s metric %s", spec.DescribedObject.Kind, spec.Metric.Name)
	var total int64
	of, err := m.resource(ctx, spec.DescribedObject)
	if err == nil {
		total, err = m.Object(ctx, m.ns, of, spec.DescribedObject.Name, spec.Metric)
	}
	if err != nil {
		o.Err = fmt.Errorf("unable to get metric %s: %s on %s %s/%w", spec.Metric.Name, spec.DescribedObject.Kind, m.ns, spec.DescribedObject.Name, err)
		return o
	}
	current := autoscalingv2.MetricValueStatus{}
	o.Proposal, current = m.whole(total, spec.Target)
	o.Status.Object = &autoscalingv2.ObjectMetricStatus{DescribedObject: spec.DescribedObject, Metric: spec.Metric, Current: current}
	return o
}

func (m measurer) external(ctx context.Context, spec *autoscalingv2.ExternalMetricSource) (o outcome) {
	o.Name = "external metric " + spec.Metric.Name
	total, err := m.External(ctx, m.ns, spec.Metric)
	if err != nil {
		o.Err = fmt.Errorf("unable to get external metric %s/%s/%s: %w", m.ns, spec.Metric.Name, metav1.FormatLabelSelector(spec.Metric.Selector), err)
		return o
	}
	current := autoscalingv2.MetricValueStatus{}
	o.Proposal, current = m.whole(total, spec.Target)
	o.Status.External = &autoscalingv2.ExternalMetricStatus{Metric: spec.Metric, Current: current}
	return o
}

// whole judges a value that is no pod's own, by itself or by each one's share of it.
func (m measurer) whole(total int64, target autoscalingv2.MetricTarget) (proposal, autoscalingv2.MetricValueStatus) {
	if target.AverageValue != nil {
		p := m.load.byShare(total, target.AverageValue.MilliValue())
		return p, autoscalingv2.MetricValueStatus{AverageValue: milli(p.Average)}
	}
	return m.load.byTotal(total, target.Value.MilliValue()), autoscalingv2.MetricValueStatus{Value: milli(total)}
}
