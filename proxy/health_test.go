package proxy

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"testing"

	"k8s.io/apimachinery/pkg/types"
)

// freePort is one that nobody listens at.
func freePort(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

func TestHealthPorts(t *testing.T) {
	h := newHealthPorts(slog.New(slog.DiscardHandler))
	defer h.stop()
	a, b := types.NamespacedName{Namespace: "default", Name: "a"}, types.NamespacedName{Namespace: "default", Name: "b"}
	one, two := freePort(t), freePort(t)
	ports := func(health uint16, ready ...string) []ServicePort {
		p := ServicePort{HealthPort: health}
		for _, ip := range ready {
			p.Ready = append(p.Ready, netip.MustParseAddr(ip))
		}
		return []ServicePort{p, p} // two ports of one Service have the same endpoints
	}
	type change = map[types.NamespacedName][]ServicePort
	steps := []struct {
		reason  string
		changed change
		port    uint16
		want    string
	}{
		{"two endpoints here", change{a: ports(one, "10.244.0.5", "10.244.0.6")}, one, `200 2 {"service":{"namespace":"default","name":"a"},"localEndpoints":2,"serviceProxyHealthy":true}`},
		{"none left", change{a: ports(one)}, one, `503 0 {"service":{"namespace":"default","name":"a"},"localEndpoints":0,"serviceProxyHealthy":true}`},
		{"a moves, and b takes its port at the same time", change{b: ports(one, "10.244.0.7"), a: ports(two)}, one, `200 1 {"service":{"namespace":"default","name":"b"},"localEndpoints":1,"serviceProxyHealthy":true}`},
		{"b has none any more", change{b: ports(0)}, one, "closed"},
		{"a is gone", change{a: nil}, two, "closed"},
	}
	for _, s := range steps {
		h.follow(s.changed)
		if got := checkHealth(s.port); got != s.want {
			t.Errorf("%s: %s, want %s", s.reason, got, s.want)
		}
	}
}

func checkHealth(port uint16) string {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/healthz", port))
	if err != nil {
		return "closed"
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(answer.Body, 1000))
	return fmt.Sprintf("%d %s %.*s", answer.StatusCode, answer.Header.Get("X-Load-Balancing-Endpoint-Weight"), len(body)-1, body)
}
