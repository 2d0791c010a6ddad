package horizontalpodautoscaler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	custommetrics "k8s.io/metrics/pkg/apis/custom_metrics/v1beta2"
	externalmetrics "k8s.io/metrics/pkg/apis/external_metrics/v1beta1"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"github.com/miniorch/miniorch/pkg/client"
)

// Metrics is where measurements come from: three API groups, which may be served by anybody.
type Metrics interface {
	// Resource returns what pods use of a resource, of one container if it is named.
	Resource(ctx context.Context, ns string, pods labels.Selector, name corev1.ResourceName, container string) (samples, error)
	// Pods returns a metric of each pod.
	Pods(ctx context.Context, ns string, pods labels.Selector, metric autoscalingv2.MetricIdentifier) (samples, error)
	// Object returns a metric of one object, in thousandths.
	Object(ctx context.Context, ns string, of schema.GroupResource, name string, metric autoscalingv2.MetricIdentifier) (int64, error)
	// External returns the sum of a metric that belongs to no object, in thousandths.
	External(ctx context.Context, ns string, metric autoscalingv2.MetricIdentifier) (int64, error)
}

// apiMetrics reads measurements from the API server.
type apiMetrics struct {
	transport client.Transport
}

// Resource implements Metrics.
func (m apiMetrics) Resource(ctx context.Context, ns string, pods labels.Selector, name corev1.ResourceName, container string) (samples, error) {
	all, _, err := client.Of[*metricsv1beta1.PodMetrics](m.transport).List(ctx, ns, metav1.ListOptions{LabelSelector: pods.String()})
	if err != nil {
		return nil, fmt.Errorf("unable to fetch metrics from resource metrics API: %w", err)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no metrics returned from resource metrics API")
	}
	out := samples{}
	for _, p := range all {
		s, found := sample{Time: p.Timestamp.Time, Window: p.Window.Duration}, false
		for _, c := range p.Containers {
			if container == "" || c.Name == container {
				used, ok := c.Usage[name]
				s.Value, found = s.Value+used.MilliValue(), ok
				if !ok {
					break
				}
			}
		}
		if found {
			out[p.Name] = s
		}
	}
	if container != "" && len(out) == 0 {
		return nil, fmt.Errorf("container %s not present in metrics for its pods", container)
	}
	return out, nil
}

// Pods implements Metrics.
func (m apiMetrics) Pods(ctx context.Context, ns string, pods labels.Selector, metric autoscalingv2.MetricIdentifier) (samples, error) {
	values, err := m.custom(ctx, ns, "pods", "*", metric, url.Values{"labelSelector": {pods.String()}})
	if err != nil {
		return nil, err
	}
	out := samples{}
	for _, v := range values {
		out[v.DescribedObject.Name] = sample{Value: v.Value.MilliValue(), Time: v.Timestamp.Time}
	}
	return out, nil
}

// Object implements Metrics.
func (m apiMetrics) Object(ctx context.Context, ns string, of schema.GroupResource, name string, metric autoscalingv2.MetricIdentifier) (int64, error) {
	values, err := m.custom(ctx, ns, of.String(), name, metric, url.Values{})
	if err != nil {
		return 0, err
	}
	return values[0].Value.MilliValue(), nil
}

func (m apiMetrics) custom(ctx context.Context, ns, resource, name string, metric autoscalingv2.MetricIdentifier, query url.Values) ([]custommetrics.MetricValue, error) {
	selector, err := metav1.LabelSelectorAsSelector(metric.Selector)
	if err != nil {
		return nil, fmt.Errorf("reading the selector of the metric %s: %w", metric.Name, err)
	}
	if metric.Selector != nil {
		query.Set("metricLabelSelector", selector.String())
	}
	path := fmt.Sprintf("/apis/custom.metrics.k8s.io/v1beta2/namespaces/%s/%s/%s/%s", ns, resource, url.PathEscape(name), url.PathEscape(metric.Name))
	if resource == "namespaces" { // which are in no namespace
		path = fmt.Sprintf("/apis/custom.metrics.k8s.io/v1beta2/namespaces/%s/metrics/%s", url.PathEscape(name), url.PathEscape(metric.Name))
	}
	var list custommetrics.MetricValueList
	if err := m.read(ctx, path, query, &list); err != nil {
		return nil, fmt.Errorf("unable to fetch metrics from custom metrics API: %w", registered(err, "custom", "custom.metrics.k8s.io"))
	}
	if len(list.Items) == 0 {
		return nil, fmt.Errorf("no metrics returned from custom metrics API")
	}
	return list.Items, nil
}

// External implements Metrics.
func (m apiMetrics) External(ctx context.Context, ns string, metric autoscalingv2.MetricIdentifier) (int64, error) {
	query := url.Values{}
	if metric.Selector != nil {
		selector, err := metav1.LabelSelectorAsSelector(metric.Selector)
		if err != nil {
			return 0, fmt.Errorf("reading the selector of the metric %s: %w", metric.Name, err)
		}
		query.Set("labelSelector", selector.String())
	}
	var list externalmetrics.ExternalMetricValueList
	if err := m.read(ctx, fmt.Sprintf("/apis/external.metrics.k8s.io/v1beta1/namespaces/%s/%s", ns, url.PathEscape(metric.Name)), query, &list); err != nil {
		return 0, fmt.Errorf("unable to fetch metrics from external metrics API: %w", registered(err, "external", "external.metrics.k8s.io"))
	}
	if len(list.Items) == 0 {
		return 0, fmt.Errorf("no metrics returned from external metrics API")
	}
	var sum int64
	for _, v := range list.Items {
		sum += v.Value.MilliValue()
	}
	return sum, nil
}

func (m apiMetrics) read(ctx context.Context, path string, query url.Values, into any) error {
	body, err := m.transport.Raw(ctx, path, query)
	if err != nil {
		return err
	}
	return json.Unmarshal(body, into)
}

// registered says it in the words people know when nobody serves a group, and not only lacks a metric.
func registered(err error, which, group string) error {
	var status apierrors.APIStatus
	if apierrors.IsNotFound(err) && errors.As(err, &status) && (status.Status().Details == nil || status.Status().Details.Name == "") {
		return fmt.Errorf("no %s metrics API (%s) registered", which, group)
	}
	return err
}
