package apiserver_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	restclient "k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/miniorch/miniorch/apiserver"
	"github.com/miniorch/miniorch/apiserver/storage"
	"github.com/miniorch/miniorch/apiserver/storage/etcd"
	"github.com/miniorch/miniorch/apiserver/storage/memory"
	"github.com/miniorch/miniorch/pkg/pki"
)

// cluster is a server on loopback with keys of its own.
type cluster struct {
	t        testing.TB
	server   *apiserver.Server
	store    storage.Store
	security *apiserver.Security
	url      string
	stop     func() // stops the server and waits for its end
}

// startCluster runs a server over TLS until the test ends.
func startCluster(t testing.TB, change ...func(*apiserver.Config)) *cluster {
	t.Helper()
	return startOver(t, memory.New(memory.Config{}), change...)
}

func startOver(t testing.TB, store storage.Store, change ...func(*apiserver.Config)) *cluster {
	t.Helper()
	security, err := apiserver.OpenSecurity(apiserver.SecurityConfig{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return startWith(t, store, security, change...)
}

// startWith runs a server whose clients know security's keys.
func startWith(t testing.TB, store storage.Store, security *apiserver.Security, change ...func(*apiserver.Config)) *cluster {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	// HTTP/2 takes a second to say goodbye, which tests do not wait for.
	cfg := apiserver.Config{Listener: listener, Logger: slog.New(slog.DiscardHandler), ShutdownGrace: 20 * time.Millisecond}
	security.Apply(&cfg)
	for _, c := range change {
		c(&cfg)
	}
	server, err := apiserver.New(store, cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := server.Run(ctx); err != nil {
			t.Errorf("the server ended with: %v", err)
		}
	}()
	c := &cluster{t: t, server: server, store: store, security: security, url: "https://" + cfg.Listener.Addr().String(),
		stop: func() { cancel(); <-ended }}
	t.Cleanup(c.stop)
	select {
	case <-server.Ready():
	case <-ended:
		t.Fatal("the server did not become ready")
	}
	return c
}

// onBothStores runs a test over each kind of store.
func onBothStores(t *testing.T, test func(t *testing.T, store storage.Store)) {
	t.Run("memory", func(t *testing.T) { test(t, memory.New(memory.Config{})) })
	t.Run("etcd", func(t *testing.T) {
		member, err := etcd.StartEmbedded(t.Context(), etcd.EmbeddedConfig{DataDir: t.TempDir(), NoSync: true, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := member.Close(); err != nil {
				t.Error(err)
			}
		})
		test(t, etcd.New(member.Client(), etcd.Config{}))
	})
}

// as returns the client configuration of a user with its own certificate.
func (c *cluster) as(name string, groups ...string) *restclient.Config {
	c.t.Helper()
	pair, err := c.security.CA.Issue(pki.Subject{Name: name, Groups: groups, Client: true})
	if err != nil {
		c.t.Fatal(err)
	}
	return &restclient.Config{
		Host: c.url, QPS: -1,
		TLSClientConfig: restclient.TLSClientConfig{CAData: c.security.CA.PEM(), CertData: pair.Cert, KeyData: pair.Key},
	}
}

// admin returns a clientset that speaks the media type; empty: JSON.
func (c *cluster) admin(media string) *kubernetes.Clientset {
	c.t.Helper()
	cfg := c.as(apiserver.AdminUser, "system:masters")
	cfg.ContentType = media
	set, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	return set
}

// account makes the default service account, without which no pod can be made.
func (c *cluster) account(ns string) {
	c.t.Helper()
	_, err := c.admin("").CoreV1().ServiceAccounts(ns).Create(c.t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, metav1.CreateOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
}

// raw is an HTTP client that shows its certificate (if pair is not nil) and follows no
// redirect.
func (c *cluster) raw(pair *pki.Pair) *http.Client {
	c.t.Helper()
	cfg := &tls.Config{RootCAs: c.security.CA.Pool()}
	if pair != nil {
		cert, err := pair.TLS()
		if err != nil {
			c.t.Fatal(err)
		}
		cfg.Certificates = []tls.Certificate{cert}
	}
	transport := &http.Transport{TLSClientConfig: cfg, ForceAttemptHTTP2: true, DisableCompression: true}
	c.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// answer is a response with its body read.
type answer struct {
	*http.Response
	body []byte
}

func (a answer) status(t testing.TB) metav1.Status {
	t.Helper()
	var s metav1.Status
	if err := json.Unmarshal(a.body, &s); err != nil || s.Kind != "Status" {
		t.Fatalf("%d with a body that is no Status: %.200q", a.StatusCode, a.body)
	}
	return s
}

// do sends one request. Headers are given as name, value, name, value.
func do(t testing.TB, client *http.Client, method, url string, body []byte, headers ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return answer{resp, data}
}

func must[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

var realClock = clock.RealClock{}
