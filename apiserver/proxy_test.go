package apiserver_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/websocket"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/apiserver"
	"github.com/miniorch/miniorch/apiserver/auth"
)

// backend is the server inside a pod.
func backend(t *testing.T, secure bool) (address string) {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		fmt.Fprintf(w, "%s %s host=%s tls=%t auth=%q cookie=%q for=%q uri=%q", r.Method, r.RequestURI, r.Host, r.TLS != nil,
			r.Header.Get("Authorization"), r.Header.Get("Cookie"), r.Header.Get("X-Forwarded-For"), r.Header.Get("X-Forwarded-Uri"))
		_, _ = io.Copy(w, r.Body)
	})
	mux.HandleFunc("/page", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, `<!doctype html><a href="/up?x=1&amp;y=2#z">up</a> <a href=near>near</a> <img src=//other.example/x><script>if (a<b) go("/stay")</script><p>a &lt; b`)
	})
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/there?a=b", http.StatusFound) })
	mux.HandleFunc("/gone", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://other.example/there", http.StatusFound)
	})
	mux.HandleFunc("/socket", func(w http.ResponseWriter, r *http.Request) {
		upgrader := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }, Subprotocols: []string{"chat"}}
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		kind, message, err := conn.ReadMessage()
		if err == nil {
			_ = conn.WriteMessage(kind, append([]byte(strings.Join(r.Header["Sec-Websocket-Protocol"], "|")+" "), message...))
		}
	})
	server := httptest.NewUnstartedServer(mux)
	if secure {
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// dials answers /dial as a kubelet does: by joining the connection with the address of the
// port, and the rest as itself.
func dials(t *testing.T, ports map[string]string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		parts := strings.Split(r.URL.Path, "/")
		if parts[1] != "dial" {
			fmt.Fprintf(w, "kubelet %s %s", r.Method, r.RequestURI)
			return
		}
		conn, err := net.Dial("tcp", ports[parts[4]])
		if ports[parts[4]] == "" || err != nil {
			http.Error(w, "connection refused", http.StatusServiceUnavailable)
			return
		}
		defer conn.Close()
		client, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer client.Close()
		fmt.Fprint(client, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
		go func() { _, _ = io.Copy(conn, buffered); conn.Close() }()
		_, _ = io.Copy(client, conn)
	}
}

func setPodIP(t *testing.T, c *cluster, name, ip string) {
	t.Helper()
	pods := c.admin("").CoreV1().Pods("default")
	p := must(pods.Get(t.Context(), name, metav1.GetOptions{}))(t)
	p.Status.PodIP, p.Status.PodIPs = ip, []corev1.PodIP{{IP: ip}}
	must(pods.UpdateStatus(t.Context(), p, metav1.UpdateOptions{}))(t)
}

func addService(t *testing.T, c *cluster, name string, slices ...*discoveryv1.EndpointSlice) {
	t.Helper()
	must(c.admin("").CoreV1().Services("default").Create(t.Context(), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.ServiceSpec{
		Ports: []corev1.ServicePort{{Name: "plain", Port: 80}, {Name: "tls", Port: 443}}}}, metav1.CreateOptions{}))(t)
	for i, s := range slices {
		s.ObjectMeta = metav1.ObjectMeta{Name: fmt.Sprint(name, "-", i), Labels: map[string]string{discoveryv1.LabelServiceName: name}}
		s.AddressType = discoveryv1.AddressTypeIPv4
		s.Ports = []discoveryv1.EndpointPort{{Name: ptr.To("plain"), Port: ptr.To[int32](8080)}, {Name: ptr.To("tls"), Port: ptr.To[int32](8443)}}
		must(c.admin("").DiscoveryV1().EndpointSlices("default").Create(t.Context(), s, metav1.CreateOptions{}))(t)
	}
}

