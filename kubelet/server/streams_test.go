package server

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	//lint:ignore SA1019 what client-go's dialers return.
	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	clientspdy "k8s.io/client-go/transport/spdy"
	utilexec "k8s.io/client-go/util/exec"

	"github.com/miniorch/miniorch/kubelet/server/spdy"
)

func restConfig(t *testing.T, address string, c *tls.Config) *rest.Config {
	t.Helper()
	key, err := keyPEM(c.Certificates[0])
	if err != nil {
		t.Fatal(err)
	}
	return &rest.Config{Host: "https://" + address, TLSClientConfig: rest.TLSClientConfig{
		Insecure: true, CertData: certPEM(c.Certificates[0]), KeyData: key}}
}

// executors makes kubectl's own clients of a path, one per protocol.
var executors = map[string]func(cfg *rest.Config, u *url.URL) (remotecommand.Executor, error){
	"websocket": func(cfg *rest.Config, u *url.URL) (remotecommand.Executor, error) {
		return remotecommand.NewWebSocketExecutor(cfg, "GET", u.String())
	},
	"websocket v4": func(cfg *rest.Config, u *url.URL) (remotecommand.Executor, error) {
		return remotecommand.NewWebSocketExecutorForProtocols(cfg, "GET", u.String(), "v4.channel.k8s.io")
	},
	"spdy": func(cfg *rest.Config, u *url.URL) (remotecommand.Executor, error) {
		return remotecommand.NewSPDYExecutor(cfg, "POST", u)
	},
	"spdy v3": spdyVersion(spdyV3),
	"spdy v2": spdyVersion(spdyV2),
}

func spdyVersion(protocol string) func(cfg *rest.Config, u *url.URL) (remotecommand.Executor, error) {
	return func(cfg *rest.Config, u *url.URL) (remotecommand.Executor, error) {
		transport, upgrader, err := clientspdy.RoundTripperFor(cfg)
		if err != nil {
			return nil, err
		}
		return remotecommand.NewSPDYExecutorForProtocols(transport, upgrader, "POST", u, protocol)
	}
}

// The clients are kubectl's own.
func TestCommandsSpeakWithClientGo(t *testing.T) {
	address, client := serve(t)
	cfg := restConfig(t, address, client("system:apiserver", "x"))
	for name, executor := range executors {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			stream := func(ctx context.Context, path string, o remotecommand.StreamOptions, query url.Values) error {
				t.Helper()
				for stream, wanted := range map[string]bool{"stdin": o.Stdin != nil, "stdout": o.Stdout != nil, "stderr": o.Stderr != nil, "tty": o.Tty} {
					query.Set(stream, fmt.Sprint(wanted))
				}
				e, err := executor(cfg, &url.URL{Scheme: "https", Host: address, Path: path, RawQuery: query.Encode()})
				if err != nil {
					t.Fatal(err)
				}
				return e.StreamWithContext(ctx, o)
			}
			const exec, attach = "/exec/ns/p/c", "/attach/ns/p/c"
			var out, errOut bytes.Buffer
			if name != "websocket v4" { // which knows no end of stdin
				big := strings.Repeat("0123456789abcdef", 1<<16)
				err := stream(ctx, exec, remotecommand.StreamOptions{Stdin: strings.NewReader(big), Stdout: &out}, url.Values{"command": {"cat"}})
				if err != nil || out.String() != big {
					t.Errorf("cat: %d bytes of %d, %v", out.Len(), len(big), err)
				}
				out.Reset()
				err = stream(ctx, attach, remotecommand.StreamOptions{Stdin: strings.NewReader("hello"), Stdout: &out}, url.Values{})
				if err != nil || out.String() != "hello" {
					t.Errorf("attach: %q, %v", out.String(), err)
				}
			}
			out.Reset()
			if err := stream(ctx, attach, remotecommand.StreamOptions{Stdout: &out}, url.Values{}); err != nil || out.String() != "looking on" {
				t.Errorf("attach without stdin: %q, %v", out.String(), err)
			}
			err := stream(ctx, exec, remotecommand.StreamOptions{Stdout: &out, Stderr: &errOut}, url.Values{"command": {"fail"}})
			var code utilexec.CodeExitError
			inWords := name == "spdy v2" || name == "spdy v3"
			if inWords && (err == nil || !strings.Contains(err.Error(), "exit status 3")) || !inWords && (!errors.As(err, &code) || code.Code != 3) || errOut.String() != "oh no" {
				t.Errorf("fail: %v, stderr %q", err, errOut.String())
			}
			if name != "spdy v2" { // which knows no size
				out.Reset()
				err = stream(ctx, exec, remotecommand.StreamOptions{Stdin: strings.NewReader(""), Stdout: &out, Tty: true, TerminalSizeQueue: &oneSize{}}, url.Values{"command": {"size"}})
				if err != nil || out.String() != "80x24" {
					t.Errorf("size: %q, %v", out.String(), err)
				}
			}
			err = stream(ctx, exec, remotecommand.StreamOptions{Stdout: &out}, url.Values{"command": {"nonsense"}})
			if err == nil || !strings.Contains(err.Error(), "no such command") {
				t.Errorf("nonsense: %v", err)
			}
			// A client that goes away ends the command; the leak check would see it hang.
			short, stop := context.WithTimeout(ctx, 100*time.Millisecond)
			defer stop()
			if err := stream(short, exec, remotecommand.StreamOptions{Stdout: &out}, url.Values{"command": {"hang"}}); err == nil {
				t.Error("hang ended by itself")
			}
		})
	}
}

