// Package metrics describes NodeMetrics and PodMetrics of metrics.k8s.io/v1beta1: what nodes and
// pods use now. Nothing of it is stored.
package metrics

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/resource"
	"github.com/miniorch/miniorch/pkg/api"
)

// Source knows what nodes and pods use.
type Source interface {
	Nodes(ctx context.Context) ([]*metricsv1beta1.NodeMetrics, error)
	// Pods returns those of a namespace, of all if it is empty.
	Pods(ctx context.Context, ns string) []*metricsv1beta1.PodMetrics
}

// Kinds returns the descriptors of the group. A nil source knows of nobody.
func Kinds(source Source) []resource.Descriptor {
	return []resource.Descriptor{
		virtual(nodeMetrics(), func(ctx context.Context, _ string) ([]api.Object, error) {
			if source == nil {
				return nil, nil
			}
			all, err := source.Nodes(ctx)
			return objects(all), err
		}),
		virtual(podMetrics(), func(ctx context.Context, ns string) ([]api.Object, error) {
			if source == nil {
				return nil, nil
			}
			return objects(source.Pods(ctx, ns)), nil
		}),
	}
}

func objects[T api.Object](all []T) []api.Object {
	out := make([]api.Object, len(all))
	for i, obj := range all {
		out[i] = obj
	}
	return out
}

// virtual serves what list returns, one by one too.
func virtual(d resource.Descriptor, list func(ctx context.Context, ns string) ([]api.Object, error)) resource.Descriptor {
	d.Virtual = &resource.Virtual{
		List: list,
		Get: func(ctx context.Context, ns, name string) (api.Object, error) {
			all, err := list(ctx, ns)
			if err != nil {
				return nil, err
			}
			for _, obj := range all {
				if obj.GetName() == name {
					return obj, nil
				}
			}
			return nil, apierrors.NewNotFound(d.GroupResource(), name)
		},
	}
	return d
}

func nodeMetrics() resource.Descriptor {
	type metrics = *metricsv1beta1.NodeMetrics
	return kind.Describe(kind.Of[metrics]{
		Singular: "nodemetrics",
		New:      func() metrics { return &metricsv1beta1.NodeMetrics{} },
		NewList:  func() runtime.Object { return &metricsv1beta1.NodeMetricsList{} },
		Columns: columns(func(m metrics) corev1.ResourceList { return m.Usage },
			func(m metrics) time.Duration { return m.Window.Duration }),
	})
}

func podMetrics() resource.Descriptor {
	type metrics = *metricsv1beta1.PodMetrics
	return kind.Describe(kind.Of[metrics]{
		Singular: "podmetrics",
		New:      func() metrics { return &metricsv1beta1.PodMetrics{} },
		NewList:  func() runtime.Object { return &metricsv1beta1.PodMetricsList{} },
		Columns: columns(func(m metrics) corev1.ResourceList {
			sum := corev1.ResourceList{}
			for _, c := range m.Containers {
				for name, q := range c.Usage {
					total := sum[name]
					total.Add(q)
					sum[name] = total
				}
			}
			return sum
		}, func(m metrics) time.Duration { return m.Window.Duration }),
	})
}

func columns[T api.Object](use func(T) corev1.ResourceList, window func(T) time.Duration) []kind.Column[T] {
	return []kind.Column[T]{
		kind.NameColumn[T](),
		kind.TextColumn("CPU", "How much CPU it uses.", func(m T) string { return amount(use(m), corev1.ResourceCPU) }),
		kind.TextColumn("Memory", "How much memory it uses.", func(m T) string { return amount(use(m), corev1.ResourceMemory) }),
		kind.TextColumn("Window", "Over which time.", func(m T) string { return fmt.Sprint(window(m)) }),
	}
}

func amount(use corev1.ResourceList, name corev1.ResourceName) string {
	q := use[name]
	return q.String()
}
