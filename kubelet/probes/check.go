// Package probes asks containers how they are: by exec, HTTP, TCP or gRPC. It owns how one
// check is made, how many in a row make a verdict, and when the next is due. What a verdict
// means for the container is the pod worker's business.
package probes

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Target is the container to be asked.
type Target struct {
	IP        string // the pod's
	Container *corev1.Container
	// Exec runs a command in the container and returns its output, at most a few KiB of it.
	Exec func(ctx context.Context, command []string) (output string, exitCode int, err error)
}

// bodyLimit is how much of an answer is read.
const bodyLimit = 10 << 10

// Check asks once. A failure is worded in detail as the event for users; it is nil for health.
func Check(ctx context.Context, h corev1.ProbeHandler, t Target) (detail string, healthy bool) {
	var err error
	switch {
	case h.Exec != nil:
		err = t.exec(ctx, h.Exec.Command)
	case h.HTTPGet != nil:
		err = t.HTTPGet(ctx, h.HTTPGet)
	case h.TCPSocket != nil:
		err = t.tcp(ctx, h.TCPSocket)
	case h.GRPC != nil:
		err = t.grpc(ctx, h.GRPC)
	default:
		err = errors.New("the probe says nothing to do")
	}
	if err != nil {
		return err.Error(), false
	}
	return "", true
}

func (t Target) exec(ctx context.Context, command []string) error {
	output, code, err := t.Exec(ctx, command)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("command timed out: %q timed out", strings.Join(command, " "))
	case err != nil:
		return err
	case code != 0:
		return errors.New(output)
	}
	return nil
}

// HTTPGet makes the request of a probe or a hook; an answer below 400 is good. Redirects
// are followed on the same host only: one that leads elsewhere counts as the answer.
func (t Target) HTTPGet(ctx context.Context, h *corev1.HTTPGetAction) error {
	port, err := t.port(h.Port)
	if err != nil {
		return err
	}
	host := h.Host
	if host == "" {
		host = t.IP
	}
	path, err := url.Parse(h.Path)
	if err != nil {
		path = &url.URL{Path: h.Path}
	}
	path.Scheme, path.Host = "http", net.JoinHostPort(host, strconv.Itoa(port))
	if h.Scheme != "" {
		path.Scheme = strings.ToLower(string(h.Scheme))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, path.String(), nil)
	if err != nil {
		return err
	}
	header(req, h.HTTPHeaders)
	res, err := httpClient(path.Hostname()).Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, bodyLimit))
	if res.StatusCode >= http.StatusBadRequest || res.StatusCode < http.StatusOK {
		return fmt.Errorf("HTTP probe failed with statuscode: %d", res.StatusCode)
	}
	_ = body // read so that the server sees an orderly end
	return err
}

func header(req *http.Request, headers []corev1.HTTPHeader) {
	req.Header.Set("User-Agent", "kube-probe/1.37")
	req.Header.Set("Accept", "*/*")
	for _, h := range headers {
		switch name := http.CanonicalHeaderKey(h.Name); {
		case name == "Host":
			req.Host = h.Value
		case name == "Accept" && h.Value == "":
			req.Header.Del(name)
		case name == "User-Agent" || name == "Accept":
			req.Header.Set(name, h.Value)
		default:
			req.Header.Add(name, h.Value)
		}
	}
}

func httpClient(host string) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // a probe asks whether there is an answer, not from whom
			DisableKeepAlives: true,
			Proxy:             nil,
		},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if req.URL.Hostname() != host || len(via) >= 10 {
				return http.ErrUseLastResponse
			}
			return nil
		},
	}
}

func (t Target) tcp(ctx context.Context, h *corev1.TCPSocketAction) error {
	port, err := t.port(h.Port)
	if err != nil {
		return err
	}
	host := h.Host
	if host == "" {
		host = t.IP
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return err
	}
	return conn.Close()
}

func (t Target) grpc(ctx context.Context, h *corev1.GRPCAction) error {
	address := net.JoinHostPort(t.IP, strconv.Itoa(int(h.Port)))
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithUserAgent("kube-probe/1.37"))
	if err != nil {
		return err
	}
	defer conn.Close()
	req := &grpc_health_v1.HealthCheckRequest{}
	if h.Service != nil {
		req.Service = *h.Service
	}
	res, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, req, grpc.WaitForReady(false))
	if err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("timeout: failed to connect service %q within the probe's timeout", address)
		}
		return fmt.Errorf("error: health rpc failed: %w", err)
	}
	if res.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		return fmt.Errorf("service unhealthy (responded with %q)", res.GetStatus())
	}
	return nil
}

// port resolves a number or the name of one of the container's ports.
func (t Target) port(p intstr.IntOrString) (int, error) {
	if p.Type == intstr.Int {
		if p.IntVal > 0 && p.IntVal < 1<<16 {
			return int(p.IntVal), nil
		}
		return 0, fmt.Errorf("invalid port number: %d", p.IntVal)
	}
	for _, cp := range t.Container.Ports {
		if cp.Name == p.StrVal {
			return int(cp.ContainerPort), nil
		}
	}
	if n, err := strconv.Atoi(p.StrVal); err == nil && n > 0 && n < 1<<16 {
		return n, nil
	}
	return 0, fmt.Errorf("couldn't find port: %s in container %s", p.StrVal, t.Container.Name)
}

// timeout is how long a check may take.
func timeout(p *corev1.Probe) time.Duration {
	return time.Duration(max(1, p.TimeoutSeconds)) * time.Second
}