// TestSessionsEndWithTheServer: serve's cleanup waits for Serve, and the leak check for what it left.
func TestSessionsEndWithTheServer(t *testing.T) {
	for name, executor := range executors {
		t.Run(name, func(t *testing.T) {
			ended := make(chan error, 1)
			t.Run("serving", func(t *testing.T) {
				address, client := serve(t)
				cfg := restConfig(t, address, client("system:apiserver", "x"))
				u, _ := url.Parse("https://" + address + "/exec/ns/p/c?command=hang&stdout=1")
				e, err := executor(cfg, u)
				if err != nil {
					t.Fatal(err)
				}
				out, show := io.Pipe()
				go func() {
					err := e.StreamWithContext(context.Background(), remotecommand.StreamOptions{Stdout: show})
					show.Close()
					ended <- err
				}()
				if _, err := io.ReadFull(out, make([]byte, len("hanging"))); err != nil {
					t.Errorf("the command did not begin: %v", err)
				}
				go func() { _, _ = io.Copy(io.Discard, out) }()
			})
			select {
			case err := <-ended:
				if err == nil {
					t.Error("the session ended well")
				}
			case <-time.After(2 * time.Minute):
				t.Error("the session goes on without its server")
			}
		})
	}
}

// TestPlainWebSockets: what clients that are no client-go say, such as the conformance suite.
func TestPlainWebSockets(t *testing.T) {
	address, client := serve(t)
	for _, tc := range []struct {
		protocol string
		want     []string
	}{
		{"", []string{"\x02oh no", "\x03command terminated with non-zero exit code: exit status 3"}},
		{"channel.k8s.io", []string{"\x02oh no", "\x03command terminated with non-zero exit code: exit status 3"}},
		{"base64.channel.k8s.io", []string{"2b2ggbm8=", "3" + base64.StdEncoding.EncodeToString([]byte("command terminated with non-zero exit code: exit status 3"))}},
		{"v5.channel.k8s.io", []string{"\x02oh no", "\x03{\"metadata\":{},\"status\":\"Failure\""}},
	} {
		dialer := websocket.Dialer{TLSClientConfig: client("system:apiserver", "x")}
		if tc.protocol != "" {
			dialer.Subprotocols = []string{tc.protocol}
		}
		conn, _, err := dialer.Dial("wss://"+address+"/exec/ns/p/c?command=fail&stdout=1&stderr=1", nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range tc.want {
			if _, message, err := conn.ReadMessage(); err != nil || !strings.HasPrefix(string(message), want) {
				t.Errorf("%q: %q %v, want %q", tc.protocol, message, err, want)
			}
		}
		if _, _, err := conn.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
			t.Errorf("%q: the end: %v", tc.protocol, err)
		}
		conn.Close()
	}
	dialer := websocket.Dialer{TLSClientConfig: client("system:apiserver", "x"), Subprotocols: []string{"chat"}}
	conn, _, err := dialer.Dial("wss://"+address+"/exec/ns/p/c?command=fail&stdout=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, _, err := conn.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseProtocolError) {
		t.Errorf("an unknown protocol: %v", err)
	}
}

