package usage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
)

var now = time.UnixMilli(1_700_000_000_000)

// town is a Cluster of one node, which tells text, and of the pods that are named.
type town struct {
	text string
	pods []string
}

func (c *town) Nodes(context.Context) ([]*corev1.Node, error) {
	listening := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: map[string]string{"zone": "a"}}}
	listening.Status.DaemonEndpoints.KubeletEndpoint.Port = 10250
	return []*corev1.Node{listening, {ObjectMeta: metav1.ObjectMeta{Name: "hollow"}}}, nil
}

func (c *town) Pod(_ context.Context, ns, name string) *corev1.Pod {
	for _, p := range c.pods {
		if p == ns+"/"+name {
			return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, Labels: map[string]string{"app": name}}}
		}
	}
	return nil
}

func (c *town) Counters(_ context.Context, n *corev1.Node) (io.ReadCloser, error) {
	if n.Name == "hollow" {
		return nil, errors.New("nobody listens there")
	}
	return io.NopCloser(strings.NewReader(c.text)), nil
}

// told is a node's answer at so many seconds, when it has used so much CPU.
func told(seconds int, cpu float64) string {
	at := now.Add(time.Duration(seconds) * time.Second).UnixMilli()
	return fmt.Sprintf(`# HELP node_cpu_usage_seconds_total Cumulative cpu time consumed by the node
# TYPE node_cpu_usage_seconds_total counter
node_cpu_usage_seconds_total %[1]f %[2]d
node_memory_working_set_bytes 1.048576e+06 %[2]d
container_cpu_usage_seconds_total{container="b",namespace="ns",pod="web"} %[1]f %[2]d
container_cpu_usage_seconds_total{container="a",namespace="ns",pod="web"} %[3]f %[2]d
container_memory_working_set_bytes{container="a",namespace="ns",pod="web"} 2048 %[2]d
container_memory_working_set_bytes{container="b",namespace="ns",pod="web"} 4096 %[2]d
container_cpu_usage_seconds_total{container="c",namespace="ns",pod="gone"} 5 %[2]d
container_memory_working_set_bytes{container="c",namespace="ns",pod="gone"} 1 %[2]d
scrape_error 0
`, cpu, at, cpu/2)
}

func TestRatesOfTwoAnswers(t *testing.T) {
	c := &town{text: told(0, 10), pods: []string{"ns/web"}}
	w := New(c, 15*time.Second, clocktesting.NewFakeClock(now), slog.New(slog.DiscardHandler))
	w.round(t.Context())
	if nodes, err := w.Nodes(t.Context()); err != nil || len(nodes)+len(w.Pods(t.Context(), "")) != 0 {
		t.Fatalf("one answer tells a rate: %v, %v", nodes, err)
	}
	c.text = told(10, 12)
	w.round(t.Context())
	nodes, err := w.Nodes(t.Context())
	if err != nil || len(nodes) != 1 || nodes[0].Usage.Cpu().String() != "200m" || nodes[0].Usage.Memory().String() != "1Mi" || nodes[0].Window.Duration != 10*time.Second {
		t.Fatalf("nodes %+v, %v", nodes, err)
	}
	pods := w.Pods(t.Context(), "ns")
	if len(pods) != 1 || pods[0].Name != "web" || pods[0].Labels["app"] != "web" || len(pods[0].Containers) != 2 {
		t.Fatalf("pods %+v", pods)
	}
	a := pods[0].Containers[0]
	if a.Name != "a" || a.Usage.Cpu().String() != "100m" || a.Usage.Memory().String() != "2Ki" {
		t.Errorf("container %+v", a)
	}
	if other := w.Pods(t.Context(), "other"); len(other) != 0 {
		t.Errorf("of another namespace: %+v", other)
	}
	c.text = told(20, 1) // it was started again
	w.round(t.Context())
	if nodes, _ := w.Nodes(t.Context()); len(nodes) != 0 {
		t.Errorf("a counter that fell makes a rate: %+v", nodes[0])
	}
}

func TestParse(t *testing.T) {
	for _, tc := range []struct{ line, want string }{
		{`up 1`, "up map[] 1"},
		{`up{} 1`, "up map[] 1"},
		{`a{b="c", d="e\"f"} 1.5e3 1700000000000`, `a map[b:c d:e"f] 1500 at`},
		{`a{b="c} x"} NaN`, `a map[b:c} x] NaN`},
		{`a`, "error"}, {`{b="c"} 1`, "error"}, {`a{b} 1`, "error"}, {`a{b="c} 1`, "error"}, {`a x`, "error"}, {`a 1 x`, "error"}, {`a 1 2 3`, "error"},
	} {
		s, err := parseLine(tc.line)
		got := fmt.Sprintf("%s %v %v", s.name, s.labels, s.value)
		if !s.at.IsZero() {
			got += " at"
		}
		if err != nil {
			got = "error"
		}
		if got != tc.want {
			t.Errorf("%s: %s (%v), want %s", tc.line, got, err, tc.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(told(0, 1))
	f.Add("a{b=\"c\"} 1\n#\n\na 2 3")
	f.Fuzz(func(t *testing.T, text string) {
		_, _ = read(strings.NewReader(text), now) // whatever a node says, nothing panics
	})
}
