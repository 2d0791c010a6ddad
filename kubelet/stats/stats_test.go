package stats

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/miniorch/miniorch/kubelet/cgroups"
)

func measured() Node {
	at := time.UnixMilli(1_700_000_000_123).UTC()
	used := func(cpu time.Duration, memory uint64) Sample {
		return Sample{Stats: cgroups.Stats{CPU: cpu, Memory: 2 * memory, WorkingSet: memory, PIDs: 3}, Time: at, Cores: -1}
	}
	web := Pod{Name: "web", Namespace: "shop", UID: "u1", Started: at, Sample: used(1500*time.Millisecond, 300)}
	web.Cores = 0.25
	web.Containers = []Container{{Name: "c", Started: at, Sample: used(time.Second, 200)}, {Name: "ended", Started: at}}
	return Node{Name: "n1", Started: at, Sample: used(time.Minute, 1000), Disk: Disk{Capacity: 100, Available: 60, Used: 40}, Pods: []Pod{web}}
}

func TestMetrics(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(NewCollector(measured(), false)); err != nil {
		t.Fatal(err)
	}
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(answer, httptest.NewRequest("GET", "/metrics/resource", nil))
	var got []string
	for line := range strings.Lines(answer.Body.String()) {
		if !strings.HasPrefix(line, "#") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	want := []string{
		`container_cpu_usage_seconds_total{container="c",namespace="shop",pod="web"} 1 1700000000123`,
		`container_memory_working_set_bytes{container="c",namespace="shop",pod="web"} 200 1700000000123`,
		`container_start_time_seconds{container="c",namespace="shop",pod="web"} 1.700000000123e+09`,
		`container_start_time_seconds{container="ended",namespace="shop",pod="web"} 1.700000000123e+09`,
		`container_swap_usage_bytes{container="c",namespace="shop",pod="web"} 0 1700000000123`,
		`node_cpu_usage_seconds_total 60 1700000000123`,
		`node_memory_working_set_bytes 1000 1700000000123`,
		`node_swap_usage_bytes 0 1700000000123`,
		`pod_cpu_usage_seconds_total{namespace="shop",pod="web"} 1.5 1700000000123`,
		`pod_memory_working_set_bytes{namespace="shop",pod="web"} 300 1700000000123`,
		`pod_swap_usage_bytes{namespace="shop",pod="web"} 0 1700000000123`,
		`resource_scrape_error 0`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestSummary looks at the fields that readers of the summary know, by their names.
func TestSummary(t *testing.T) {
	raw, err := json.Marshal(Summarize(measured()))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"nodeName":"n1"`, `"usageCoreNanoSeconds":60000000000`, `"fs":{"time":"2023-11-14T22:13:20Z","availableBytes":60,"capacityBytes":100,"usedBytes":40`,
		`"podRef":{"name":"web","namespace":"shop","uid":"u1"}`, `"usageNanoCores":250000000`, `"workingSetBytes":300`,
		`"process_stats":{"process_count":3}`, `{"name":"ended","startTime":"2023-11-14T22:13:20Z"}`,
	} {
		if !strings.Contains(string(raw), want) {
			t.Errorf("no %s in %s", want, raw)
		}
	}
	if n := strings.Count(string(raw), "usageNanoCores"); n != 1 {
		t.Errorf("%d rates, but only one was measured", n)
	}
}
