package apiserver_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/apiserver"
	"github.com/miniorch/miniorch/pkg/pki"
)

// kubelet is a node's agent for tests: it demands the API server's certificate and answers
// as told.
type kubelet struct {
	mu       sync.Mutex
	handle   http.HandlerFunc // guarded by mu
	requests []string         // guarded by mu: method, path and sorted query
	headers  http.Header      // guarded by mu: of the last request
}

func (k *kubelet) answer(h http.HandlerFunc) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.handle = h
}

func (k *kubelet) last() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.requests) == 0 {
		return ""
	}
	return k.requests[len(k.requests)-1]
}

func (k *kubelet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k.mu.Lock()
	h := k.handle
	k.requests = append(k.requests, r.Method+" "+r.URL.Path+"?"+r.URL.Query().Encode())
	k.headers = r.Header.Clone()
	k.mu.Unlock()
	if cn := r.TLS.PeerCertificates[0].Subject.CommonName; cn != "system:apiserver" {
		http.Error(w, cn+" may not", http.StatusForbidden)
		return
	}
	h(w, r)
}

// startKubelet serves as the node named certName and registers Node and pods for it.
func startKubelet(t *testing.T, c *cluster, node, certName string) *kubelet {
	t.Helper()
	pair := must(c.security.CA.Issue(pki.Subject{Name: "system:node:" + certName, Groups: []string{"system:nodes"}, Hosts: []string{certName}, Server: true, Client: true}))(t)
	cert := must(pair.TLS())(t)
	k := &kubelet{}
	server := httptest.NewUnstartedServer(k)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: c.security.CA.Pool(), ClientAuth: tls.RequireAndVerifyClientCert}
	server.StartTLS()
	t.Cleanup(server.Close)
	addNode(t, c, node, server.Listener.Addr().(*net.TCPAddr))
	return k
}

func addNode(t *testing.T, c *cluster, name string, address *net.TCPAddr) {
	t.Helper()
	nodes := c.admin("").CoreV1().Nodes()
	n := must(nodes.Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}))(t)
	n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: "nowhere.invalid"}, {Type: corev1.NodeInternalIP, Address: address.IP.String()}}
	n.Status.DaemonEndpoints.KubeletEndpoint.Port = int32(address.Port)
	must(nodes.UpdateStatus(t.Context(), n, metav1.UpdateOptions{}))(t)
}

func addPod(t *testing.T, c *cluster, name, node string, containers ...string) {
	t.Helper()
	p := pod(name)
	p.Spec.NodeName = node
	p.Spec.Containers = nil
	for _, n := range containers {
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: n, Image: "miniorch/demo"})
	}
	must(c.admin("").CoreV1().Pods("default").Create(t.Context(), p, metav1.CreateOptions{}))(t)
}

func TestLog(t *testing.T) {
	c := startCluster(t)
	c.account("default")
	k := startKubelet(t, c, "n1", "n1")
	addPod(t, c, "one", "n1", "only")
	addPod(t, c, "two", "n1", "a", "b")
	addPod(t, c, "unscheduled", "", "only")
	addPod(t, c, "lost", "gone", "only")
	admin := c.raw(&c.security.Admin)
	tests := []struct {
		name, path string
		kubelet    http.HandlerFunc
		code       int
		body       string // contained
		asked      string // of the kubelet; empty: it must not be asked
	}{
		{name: "the only container", path: "one/log?tailLines=5&timestamps=true&sinceTime=2026-01-02T03:04:05Z", kubelet: text(200, "hello\n"), code: 200, body: "hello\n",
			asked: "GET /containerLogs/default/one/only?sinceTime=2026-01-02T03%3A04%3A05Z&tailLines=5&timestamps=true"},
		{name: "a named container", path: "two/log?container=b&previous=1", kubelet: text(200, ""), code: 200, asked: "GET /containerLogs/default/two/b?previous=true"},
		{name: "no container named", path: "two/log", code: 400, body: "a container name must be specified for pod two, choose one of: [a b]"},
		{name: "no such container", path: "two/log?container=../../x", code: 400, body: "container ../../x is not valid for pod two"},
		{name: "not scheduled", path: "unscheduled/log", code: 200},
		{name: "the node is gone", path: "lost/log", code: 404, body: `nodes \"gone\" not found`},
		{name: "no such pod", path: "none/log", code: 404, body: `pods \"none\" not found`},
		{name: "bad number", path: "one/log?tailLines=-1", code: 422, body: "tailLines"},
		{name: "skipping verification", path: "one/log?insecureSkipTLSVerifyBackend=true", code: 422, body: "always verified"},
		{name: "the kubelet says no such log", path: "one/log", kubelet: text(404, "no log yet"), code: 404, body: "no log yet", asked: "GET /containerLogs/default/one/only?"},
		{name: "the kubelet answers with a Status", path: "one/log", kubelet: text(400, `{"kind":"Status","apiVersion":"v1","message":"is waiting to start","code":400}`),
			code: 400, body: `"message":"is waiting to start"`, asked: "GET /containerLogs/default/one/only?"},
		{name: "the kubelet refuses us", path: "one/log", kubelet: text(403, "who are you"), code: 500, body: "refused the API server", asked: "GET /containerLogs/default/one/only?"},
		{name: "the kubelet redirects", path: "one/log", kubelet: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://elsewhere/", http.StatusFound)
		}, code: 502, body: "unexpected answer 302", asked: "GET /containerLogs/default/one/only?"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k.mu.Lock()
			k.requests = nil
			k.mu.Unlock()
			k.answer(tt.kubelet)
			a := do(t, admin, "GET", c.url+"/api/v1/namespaces/default/pods/"+tt.path, nil, "Authorization", "", "Cookie", "private")
			if a.StatusCode != tt.code || !strings.Contains(string(a.body), tt.body) {
				t.Errorf("%d %s, want %d with %q", a.StatusCode, a.body, tt.code, tt.body)
			}
			if got := k.last(); got != tt.asked {
				t.Errorf("the kubelet was asked %q, want %q", got, tt.asked)
			}
		})
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.headers.Get("Cookie") != "" {
		t.Error("the client's headers were passed on to a node")
	}
}

