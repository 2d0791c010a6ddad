package handlers

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/miniorch/miniorch/pkg/api"
)

// maxComplaint is how much of an agent's error text is shown.
const maxComplaint = 4 << 10

// passedOn are the client's headers that an agent needs to see for an upgrade. Nothing else
// of the request leaves this process, least of all credentials.
var passedOn = []string{"Connection", "Upgrade", "Sec-Websocket-Key", "Sec-Websocket-Version", "Sec-Websocket-Extensions",
	"X-Stream-Protocol-Version"}

// toKubelet sends the request to the pod's node and the answer back, byte for byte.
func (h *Handler) toKubelet(w http.ResponseWriter, r *http.Request, pod *corev1.Pod, verb, container string, opts runtime.Object) error {
	if h.cfg.Kubelets == nil {
		return apierrors.NewServiceUnavailable("this API server has no credentials for nodes")
	}
	request, err := kubeletRequest(r, pod, verb, container, opts)
	if err != nil {
		return err
	}
	address, err := h.nodeAddress(r.Context(), pod)
	if err != nil {
		return err
	}
	ctx, cancel := drained(r.Context())
	defer cancel()
	conn, err := h.cfg.Kubelets.Dial(ctx, address)
	if err != nil {
		return unreachable(address, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()

	request.Host = address.String()
	if err := request.Write(conn); err != nil {
		return unreachable(address, err)
	}
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, request)
	if err != nil {
		return unreachable(address, err)
	}
	defer response.Body.Close()
	switch code := response.StatusCode; {
	case code == http.StatusSwitchingProtocols && request.Header.Get("Upgrade") != "":
		return tunnel(ctx, w, response, conn, reader)
	case code == http.StatusOK:
		if isWebSocket(r) { // a log
			return h.logWebSocket(w, r, response.Body, cancel)
		}
		h.stream(w, response)
		return nil
	case code >= 400:
		return complaint(response)
	}
	// A redirect would lead us, with our credentials, wherever a node likes.
	return unreachable(address, fmt.Errorf("unexpected answer %s", response.Status))
}

func unreachable(address NodeAddress, err error) error {
	return failure(http.StatusBadGateway, metav1.StatusReasonInternalError,
		fmt.Sprintf("cannot reach the kubelet of node %q at %s: %v", address.Node, address, err))
}

// kubeletRequest is what the agent is asked, made anew from the parsed options.
func kubeletRequest(r *http.Request, pod *corev1.Pod, verb, container string, opts runtime.Object) (*http.Request, error) {
	query, err := api.ParameterCodec.EncodeParameters(opts, corev1.SchemeGroupVersion)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	out := &http.Request{
		Method: r.Method, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{},
		URL: &url.URL{Path: strings.TrimSuffix(strings.Join([]string{"", verb, pod.Namespace, pod.Name, container}, "/"), "/"), RawQuery: query.Encode()},
	}
	out.Header.Set("User-Agent", "miniorch-apiserver")
	if verb == "containerLogs" {
		return out, nil
	}
	for _, name := range passedOn {
		if values := r.Header.Values(name); len(values) > 0 {
			out.Header[name] = values
		}
	}
	if protocols := plainProtocols(r); protocols != "" {
		out.Header.Set("Sec-Websocket-Protocol", protocols)
	}
	return out, nil
}

// plainProtocols lists the WebSocket protocols that the client offers, but not the bearer token
// that browsers put among them.
func plainProtocols(r *http.Request) string {
	var out []string
	for _, header := range r.Header.Values("Sec-Websocket-Protocol") {
		for p := range strings.SplitSeq(header, ",") {
			if p = strings.TrimSpace(p); p != "" && !strings.HasPrefix(p, bearerProtocol) {
				out = append(out, p)
			}
		}
	}
	return strings.Join(out, ", ")
}

// complaint makes the agent's error ours.
func complaint(response *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(response.Body, maxComplaint))
	message := strings.TrimSpace(string(text))
	var status metav1.Status
	switch {
	case json.Unmarshal(text, &status) == nil && status.Kind == "Status" && status.Message != "":
		message = status.Message
	case message == "":
		message = response.Status
	}
	code, reason := response.StatusCode, metav1.StatusReasonInternalError
	switch code {
	case http.StatusBadRequest:
		reason = metav1.StatusReasonBadRequest
	case http.StatusNotFound:
		reason = metav1.StatusReasonNotFound
	case http.StatusUnauthorized, http.StatusForbidden:
		// It is we who were refused, not the client.
		code, message = http.StatusInternalServerError, "the kubelet refused the API server: "+message
	}
	return failure(code, reason, message)
}

// stream copies a body as it comes: a follower wants each line at once.
func (h *Handler) stream(w http.ResponseWriter, response *http.Response) {
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("Cache-Control", "no-cache, private")
	w.WriteHeader(http.StatusOK)
	control := http.NewResponseController(w)
	_ = control.Flush()
	buf := make([]byte, 32<<10)
	for {
		n, err := response.Body.Read(buf)
		if n > 0 {
			_ = control.SetWriteDeadline(time.Now().Add(h.cfg.RequestTimeout))
			if _, writeErr := w.Write(buf[:n]); writeErr != nil || control.Flush() != nil {
				return
			}
			_ = control.SetWriteDeadline(time.Time{})
		}
		if err != nil {
			return
		}
	}
}

// tunnel joins the client's connection with the agent's until both have said all they had
// to say, or ctx ends.
func tunnel(ctx context.Context, w http.ResponseWriter, response *http.Response, agent Conn, agentReader io.Reader) error {
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return apierrors.NewBadRequest("this connection cannot be upgraded: use HTTP/1.1")
	}
	defer client.Close()
	stop := context.AfterFunc(ctx, func() { _ = client.Close(); _ = agent.Close() })
	defer stop()
	markHijacked(w)
	head := "HTTP/1.1 " + response.Status + "\r\n"
	if _, err := io.WriteString(client, head); err != nil {
		return nil
	}
	if response.Header.Write(client) != nil {
		return nil
	}
	if _, err := io.WriteString(client, "\r\n"); err != nil {
		return nil
	}
	var both sync.WaitGroup
	both.Go(func() { pipe(agent, remaining(client, buffered.Reader), client) })
	both.Go(func() { pipe(client, agentReader, agent) })
	both.Wait()
	return nil
}

// remaining is what is still to be read of a connection. Through the server's own buffer the
// end of the client's side would end the request's context, and with it the other side.
func remaining(conn net.Conn, buffered *bufio.Reader) io.Reader {
	ahead, _ := buffered.Peek(buffered.Buffered()) // what is buffered can be peeked at
	return io.MultiReader(bytes.NewReader(ahead), conn)
}

// pipe copies one direction and passes its end on. If writing fails the other direction is
// pointless too.
func pipe(to net.Conn, from io.Reader, source net.Conn) {
	_, err := io.Copy(to, from)
	half, ok := to.(interface{ CloseWrite() error })
	if err == nil && ok && half.CloseWrite() == nil {
		return
	}
	_ = to.Close()
	_ = source.Close()
}
