package apiserver_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/apiserver"
)

// connect opens a connection over which a test says what it likes, as an administrator or a stranger.
func (c *cluster) connect(admin bool) *tls.Conn {
	c.t.Helper()
	cfg := &tls.Config{RootCAs: c.security.CA.Pool()}
	if admin {
		cfg.Certificates = []tls.Certificate{must(c.security.Admin.TLS())(c.t)}
	}
	raw := must(net.Dial("tcp", strings.TrimPrefix(c.url, "https://")))(c.t)
	_ = raw.(*net.TCPConn).SetReadBuffer(4 << 10) // so that who does not read is noticed soon
	cfg.ServerName, _, _ = net.SplitHostPort(raw.RemoteAddr().String())
	conn := tls.Client(raw, cfg)
	c.t.Cleanup(func() { _ = raw.Close() })
	if err := conn.HandshakeContext(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
	return conn
}

// TestSlowClients: nobody keeps anything here busy by being slow, whether we know who it is or not.
func TestSlowClients(t *testing.T) {
	listener := &tracked{}
	c := startCluster(t, func(cfg *apiserver.Config) {
		listener.Listener, cfg.Listener = cfg.Listener, listener
		cfg.RequestTimeout = 300 * time.Millisecond
	})
	set := c.admin("")
	for i := range 40 {
		must(set.CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("m", i)}, Data: map[string]string{"a": strings.Repeat("x", 500_000)}}, metav1.CreateOptions{}))(t)
	}
	const maps = "/api/v1/namespaces/default/configmaps"
	for _, tt := range []struct {
		name  string
		admin bool
		sends string
		code  int // of the answer; 0: none is read
	}{
		{"half a header", false, "GET /version HTTP/1.1\r\nHost: x\r\nX-", 0},
		{"half a body", true, "POST " + maps + " HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{", http.StatusGatewayTimeout},
		{"half a body in chunks", true, "POST " + maps + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", http.StatusGatewayTimeout},
		{"half a body that nobody reads", false, "POST /version HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{", http.StatusUnauthorized},
		{"half a body of a stranger", false, "POST " + maps + " HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{", http.StatusUnauthorized},
		{"half a body of a watch", true, "GET " + maps + "?watch=1&limit=x HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{", http.StatusBadRequest},
		{"a list that is not read", true, "GET " + maps + " HTTP/1.1\r\nHost: x\r\n\r\n", 0},
		{"a watch that is not read", true, "GET " + maps + "?watch=1 HTTP/1.1\r\nHost: x\r\n\r\n", 0},
		{"many answers that are not read", false, strings.Repeat("GET /version HTTP/1.1\r\nHost: x\r\n\r\n", 100_000), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			conn := c.connect(tt.admin)
			_ = conn.SetDeadline(time.Now().Add(5 * time.Minute))
			if _, err := io.WriteString(conn, tt.sends); err != nil && tt.code > 0 {
				t.Fatal(err)
			}
			if tt.code > 0 {
				resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Fatal(err)
				}
				_ = resp.Body.Close()
				if resp.StatusCode != tt.code {
					t.Errorf("%s, want %d", resp.Status, tt.code)
				}
			}
			listener.awaitCut(t, conn.LocalAddr())
		})
	}
}

// tracked is a listener that tells when the server has closed a connection, by its client's address.
type tracked struct {
	net.Listener
	closed sync.Map // address → closed
}

type trackedConn struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

// Accept implements net.Listener.
func (l *tracked) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	closed, _ := l.closed.LoadOrStore(conn.RemoteAddr().String(), make(chan struct{}))
	return &trackedConn{Conn: conn, closed: closed.(chan struct{})}, nil
}

// Close implements net.Conn.
func (c *trackedConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// awaitCut waits until the server has given up the connection from an address.
func (l *tracked) awaitCut(t *testing.T, address net.Addr) {
	t.Helper()
	closed, _ := l.closed.LoadOrStore(address.String(), make(chan struct{}))
	select {
	case <-closed.(chan struct{}):
	case <-time.After(5 * time.Minute):
		t.Error("the connection is still there")
	}
}

// TestKeptConnection: the bounds of one request do not reach the next on its connection.
func TestKeptConnection(t *testing.T) {
	limit := 2 * time.Second
	c := startCluster(t, func(cfg *apiserver.Config) { cfg.RequestTimeout = limit })
	conn := c.connect(true)
	reader := bufio.NewReader(conn)
	for i := range 2 {
		if i > 0 {
			time.Sleep(limit * 5 / 4) // the network's deadlines know no other clock
		}
		body := fmt.Sprintf(`{"metadata":{"name":"ns%d"}}`, i)
		fmt.Fprintf(conn, "POST /api/v1/namespaces HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		resp, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusCreated {
			t.Errorf("request %d: %s", i, resp.Status)
		}
	}
}