// forwardDialers make kubectl's clients of port-forward.
var forwardDialers = map[string]func(cfg *rest.Config, u *url.URL) (httpstream.Dialer, error){
	"websocket": func(cfg *rest.Config, u *url.URL) (httpstream.Dialer, error) {
		return portforward.NewSPDYOverWebsocketDialer(u, cfg)
	},
	"spdy": func(cfg *rest.Config, u *url.URL) (httpstream.Dialer, error) {
		transport, upgrader, err := clientspdy.RoundTripperFor(cfg)
		if err != nil {
			return nil, err
		}
		return clientspdy.NewDialer(upgrader, &http.Client{Transport: transport}, "POST", u), nil
	},
}

func TestPortForward(t *testing.T) {
	address, client := serve(t)
	cfg := restConfig(t, address, client("system:apiserver", "x"))
	for name, dialer := range forwardDialers {
		t.Run(name, func(t *testing.T) {
			u := &url.URL{Scheme: "https", Host: address, Path: "/portForward/ns/p"}
			d, err := dialer(cfg, u)
			if err != nil {
				t.Fatal(err)
			}
			stop, ready := make(chan struct{}), make(chan struct{})
			var said bytes.Buffer
			f, err := portforward.NewOnAddresses(d, []string{"127.0.0.1"}, []string{"0:80", "0:82"}, stop, ready, nil, &said)
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { done <- f.ForwardPorts() }()
			select {
			case <-ready:
			case err := <-done:
				t.Fatal(err)
			}
			ports, _ := f.GetPorts()
			for i := range 20 {
				text := fmt.Sprintf("request %d %s", i, strings.Repeat("x", i<<12))
				if got := talk(t, ports[0].Local, text); got != strings.ToUpper(text) {
					t.Errorf("request %d: %d bytes came back of %d", i, len(got), len(text))
				}
			}
			// client-go gives up the whole session when it is told of one that failed.
			if got := talk(t, ports[1].Local, "x"); got != "" {
				t.Errorf("a closed port says %q", got)
			}
			if err := <-done; !errors.Is(err, portforward.ErrLostConnectionToPod) {
				t.Errorf("after a refused connection: %v", err)
			}
			close(stop)
			u.Path = "/portForward/ns/none"
			if d, err = dialer(cfg, u); err == nil {
				_, _, err = d.Dial("portforward.k8s.io")
			}
			if err == nil {
				t.Error("a pod that is none is dialled")
			}
		})
	}
}

// talk says all it has to say to a local port and returns the answer.
func talk(t *testing.T, port uint16, text string) string {
	t.Helper()
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Minute))
	_, _ = io.WriteString(conn, text)
	_ = conn.(*net.TCPConn).CloseWrite()
	answer, _ := io.ReadAll(conn) // a connection that is refused ends badly
	return string(answer)
}

