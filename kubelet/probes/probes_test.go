package probes

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/clock"

	"github.com/miniorch/miniorch/pkg/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func TestTally(t *testing.T) {
	for _, tc := range []struct {
		name    string
		probe   corev1.Probe
		initial Verdict
		checks  string // + healthy, - not
		want    string // the verdict after each: ? H U, * when it changed
	}{
		{"defaults", corev1.Probe{}, Unknown, "+---+", "H*HHU*H*"},
		{"one failure is enough", corev1.Probe{FailureThreshold: 1}, Healthy, "+-", "HU*"},
		{"successes in a row", corev1.Probe{SuccessThreshold: 2}, Unhealthy, "+-++", "UUUH*"},
		{"failures must be in a row", corev1.Probe{FailureThreshold: 2}, Healthy, "-+-+--", "HHHHHU*"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tally, got := Tally{Verdict: tc.initial}, ""
			for _, c := range tc.checks {
				changed := tally.Add(c == '+', &tc.probe)
				got += string("?HU"[tally.Verdict])
				if changed {
					got += "*"
				}
			}
			if got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func target(t *testing.T, address string) (Target, intstr.IntOrString) {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	n, _ := strconv.Atoi(port)
	return Target{IP: host, Container: &corev1.Container{Name: "c", Ports: []corev1.ContainerPort{{Name: "web", ContainerPort: int32(n)}}}}, intstr.FromInt(n)
}

func TestHTTP(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "me.example" || r.Header.Get("X-A") != "1" || !strings.HasPrefix(r.UserAgent(), "kube-probe/") {
			http.Error(w, "headers", http.StatusTeapot)
		}
	})
	mux.HandleFunc("/bad", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	mux.HandleFunc("/near", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/bad", http.StatusFound) })
	mux.HandleFunc("/far", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://192.0.2.1/secret", http.StatusFound)
	})
	for _, scheme := range []corev1.URIScheme{corev1.URISchemeHTTP, corev1.URISchemeHTTPS} {
		server := httptest.NewUnstartedServer(mux)
		if scheme == corev1.URISchemeHTTPS {
			server.StartTLS()
		} else {
			server.Start()
		}
		tgt, _ := target(t, server.Listener.Addr().String())
		for path, want := range map[string]bool{"/ok": true, "/bad": false, "/near": false, "/far": true, "/none": false} {
			detail, healthy := Check(t.Context(), corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{
				Path: path, Port: intstr.FromString("web"), Scheme: scheme,
				HTTPHeaders: []corev1.HTTPHeader{{Name: "Host", Value: "me.example"}, {Name: "X-A", Value: "1"}}}}, tgt)
			if healthy != want {
				t.Errorf("%s %s: healthy %t (%s), want %t", scheme, path, healthy, detail, want)
			}
		}
		server.Close()
	}
}

func TestTCPAndGRPC(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, status := grpc.NewServer(), health.NewServer()
	grpc_health_v1.RegisterHealthServer(server, status)
	status.SetServingStatus("sick", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	go func() { _ = server.Serve(l) }()
	tgt, port := target(t, l.Addr().String())
	for _, tc := range []struct {
		name    string
		handler corev1.ProbeHandler
		healthy bool
	}{
		{"tcp", corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: port}}, true},
		{"tcp, unknown port name", corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromString("x")}}, false},
		{"grpc", corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: int32(port.IntValue())}}, true},
		{"grpc, service", corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: int32(port.IntValue()), Service: new("sick")}}, false},
		{"grpc, unknown service", corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: int32(port.IntValue()), Service: new("none")}}, false},
	} {
		if detail, healthy := Check(t.Context(), tc.handler, tgt); healthy != tc.healthy {
			t.Errorf("%s: healthy %t (%s)", tc.name, healthy, detail)
		}
	}
	server.Stop()
	if _, healthy := Check(t.Context(), corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: port}}, tgt); healthy {
		t.Error("a closed port is healthy")
	}
}

// The times of checks, in virtual time.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, answers := time.Now(), []int{1, 1, 0, 0}
		var got []string
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		Run(ctx, Spec{
			Kind: Startup, StartedAt: start, Clock: clock.RealClock{},
			Probe: &corev1.Probe{InitialDelaySeconds: 3, PeriodSeconds: 5, ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{}}},
			Target: Target{Exec: func(context.Context, []string) (string, int, error) {
				code := answers[0]
				answers = answers[1:]
				return "no", code, nil
			}},
		}, func(o Outcome) {
			got = append(got, time.Since(start).String()+map[bool]string{true: " ok", false: " " + o.Detail}[o.Healthy])
		})
		if want := "3s no, 8s no, 13s ok"; strings.Join(got, ", ") != want {
			t.Errorf("got %v, want %s", got, want)
		}
	})
}

func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := Spec{Probe: &corev1.Probe{TimeoutSeconds: 2, ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"sleep"}}}},
			Target: Target{Exec: func(ctx context.Context, _ []string) (string, int, error) {
				<-ctx.Done()
				return "", -1, ctx.Err()
			}}}
		start := time.Now()
		detail, healthy := s.check(t.Context())
		if healthy || !strings.Contains(detail, "timed out") || time.Since(start) != 2*time.Second {
			t.Errorf("healthy %t, %q after %s", healthy, detail, time.Since(start))
		}
	})
}
