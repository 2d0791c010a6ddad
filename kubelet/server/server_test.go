package server

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/utils/clock"

	"github.com/miniorch/miniorch/kubelet/cgroups"
	"github.com/miniorch/miniorch/kubelet/container"
	"github.com/miniorch/miniorch/kubelet/stats"
	"github.com/miniorch/miniorch/pkg/decision"
	"github.com/miniorch/miniorch/pkg/leaktest"
	"github.com/miniorch/miniorch/pkg/pki"
)

func TestMain(m *testing.M) {
	// client-go's heartbeat outlives a cancelled stream until its next beat.
	leaktest.Main(m, goleak.IgnoreAnyFunction("k8s.io/client-go/tools/remotecommand.(*heartbeat).start"))
}

// echo is a backend whose every command is cat, and whose logs say what was asked.
type echo struct{}

func (echo) Pods() []*corev1.Pod {
	return []*corev1.Pod{{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns"}}}
}
func (echo) Healthy() error { return nil }
func (echo) Usage() (stats.Node, error) {
	return stats.Node{Name: "n1", Sample: stats.Sample{Stats: cgroups.Stats{CPU: 2 * time.Second}, Time: time.UnixMilli(1234)}}, nil
}
func (echo) ContainerID(ns, pod, name string) (string, error) {
	if name != "c" {
		return "", apierrors.NewNotFound(corev1.Resource("pods"), pod)
	}
	return "id", nil
}

func (echo) Exec(ctx context.Context, id string, req container.ExecRequest) (int, error) {
	switch req.Command[0] {
	case "cat":
		_, err := io.Copy(req.Stdout, req.Stdin)
		return 0, err
	case "fail":
		fmt.Fprint(req.Stderr, "oh no")
		return 3, nil
	case "size":
		s := <-req.Resize
		fmt.Fprintf(req.Stdout, "%dx%d", s.Width, s.Height)
		return 0, nil
	case "hang":
		_, _ = io.WriteString(req.Stdout, "hanging")
		<-ctx.Done()
		return 0, ctx.Err()
	}
	return 0, errors.New("no such command")
}

func (echo) Attach(ctx context.Context, id string, req container.AttachRequest) error {
	if req.Stdin == nil {
		fmt.Fprint(req.Stdout, "looking on")
		return nil
	}
	_, err := io.Copy(req.Stdout, req.Stdin)
	return err
}

func (echo) CheckPod(ns, pod string) error {
	if pod != "p" {
		return apierrors.NewNotFound(corev1.Resource("pods"), pod)
	}
	return nil
}

// DialPod leads to a server that answers in capitals: port 80 once its client has said all, port 81
// line by line until it hears "bye".
func (echo) DialPod(ctx context.Context, ns, pod string, port uint16, loopback bool) (net.Conn, error) {
	if port != 80 && port != 81 {
		return nil, errors.New("connection refused")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return nil, err
	}
	c, err := l.Accept()
	if err != nil {
		return nil, err
	}
	go func() {
		defer c.Close()
		if port == 80 {
			said, _ := io.ReadAll(c)
			_, _ = c.Write(bytes.ToUpper(said))
			return
		}
		for lines := bufio.NewScanner(c); lines.Scan() && lines.Text() != "bye"; {
			_, _ = fmt.Fprintln(c, strings.ToUpper(lines.Text()))
		}
	}()
	return conn, nil
}

func (echo) ContainerLog(_ context.Context, ns, pod, name string, o *corev1.PodLogOptions, w io.Writer) error {
	if pod == "waiting" {
		return apierrors.NewBadRequest("container is waiting to start")
	}
	fmt.Fprintf(w, "%s/%s/%s follow=%t tail=%d", ns, pod, name, o.Follow, *o.TailLines)
	return nil
}

// serve returns the server's address and a function that makes clients by name and group.
func serve(t *testing.T) (address string, client func(name, group string) *tls.Config) {
	ca, err := pki.NewCA(clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}
	pair := func(name, group string) tls.Certificate {
		p, err := ca.Issue(pki.Subject{Name: name, Groups: []string{group}, Hosts: []string{"n1"}, Server: true, Client: true})
		if err != nil {
			t.Fatal(err)
		}
		cert, err := p.TLS()
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	decisions := decision.NewLog(1)
	decisions.Add(decision.Record{Component: "kubelet", Plan: "start web[0]"})
	s := New(echo{}, Config{Decisions: decisions, TLS: &tls.Config{Certificates: []tls.Certificate{pair("system:node:n1", "system:nodes")}, ClientCAs: ca.Pool()}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String(), func(name, group string) *tls.Config {
		c := &tls.Config{RootCAs: ca.Pool(), ServerName: "n1"}
		if name != "" {
			c.Certificates = []tls.Certificate{pair(name, group)}
		}
		return c
	}
}

func TestWhoMayAskWhat(t *testing.T) {
	address, client := serve(t)
	for _, tc := range []struct {
		name, group, path string
		want              int
		body              string
	}{
		{"", "", "/healthz", 200, "ok"},
		{"", "", "/pods", 401, "Unauthorized"},
		{"system:node:n2", "system:nodes", "/pods", 403, "only the API server"},
		{"system:apiserver", "x", "/pods", 200, `"name":"p"`},
		{"root", "system:masters", "/pods", 200, `"name":"p"`},
		{"root", "system:masters", "/metrics", 200, "go_goroutines"},
		{"system:apiserver", "x", "/metrics/resource", 200, "node_cpu_usage_seconds_total 2 1234\n"},
		{"system:apiserver", "x", "/stats/summary", 200, `"usageCoreNanoSeconds":2000000000`},
		{"", "", "/stats/summary", 401, "Unauthorized"},
		{"root", "system:masters", "/debug/decisions", 200, `"plan":"start web[0]"`},
		{"system:node:n2", "system:nodes", "/debug/decisions", 403, "only the API server"},
		{"system:apiserver", "x", "/containerLogs/ns/p/c?follow=true&tailLines=5", 200, "ns/p/c follow=true tail=5"},
		{"system:apiserver", "x", "/containerLogs/ns/p/c?tailLines=x", 400, "invalid tailLines"},
		{"system:apiserver", "x", "/containerLogs/ns/waiting/c", 400, "waiting to start"},
		{"system:apiserver", "x", "/exec/ns/p/c?stdout=1", 400, "at least 1 command"},
		{"system:apiserver", "x", "/exec/ns/p/c?command=a&stdout=1", 400, "needs an upgrade"},
		{"system:apiserver", "x", "/exec/ns/p/none?command=a&stdout=1", 404, "not found"},
		{"system:apiserver", "x", "/other", 404, ""},
	} {
		transport := &http.Transport{TLSClientConfig: client(tc.name, tc.group), DisableKeepAlives: true}
		res, err := (&http.Client{Transport: transport}).Get("https://" + address + tc.path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != tc.want || !strings.Contains(string(body), tc.body) {
			t.Errorf("%q %s: %d %s, want %d %s", tc.name, tc.path, res.StatusCode, body, tc.want, tc.body)
		}
	}
}

type oneSize struct{ told bool }

func (s *oneSize) Next() *remotecommand.TerminalSize {
	if s.told {
		return nil
	}
	s.told = true
	return &remotecommand.TerminalSize{Width: 80, Height: 24}
}
