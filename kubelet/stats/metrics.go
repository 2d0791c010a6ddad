package stats

import (
	"github.com/prometheus/client_golang/prometheus"
)

// Collector gives the samples of one measurement to Prometheus, under the names and with the
// times that a metrics server expects.
type Collector struct {
	node   Node
	failed bool
}

// NewCollector returns a collector for what was measured; failed says that something could not be.
func NewCollector(node Node, failed bool) *Collector { return &Collector{node: node, failed: failed} }

var (
	nodeCPU    = prometheus.NewDesc("node_cpu_usage_seconds_total", "Cumulative cpu time consumed by the node in core-seconds", nil, nil)
	nodeMemory = prometheus.NewDesc("node_memory_working_set_bytes", "Current working set of the node in bytes", nil, nil)
	nodeSwap   = prometheus.NewDesc("node_swap_usage_bytes", "Current swap usage of the node in bytes", nil, nil)

	containerLabels  = []string{"container", "namespace", "pod"}
	containerCPU     = prometheus.NewDesc("container_cpu_usage_seconds_total", "Cumulative cpu time consumed by the container in core-seconds", containerLabels, nil)
	containerMemory  = prometheus.NewDesc("container_memory_working_set_bytes", "Current working set of the container in bytes", containerLabels, nil)
	containerSwap    = prometheus.NewDesc("container_swap_usage_bytes", "Current amount of the container swap usage in bytes", containerLabels, nil)
	containerStarted = prometheus.NewDesc("container_start_time_seconds", "Start time of the container since unix epoch in seconds", containerLabels, nil)

	podLabels = []string{"namespace", "pod"}
	podCPU    = prometheus.NewDesc("pod_cpu_usage_seconds_total", "Cumulative cpu time consumed by the pod in core-seconds", podLabels, nil)
	podMemory = prometheus.NewDesc("pod_memory_working_set_bytes", "Current working set of the pod in bytes", podLabels, nil)
	podSwap   = prometheus.NewDesc("pod_swap_usage_bytes", "Current amount of the pod swap usage in bytes", podLabels, nil)

	scrapeError = prometheus.NewDesc("resource_scrape_error", "1 if there was an error while getting container metrics, 0 otherwise", nil, nil)
)

// Describe implements prometheus.Collector.
func (c *Collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{nodeCPU, nodeMemory, nodeSwap, containerCPU, containerMemory, containerSwap,
		containerStarted, podCPU, podMemory, podSwap, scrapeError} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	emit := func(s Sample, cpu, memory, swap *prometheus.Desc, labels ...string) {
		if s.Time.IsZero() {
			return // it could not be measured
		}
		send := func(d *prometheus.Desc, t prometheus.ValueType, value float64) {
			out <- prometheus.NewMetricWithTimestamp(s.Time, prometheus.MustNewConstMetric(d, t, value, labels...))
		}
		send(cpu, prometheus.CounterValue, s.CPU.Seconds())
		send(memory, prometheus.GaugeValue, float64(s.WorkingSet))
		send(swap, prometheus.GaugeValue, float64(s.Swap))
	}
	emit(c.node.Sample, nodeCPU, nodeMemory, nodeSwap)
	for _, p := range c.node.Pods {
		emit(p.Sample, podCPU, podMemory, podSwap, p.Namespace, p.Name)
		for _, ctr := range p.Containers {
			emit(ctr.Sample, containerCPU, containerMemory, containerSwap, ctr.Name, p.Namespace, p.Name)
			out <- prometheus.MustNewConstMetric(containerStarted, prometheus.GaugeValue,
				float64(ctr.Started.UnixMilli())/1000, ctr.Name, p.Namespace, p.Name)
		}
	}
	failed := 0.0
	if c.failed {
		failed = 1
	}
	out <- prometheus.MustNewConstMetric(scrapeError, prometheus.GaugeValue, failed)
}
