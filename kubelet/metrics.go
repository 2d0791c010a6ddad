package kubelet

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/miniorch/miniorch/kubelet/container"
)

// metrics is what the kubelet tells Prometheus, under the names that dashboards know.
type metrics struct {
	registry *prometheus.Registry
	starts   prometheus.Histogram
	failures *prometheus.CounterVec
}

func newMetrics(k *Kubelet) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		starts: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "kubelet_pod_start_duration_seconds", Help: "Time from seeing a pod first to its status saying Running.",
			Buckets: prometheus.ExponentialBuckets(0.01, 2, 14),
		}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kubelet_operation_errors_total", Help: "Actions of pod workers that failed, by verb.",
		}, []string{"verb"}),
	}
	m.registry.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), m.starts, m.failures,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "kubelet_running_pods", Help: "Pods that have a worker."},
			func() float64 { return float64(k.roster.len()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "kubelet_running_containers", Help: "Containers that run."},
			func() float64 { return float64(k.seen.count(container.StateRunning)) }),
	)
	return m
}
