package handlers

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// answerTimeout is how long whoever is behind a proxy may take to begin an answer.
	answerTimeout = 5 * time.Minute
	// maxAnswerHeader is how long the header of that may be.
	maxAnswerHeader = 256 << 10
)

// upstream is what a proxied request is sent to.
type upstream struct {
	scheme string // "http" or "https"
	host   string // its address, as it appears in links of its own
	dial   func(ctx context.Context) (net.Conn, error)
}

// proxy passes a request on to a pod, a service or a node's agent. No redirect is followed.
func (h *Handler) proxy(w http.ResponseWriter, r *http.Request, s *served) error {
	upgrade := r.Header.Get("Upgrade") != ""
	if s.path == "" && !upgrade && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		// Relative links of the page behind would lead elsewhere without the slash.
		to := url.URL{Path: r.URL.Path + "/", RawPath: r.URL.EscapedPath() + "/", RawQuery: r.URL.RawQuery}
		w.Header().Set("Location", to.String())
		w.WriteHeader(http.StatusMovedPermanently)
		return nil
	}
	up, err := h.upstreamOf(r.Context(), s)
	if err != nil {
		return err
	}
	target := &url.URL{Scheme: up.scheme, Host: up.host, RawPath: s.path, RawQuery: r.URL.RawQuery}
	if target.Path, err = url.PathUnescape(s.path); err != nil {
		return apierrors.NewBadRequest("malformed path: " + err.Error())
	}
	ctx, cancel := drained(r.Context())
	defer cancel()
	prefix := strings.TrimSuffix(r.URL.EscapedPath(), s.path)
	transport := up.transport()
	defer transport.CloseIdleConnections()
	reverse := &httputil.ReverseProxy{
		Rewrite:        func(p *httputil.ProxyRequest) { outgoing(p, target) },
		Transport:      transport,
		FlushInterval:  -1, // somebody may be watching
		ModifyResponse: func(response *http.Response) error { return links{prefix, up, r.Host}.rewrite(response, upgrade) },
		ErrorLog:       slog.NewLogLogger(h.cfg.Logger.Handler(), slog.LevelDebug),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			writeError(w, r, proxyFailure(err))
		},
	}
	reverse.ServeHTTP(w, r.WithContext(ctx))
	return nil
}

// transport makes one connection. Certificates of pods are their own business: who may make
// endpoints may also make what they serve.
func (u upstream) transport() *http.Transport {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) { return u.dial(ctx) }
	return &http.Transport{
		DialContext: dial, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, TLSHandshakeTimeout: kubeletDialTimeout,
		DisableKeepAlives: true, DisableCompression: true,
		ResponseHeaderTimeout: answerTimeout, MaxResponseHeaderBytes: maxAnswerHeader,
	}
}

// outgoing makes the request that is sent on. Who asked was found out by us, so nothing that
// proves who it is leaves this process.
func outgoing(p *httputil.ProxyRequest, target *url.URL) {
	p.Out.URL, p.Out.Host = target, p.In.Host
	p.SetXForwarded()
	p.Out.Header.Set("X-Forwarded-Uri", p.In.URL.RequestURI())
	p.Out.Header.Del("Authorization")
	p.Out.Header.Del("Accept-Encoding") // links can only be rewritten in the clear
	if p.In.Header.Get("Sec-Websocket-Protocol") != "" {
		p.Out.Header.Del("Sec-Websocket-Protocol")
		if protocols := plainProtocols(p.In); protocols != "" {
			p.Out.Header.Set("Sec-Websocket-Protocol", protocols)
		}
	}
}

// proxyFailure is what a client is told when the other side did not answer properly.
func proxyFailure(err error) error {
	if err == errRedirect {
		return failure(http.StatusBadGateway, metav1.StatusReasonInternalError, err.Error())
	}
	return apierrors.NewServiceUnavailable("error trying to reach service: " + err.Error())
}

// throughKubelet returns a dialler of a pod's port by way of its node. The address that a pod
// claims to have is not believed, nor need the pods' network be reachable from here.
func (h *Handler) throughKubelet(pod *corev1.Pod, port uint16) func(ctx context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		if h.cfg.Kubelets == nil {
			return nil, fmt.Errorf("this API server has no credentials for nodes")
		}
		address, err := h.nodeAddress(ctx, pod)
		if err != nil {
			return nil, err
		}
		conn, err := h.cfg.Kubelets.Dial(ctx, address)
		if err != nil {
			return nil, err
		}
		reader, err := dialPort(ctx, conn, address, pod, port)
		if err != nil {
			_ = conn.Close()
			return nil, err
		}
		return &tunnelled{conn, reader}, nil
	}
}

// dialPort has a node's agent connect an open connection with the port of a pod.
func dialPort(ctx context.Context, conn net.Conn, address NodeAddress, pod *corev1.Pod, port uint16) (*bufio.Reader, error) {
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	request := &http.Request{
		Method: http.MethodGet, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Host: address.String(),
		URL:    &url.URL{Path: fmt.Sprintf("/dial/%s/%s/%d", pod.Namespace, pod.Name, port)},
		Header: http.Header{"User-Agent": {"miniorch-apiserver"}, "Connection": {"Upgrade"}, "Upgrade": {"tcp"}},
	}
	if err := request.Write(conn); err != nil {
		return nil, err
	}
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		defer response.Body.Close()
		return nil, complaint(response)
	}
	return reader, nil
}

// tunnelled is a connection of which something may have been read already.
type tunnelled struct {
	net.Conn
	from *bufio.Reader
}

// Read implements net.Conn.
func (t *tunnelled) Read(p []byte) (int, error) { return t.from.Read(p) }