// TestProxy: requests through the API server reach pods, services and nodes, and nothing else.
func TestProxy(t *testing.T) {
	c := startCluster(t)
	c.account("default")
	k := startKubelet(t, c, "n1", "n1")
	k.answer(dials(t, map[string]string{"80": backend(t, false), "8080": backend(t, false), "8443": backend(t, true)}))
	addPod(t, c, "p", "n1", "c")
	setPodIP(t, c, "p", "10.1.2.3")
	addPod(t, c, "pending", "n1", "c")
	endpoint := func(name string, ready bool) discoveryv1.Endpoint {
		return discoveryv1.Endpoint{Addresses: []string{"10.1.2.3"}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}, TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: name}}
	}
	addService(t, c, "s", &discoveryv1.EndpointSlice{Endpoints: []discoveryv1.Endpoint{endpoint("gone", false), endpoint("p", true)}})
	addService(t, c, "none", &discoveryv1.EndpointSlice{Endpoints: []discoveryv1.Endpoint{endpoint("p", false)}})
	const ns = "/api/v1/namespaces/default/"
	host := strings.TrimPrefix(c.url, "https://")
	tests := []struct {
		name, method, path string
		code               int
		want               string // in the body
		location           string
	}{
		{name: "a pod", path: ns + "pods/p/proxy/a/b?c=d", code: 200, want: "GET /a/b?c=d host=" + host + " tls=false auth=\"\" cookie=\"kept\" for=\"127.0.0.1\" uri=\"" + ns + "pods/p/proxy/a/b?c=d\""},
		{name: "its port", path: ns + "pods/p:8080/proxy/", code: 200, want: "GET / "},
		{name: "its port by TLS", path: ns + "pods/https:p:8443/proxy/x", code: 200, want: "GET /x host=" + host + " tls=true"},
		{name: "a body", method: "POST", path: ns + "pods/http:p:/proxy/x", code: 200, want: "POST /x"},
		{name: "without path", method: "PUT", path: ns + "pods/p/proxy?method=PUT", code: 200, want: "PUT /?method=PUT"},
		{name: "options", method: "OPTIONS", path: ns + "pods/p/proxy/", code: 200, want: "OPTIONS /"},
		{name: "watch is just a word here", path: ns + "pods/p/proxy/x?watch=1", code: 200, want: "GET /x?watch=1"},
		{name: "escapes stay", path: ns + "pods/p/proxy/a%20b%2Fc;d", code: 200, want: "GET /a%20b%2Fc;d "},
		{name: "the missing slash", path: ns + "pods/p/proxy?a=b", code: 301, location: ns + "pods/p/proxy/?a=b"},
		{name: "a service's port by name", path: ns + "services/s:plain/proxy/x", code: 200, want: "GET /x"},
		{name: "by number", path: ns + "services/s:80/proxy/x", code: 200, want: "GET /x"},
		{name: "by TLS", path: ns + "services/https:s:tls/proxy/x", code: 200, want: "tls=true"},
		{name: "a node's agent", path: "/api/v1/nodes/n1/proxy/healthz?x=y", code: 200, want: "kubelet GET /healthz?x=y"},
		{name: "a redirect", path: ns + "pods/p/proxy/moved", code: 302, location: ns + "pods/p/proxy/there?a=b"},
		{name: "a redirect to elsewhere is the client's business", path: ns + "pods/p/proxy/gone", code: 302, location: "https://other.example/there"},
		{name: "a page's links", path: ns + "pods/p/proxy/page", code: 200, want: `<!doctype html><a href="` + ns +
			`pods/p/proxy/up?x=1&amp;y=2#z">up</a> <a href=near>near</a> <img src=//other.example/x><script>if (a<b) go("/stay")</script><p>a &lt; b`},

		{name: "a closed port", path: ns + "pods/p:81/proxy/", code: 503, want: "error trying to reach service: connection refused"},
		{name: "no such pod", path: ns + "pods/x/proxy/", code: 404, want: "not found"},
		{name: "a pod without address", path: ns + "pods/pending/proxy/", code: 503, want: "no address"},
		{name: "no port", path: ns + "pods/p:0/proxy/", code: 400, want: "invalid port"},
		{name: "no scheme", path: ns + "pods/ftp:p:21/proxy/", code: 400, want: "invalid request"},
		{name: "too many parts", path: ns + "pods/http:p:80:x/proxy/", code: 400, want: "invalid request"},
		{name: "no endpoint", path: ns + "services/none:plain/proxy/", code: 503, want: "no endpoints available"},
		{name: "no such port", path: ns + "services/s:81/proxy/", code: 503, want: "no service port 81"},
		{name: "no unnamed port", path: ns + "services/s/proxy/", code: 503, want: "no endpoints available"},
		{name: "another port of a node on loopback", path: "/api/v1/nodes/n1:1/proxy/", code: 400, want: "not allowed"},
		{name: "upwards", path: ns + "pods/p/proxy/a/../../x", code: 400, want: "may not lead upwards"},
		{name: "upwards, hidden", path: ns + "pods/p/proxy/a/%2e%2e%2f%2e%2e/x", code: 400, want: "may not lead upwards"},
		{name: "upwards, the other way", path: "/api/v1/nodes/n1/proxy/a/..%5cx", code: 400, want: "may not lead upwards"},
		{name: "nothing to proxy", path: ns + "configmaps/x/proxy/y", code: 404},
	}
	admin := c.raw(&c.security.Admin)
	admin.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.method == "" {
				tt.method = "GET"
			}
			a := do(t, admin, tt.method, c.url+tt.path, nil, "Cookie", "kept", "X-Forwarded-For", "6.6.6.6")
			if a.StatusCode != tt.code || !strings.Contains(string(a.body), tt.want) || a.Header.Get("Location") != tt.location {
				t.Errorf("%d %s Location %q, want %d with %q and %q", a.StatusCode, a.body, a.Header.Get("Location"), tt.code, tt.want, tt.location)
			}
			if a.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Error("the server behind lets pages of others read answers")
			}
		})
	}
}

