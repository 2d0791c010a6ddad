package autoscaling

import (
	"fmt"
	"strings"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/pkg/api"
)

// shownMetrics is how many metrics one column names.
const shownMetrics = 2

// columns are those of both versions: stored reads the version that is stored.
func columns[T api.Object](stored func(obj T) autoscaler) []kind.Column[T] {
	return []kind.Column[T]{
		kind.NameColumn[T](),
		kind.TextColumn("Reference", "What is scaled.", func(obj T) string {
			ref := stored(obj).Spec.ScaleTargetRef
			return ref.Kind + "/" + ref.Name
		}),
		kind.TextColumn("Targets", "Each metric as it is and as it should be.", func(obj T) string { return targets(stored(obj)) }),
		kind.TextColumn("MinPods", "The fewest replicas.", func(obj T) string {
			if least := stored(obj).Spec.MinReplicas; least != nil {
				return fmt.Sprint(*least)
			}
			return "<unset>"
		}),
		kind.CountColumn("MaxPods", "The most replicas.", func(obj T) int64 { return int64(stored(obj).Spec.MaxReplicas) }),
		kind.CountColumn("Replicas", "The replicas that were seen last.", func(obj T) int64 { return int64(stored(obj).Status.CurrentReplicas) }),
		kind.AgeColumn[T](),
	}
}

func targets(a autoscaler) string {
	if len(a.Spec.Metrics) == 0 {
		return kind.None
	}
	var parts []string
	for i, m := range a.Spec.Metrics {
		if i == shownMetrics {
			parts = append(parts, fmt.Sprintf("%d more...", len(a.Spec.Metrics)-i))
			return strings.Join(parts[:i], ", ") + " + " + parts[i]
		}
		var now *autoscalingv2.MetricStatus
		if i < len(a.Status.CurrentMetrics) {
			now = &a.Status.CurrentMetrics[i]
		}
		parts = append(parts, target(m, now))
	}
	return strings.Join(parts, ", ")
}

// target prints one metric: "cpu: 40%/80%", "100m/2 (avg)".
func target(m autoscalingv2.MetricSpec, now *autoscalingv2.MetricStatus) string {
	var wanted *autoscalingv2.MetricTarget
	current := autoscalingv2.MetricValueStatus{}
	prefix := ""
	s := ptr.Deref(now, autoscalingv2.MetricStatus{})
	switch {
	case m.Resource != nil:
		wanted, prefix = &m.Resource.Target, string(m.Resource.Name)+": "
		if s.Resource != nil {
			current = s.Resource.Current
		}
	case m.ContainerResource != nil:
		wanted, prefix = &m.ContainerResource.Target, string(m.ContainerResource.Name)+": "
		if s.ContainerResource != nil {
			current = s.ContainerResource.Current
		}
	case m.Pods != nil:
		wanted = &m.Pods.Target
		if s.Pods != nil {
			current = s.Pods.Current
		}
	case m.Object != nil:
		wanted = &m.Object.Target
		if s.Object != nil {
			current = s.Object.Current
		}
	case m.External != nil:
		wanted = &m.External.Target
		if s.External != nil {
			current = s.External.Current
		}
	default:
		return "<unknown type>"
	}
	return prefix + value(wanted, current, m.Type)
}

func value(wanted *autoscalingv2.MetricTarget, current autoscalingv2.MetricValueStatus, of autoscalingv2.MetricSourceType) string {
	now := kind.Unknown
	switch {
	case wanted.AverageUtilization != nil:
		if current.AverageUtilization != nil {
			now = fmt.Sprintf("%d%%", *current.AverageUtilization)
		}
		return fmt.Sprintf("%s/%d%%", now, *wanted.AverageUtilization)
	case wanted.AverageValue != nil:
		if current.AverageValue != nil {
			now = current.AverageValue.String()
		}
		if of == autoscalingv2.ObjectMetricSourceType || of == autoscalingv2.ExternalMetricSourceType {
			return fmt.Sprintf("%s/%s (avg)", now, wanted.AverageValue)
		}
		return fmt.Sprintf("%s/%s", now, wanted.AverageValue)
	case wanted.Value != nil:
		if current.Value != nil {
			now = current.Value.String()
		}
		return fmt.Sprintf("%s/%s", now, wanted.Value)
	}
	return now + "/<auto>"
}