// TestStreamsAreBounded: a client cannot make the node hold as much as it likes.
func TestStreamsAreBounded(t *testing.T) {
	address, client := serve(t)
	cfg := restConfig(t, address, client("system:apiserver", "x"))
	dial := func() httpstream.Connection {
		d, err := forwardDialers["spdy"](cfg, &url.URL{Scheme: "https", Host: address, Path: "/portForward/ns/p"})
		if err != nil {
			t.Fatal(err)
		}
		conn, _, err := d.Dial("portforward.k8s.io")
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	open := func(conn httpstream.Connection, id int, kind string) (httpstream.Stream, error) {
		return conn.CreateStream(http.Header{"Streamtype": {kind}, "Port": {"80"}, "Requestid": {fmt.Sprint(id)}})
	}
	t.Run("streams", func(t *testing.T) {
		conn := dial()
		defer conn.Close()
		for i := range 2 * maxForwards {
			if _, err := open(conn, i, "error"); err != nil {
				t.Fatalf("stream %d: %v", i, err)
			}
		}
		if _, err := open(conn, 2*maxForwards, "error"); err == nil {
			t.Error("one more stream is accepted")
		}
	})
	t.Run("twice the same", func(t *testing.T) {
		conn := dial()
		defer conn.Close()
		if _, err := open(conn, 1, "error"); err != nil {
			t.Fatal(err)
		}
		second, err := open(conn, 1, "error")
		if err != nil {
			t.Fatal(err)
		}
		if n, err := second.Read(make([]byte, 1)); err == nil {
			t.Errorf("the second stream delivers %d bytes", n)
		}
	})
	t.Run("frames", func(t *testing.T) {
		raw, err := tls.Dial("tcp", address, client("system:apiserver", "x"))
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
		_, _ = io.WriteString(raw, "POST /portForward/ns/p HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: portforward.k8s.io\r\n\r\n")
		header := binary.BigEndian.AppendUint32([]byte{0, 0, 0, 1}, 10<<20)
		if _, err := raw.Write(header); err != nil {
			t.Fatal(err)
		}
		_ = raw.SetReadDeadline(time.Now().Add(2 * time.Minute))
		answer, err := io.ReadAll(raw)
		var timeout net.Error
		if !strings.HasPrefix(string(answer), "HTTP/1.1 101 ") || errors.As(err, &timeout) && timeout.Timeout() {
			t.Errorf("after a huge frame: %q, %v", answer, err)
		}
	})
	t.Run("protocols", func(t *testing.T) {
		request, _ := http.NewRequest("POST", "https://"+address+"/portForward/ns/p", nil)
		request.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {spdy.Protocol}, "X-Stream-Protocol-Version": {"v9.x"}}
		transport := &http.Transport{TLSClientConfig: client("system:apiserver", "x"), DisableKeepAlives: true}
		res, err := transport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 403 || res.Header.Get("X-Accepted-Stream-Protocol-Versions") != forwardProtocol {
			t.Errorf("%d %v", res.StatusCode, res.Header)
		}
	})
}

// TestDial: the API server reaches a port as if it were there.
func TestDial(t *testing.T) {
	address, client := serve(t)
	for path, want := range map[string]string{
		"/dial/ns/p/80":    "101 Switching Protocols",
		"/dial/ns/p/82":    "500 Internal Server Error",
		"/dial/ns/p/0":     "400 Bad Request",
		"/dial/ns/p/65616": "400 Bad Request",
	} {
		raw, err := tls.Dial("tcp", address, client("system:apiserver", "x"))
		if err != nil {
			t.Fatal(err)
		}
		_ = raw.SetReadDeadline(time.Now().Add(2 * time.Minute))
		_, _ = io.WriteString(raw, "GET "+path+" HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: tcp\r\n\r\n")
		reader := bufio.NewReader(raw)
		head, err := reader.ReadString('\n')
		if err == nil {
			_, _ = io.WriteString(raw, "hello")
			_ = raw.CloseWrite()
		}
		rest, _ := io.ReadAll(reader)
		answer := head + string(rest)
		if err != nil || !strings.HasPrefix(answer, "HTTP/1.1 "+want) {
			t.Errorf("%s: %q, %v", path, answer, err)
		}
		if strings.Contains(want, "101") && !strings.HasSuffix(answer, "HELLO") {
			t.Errorf("%s: %q", path, answer)
		}
		raw.Close()
	}
}