// TestProxyUpgrades: a WebSocket goes through, without the token that browsers put into it.
func TestProxyUpgrades(t *testing.T) {
	c := startCluster(t)
	c.account("default")
	k := startKubelet(t, c, "n1", "n1")
	k.answer(dials(t, map[string]string{"80": backend(t, false)}))
	addPod(t, c, "p", "n1", "c")
	setPodIP(t, c, "p", "10.1.2.3")
	dialer := websocket.Dialer{TLSClientConfig: c.raw(&c.security.Admin).Transport.(*http.Transport).TLSClientConfig}
	url := strings.Replace(c.url, "https", "wss", 1) + "/api/v1/namespaces/default/pods/p/proxy"
	dialer.Subprotocols = []string{"base64url.bearer.authorization.k8s.io.Zm9v", "chat"}
	conn, _, err := dialer.Dial(url+"/socket", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, message, err := conn.ReadMessage(); err != nil || string(message) != "chat hello" {
		t.Errorf("%q %v", message, err)
	}
	if _, response, err := dialer.Dial(url+"/moved", nil); err == nil || response == nil || response.StatusCode != 502 {
		t.Errorf("an upgrade that is redirected: %v %v", response, err)
	}
}

// verbs allows everything and remembers what was asked for.
type verbs struct {
	auth.Authorizer
	mu    sync.Mutex
	asked []string // guarded by mu
	deny  string
}

func (v *verbs) Authorize(ctx context.Context, a auth.Attributes) (bool, string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if a.Subresource != "" && a.Subresource != "status" {
		v.asked = append(v.asked, fmt.Sprintf("%s %s/%s %s/%s", a.Verb, a.Resource, a.Subresource, a.Namespace, a.Name))
	}
	if v.deny != "" && a.Verb == v.deny {
		return false, "", nil
	}
	return v.Authorizer.Authorize(ctx, a)
}

// TestConnectVerbs: which rights it takes to connect.
func TestConnectVerbs(t *testing.T) {
	v := &verbs{Authorizer: auth.Components{}}
	c := startCluster(t, func(cfg *apiserver.Config) { cfg.Authorizer = v })
	c.account("default")
	k := startKubelet(t, c, "n1", "n1")
	k.answer(text(200, ""))
	addPod(t, c, "p", "n1", "c")
	admin := c.raw(&c.security.Admin)
	transport := &http.Transport{TLSClientConfig: admin.Transport.(*http.Transport).TLSClientConfig} // HTTP/2 knows no upgrade
	defer transport.CloseIdleConnections()
	admin.Transport = transport
	const ns = "/api/v1/namespaces/default/"
	for _, tt := range []struct {
		method, path string
		upgrade      string
		want         []string
	}{
		{"GET", ns + "pods/p/log", "", []string{"get pods/log default/p"}},
		{"POST", ns + "pods/p/exec?command=x&stdout=1", "SPDY/3.1", []string{"create pods/exec default/p"}},
		{"GET", ns + "pods/p/exec?command=x&stdout=1", "websocket", []string{"get pods/exec default/p", "create pods/exec default/p"}},
		{"POST", ns + "pods/p/attach", "SPDY/3.1", []string{"create pods/attach default/p"}},
		{"GET", ns + "pods/p/portforward", "websocket", []string{"get pods/portforward default/p", "create pods/portforward default/p"}},
		{"GET", ns + "pods/http:p:80/proxy/x", "", []string{"get pods/proxy default/http:p:80"}},
		{"HEAD", ns + "pods/p/proxy/x", "", []string{"get pods/proxy default/p"}},
		{"DELETE", ns + "services/s/proxy/x", "", []string{"delete services/proxy default/s"}},
		{"PATCH", ns + "services/s/proxy/x", "", []string{"patch services/proxy default/s"}},
		{"PUT", "/api/v1/nodes/n1/proxy/x", "", []string{"update nodes/proxy /n1"}},
		{"OPTIONS", "/api/v1/nodes/n1/proxy/x", "", []string{"options nodes/proxy /n1"}},
		{"GET", "/api/v1/nodes/n1/proxy/exec/x", "websocket", []string{"get nodes/proxy /n1", "create nodes/proxy /n1"}},
	} {
		v.mu.Lock()
		v.asked = nil
		v.mu.Unlock()
		var headers []string
		if tt.upgrade != "" {
			headers = []string{"Connection", "Upgrade", "Upgrade", tt.upgrade}
		}
		do(t, admin, tt.method, c.url+tt.path, nil, headers...)
		if !slices.Equal(v.asked, tt.want) {
			t.Errorf("%s %s: asked for %q, want %q", tt.method, tt.path, v.asked, tt.want)
		}
	}
	v.mu.Lock()
	v.deny = "create"
	v.mu.Unlock()
	before := k.last()
	a := do(t, admin, "GET", c.url+ns+"pods/p/exec?command=x&stdout=1", nil, "Connection", "Upgrade", "Upgrade", "websocket")
	if a.StatusCode != 403 || k.last() != before {
		t.Errorf("exec by GET without the right to create: %d %s", a.StatusCode, a.body)
	}
}

// TestLogOverWebSocket: the log's bytes as messages, and a proper end.
func TestLogOverWebSocket(t *testing.T) {
	c := startCluster(t)
	c.account("default")
	k := startKubelet(t, c, "n1", "n1")
	gone := make(chan struct{})
	k.answer(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "one\ntwo\n")
		if r.URL.Query().Get("follow") != "" {
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			close(gone)
		}
	})
	addPod(t, c, "p", "n1", "c")
	url := strings.Replace(c.url, "https", "wss", 1) + "/api/v1/namespaces/default/pods/p/log"
	for protocol, want := range map[string]string{"": "one\ntwo\n", "binary.k8s.io": "one\ntwo\n", "base64.binary.k8s.io": "b25lCnR3bwo="} {
		dialer := websocket.Dialer{TLSClientConfig: c.raw(&c.security.Admin).Transport.(*http.Transport).TLSClientConfig}
		if protocol != "" {
			dialer.Subprotocols = []string{protocol}
		}
		conn, _, err := dialer.Dial(url, nil)
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		for {
			_, message, err := conn.ReadMessage()
			if err != nil {
				if !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
					t.Errorf("%q: the end: %v", protocol, err)
				}
				break
			}
			got = append(got, message...)
		}
		conn.Close()
		if string(got) != want {
			t.Errorf("%q: %q, want %q", protocol, got, want)
		}
		if protocol != "binary.k8s.io" {
			continue
		}
		if conn, _, err = dialer.Dial(url+"?follow=1", nil); err != nil {
			t.Fatal(err)
		}
		if _, _, err := conn.ReadMessage(); err != nil {
			t.Error(err)
		}
		conn.Close()
		<-gone // the node learns that nobody follows any more
	}
}