func text(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		fmt.Fprint(w, body)
	}
}

// TestNodeThatLies: whoever answers at a node's address must hold that node's certificate.
func TestNodeThatLies(t *testing.T) {
	c := startCluster(t)
	c.account("default")
	k := startKubelet(t, c, "honest", "liar")
	k.answer(text(200, "poison"))
	addPod(t, c, "p", "honest", "c")
	a := do(t, c.raw(&c.security.Admin), "GET", c.url+"/api/v1/namespaces/default/pods/p/log", nil)
	if a.StatusCode != 502 || !strings.Contains(string(a.body), `cannot reach the kubelet of node \"honest\"`) || k.last() != "" {
		t.Errorf("%d %s; the kubelet was asked %q", a.StatusCode, a.body, k.last())
	}
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := dead.Addr().(*net.TCPAddr)
	_ = dead.Close()
	addNode(t, c, "dead", address)
	addPod(t, c, "q", "dead", "c")
	a = do(t, c.raw(&c.security.Admin), "GET", c.url+"/api/v1/namespaces/default/pods/q/log", nil)
	if s := a.status(t); a.StatusCode != 502 || !strings.Contains(s.Message, "connection refused") {
		t.Errorf("%d %s", a.StatusCode, s.Message)
	}
}

// TestFollow: each line reaches the follower when it is written, and the kubelet learns when
// the follower has gone.
func TestFollow(t *testing.T) {
	c := startCluster(t)
	c.account("default")
	k := startKubelet(t, c, "n1", "n1")
	addPod(t, c, "p", "n1", "c")
	lines, gone := make(chan string), make(chan struct{})
	k.answer(func(w http.ResponseWriter, r *http.Request) {
		defer close(gone)
		for {
			select {
			case line := <-lines:
				fmt.Fprintln(w, line)
				_ = http.NewResponseController(w).Flush()
			case <-r.Context().Done():
				return
			}
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go func() { lines <- "first" }()
	follow := must(c.admin("").CoreV1().Pods("default").GetLogs("p", &corev1.PodLogOptions{Follow: true}).Stream(ctx))(t)
	defer follow.Close()
	reader := bufio.NewReader(follow)
	for _, want := range []string{"first", "second"} {
		if got, err := reader.ReadString('\n'); err != nil || got != want+"\n" {
			t.Fatalf("read %q %v", got, err)
		}
		if want == "first" {
			go func() { lines <- "second" }()
		}
	}
	cancel()
	select {
	case <-gone:
	case <-time.After(time.Minute):
		t.Error("the kubelet still writes to a follower that has gone")
	}
}

// execServer answers exec as a kubelet does over WebSocket: it echoes stdin to stdout, writes
// a line to stderr and reports exit code 3.
func execServer(t *testing.T) http.HandlerFunc {
	upgrader := websocket.Upgrader{Subprotocols: []string{"v5.channel.k8s.io", "v4.channel.k8s.io"}}
	return func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			t.Errorf("upgrading: %v", err)
			return
		}
		defer conn.Close()
		send := func(channel byte, data string) {
			_ = conn.WriteMessage(websocket.BinaryMessage, append([]byte{channel}, data...))
		}
		if r.URL.Query().Get("stderr") == "true" {
			send(2, "warn\n")
		}
		for {
			_, message, err := conn.ReadMessage()
			if err != nil || len(message) == 2 && message[0] == 255 { // v5: stdin closed
				break
			}
			if message[0] == 0 {
				send(1, string(message[1:]))
			}
		}
		send(3, `{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"3"}]}}`)
		_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(time.Second))
		_, _, _ = conn.ReadMessage() // until the other side closes
	}
}

func TestExec(t *testing.T) {
	c := startCluster(t)
	c.account("default")
	k := startKubelet(t, c, "n1", "n1")
	addPod(t, c, "p", "n1", "c")
	k.answer(execServer(t))
	set := c.admin("")
	options := &corev1.PodExecOptions{Command: []string{"cat", "-n"}, Stdin: true, Stdout: true, Stderr: true}
	url := set.CoreV1().RESTClient().Get().Resource("pods").Namespace("default").Name("p").SubResource("exec").VersionedParams(options, scheme.ParameterCodec).URL()
	exec := must(remotecommand.NewWebSocketExecutor(c.as("admin", "system:masters"), "GET", url.String()))(t)
	var stdout, stderr strings.Builder
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	input := strings.Repeat("a long line of input\n", 10_000)
	err := exec.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: strings.NewReader(input), Stdout: &stdout, Stderr: &stderr})
	if err == nil || !strings.Contains(err.Error(), "exit code 3") {
		t.Errorf("error %v, want exit code 3", err)
	}
	if stdout.String() != input || stderr.String() != "warn\n" {
		t.Errorf("stdout %d bytes, want %d; stderr %q", stdout.Len(), len(input), stderr.String())
	}
	if want := "GET /exec/default/p/c?command=cat&command=-n&stderr=true&stdin=true&stdout=true"; k.last() != want {
		t.Errorf("the kubelet was asked %q, want %q", k.last(), want)
	}
	admin := c.raw(&c.security.Admin)
	for query, want := range map[string]string{
		"":                                   "at least 1 command",
		"command=ls":                         "at least one of stdin",
		"command=ls&stdout=1":                "Upgrade request required",
		"command=ls&stdout=maybe":            "neither true nor false",
		"command=ls&tty=1&stdout=1&stderr=1": "tty and stderr",
	} {
		a := do(t, admin, "POST", c.url+"/api/v1/namespaces/default/pods/p/exec?"+query, nil)
		if a.StatusCode != 400 || !strings.Contains(a.status(t).Message, want) {
			t.Errorf("%q: %d %s", query, a.StatusCode, a.body)
		}
	}
	if a := do(t, admin, "POST", c.url+"/api/v1/namespaces/default/pods/p/portforward", nil); a.StatusCode != 400 {
		t.Errorf("portforward without upgrade: %d %s", a.StatusCode, a.body)
	}
}

// TestExecEndsWithTheServer: a session in a pod does not keep the server from stopping.
func TestExecEndsWithTheServer(t *testing.T) {
	c := startCluster(t, func(cfg *apiserver.Config) { cfg.ShutdownGrace = time.Hour })
	c.account("default")
	k := startKubelet(t, c, "n1", "n1")
	addPod(t, c, "p", "n1", "c")
	k.answer(execServer(t))
	set := c.admin("")
	options := &corev1.PodExecOptions{Command: []string{"sh"}, Stdin: true, Stdout: true}
	url := set.CoreV1().RESTClient().Get().Resource("pods").Namespace("default").Name("p").SubResource("exec").VersionedParams(options, scheme.ParameterCodec).URL()
	exec := must(remotecommand.NewWebSocketExecutor(c.as("admin", "system:masters"), "GET", url.String()))(t)
	in, typing := io.Pipe()
	defer typing.Close()
	out, show := io.Pipe()
	defer out.Close()
	ended := make(chan error, 1)
	go func() {
		ended <- exec.StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdin: in, Stdout: show})
		_ = show.Close()
	}()
	go fmt.Fprintln(typing, "hello")
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "hello\n" {
		t.Fatalf("%q %v; the session: %v", line, err, <-ended)
	}
	watching := must(set.CoreV1().Pods("default").Watch(t.Context(), metav1.ListOptions{TimeoutSeconds: ptr.To[int64](600)}))(t)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		c.stop()
	}()
	select {
	case <-stopped:
	case <-time.After(2 * time.Minute): // far less than the grace, far more than a busy machine needs
		t.Fatal("a watch or a session holds the server up")
	}
	for range watching.ResultChan() { // until it is closed
	}
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Error("the session did not end")
	}
}
