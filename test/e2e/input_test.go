package e2e

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// testBadInput sends what should not be sent: each is told what is wrong, and nothing is stored.
func (w *world) testBadInput(t *testing.T) {
	admin := w.httpClient(t, filepath.Join(w.Plan.Dir, "admin"))
	stranger := w.httpClient(t, "")
	node := w.httpClient(t, filepath.Join(w.Plan.Hosts[1].Dir, "node"))
	const maps, pods = "/api/v1/namespaces/default/configmaps", "/api/v1/namespaces/default/pods"
	pod := func(spec string) string {
		return `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"bad"},"spec":` + spec + `}`
	}
	cases := []struct {
		reason       string
		client       *http.Client
		method, path string
		body         string
		code         int
		says         []string
	}{
		{"malformed JSON", admin, "POST", maps, `{"apiVersion":"v1","kind":`, 400, []string{`"reason":"BadRequest"`}},
		{"wrong type", admin, "POST", pods, pod(`{"containers":"none"}`), 400, []string{"BadRequest"}},
		{"wrong kind", admin, "POST", maps, `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"bad"}}`, 400, []string{"BadRequest"}},
		{"unknown field, strictly", admin, "POST", maps + "?fieldValidation=Strict", `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"bad"},"dada":{}}`, 400, []string{`unknown field`, "dada"}},
		{"no containers", admin, "POST", pods, pod(`{"containers":[]}`), 422, []string{`"reason":"Invalid"`, "spec.containers", "Required value"}},
		{"bad name and bad port", admin, "POST", pods, pod(`{"containers":[{"name":"UPPER","image":"x","ports":[{"containerPort":70000}]}]}`), 422, []string{"spec.containers[0].name", "spec.containers[0].ports[0].containerPort", `"causes"`}},
		{"too large", admin, "POST", maps, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"bad"},"data":{"x":"` + strings.Repeat("y", 8<<20) + `"}}`, 413, nil},
		{"no such resource", admin, "GET", "/api/v1/namespaces/default/gizmos", "", 404, []string{"404"}},
		{"no such object", admin, "GET", maps + "/nobody", "", 404, []string{`configmaps \"nobody\" not found`}},
		{"path traversal", admin, "GET", "/api/v1/namespaces/default/configmaps/..%2f..%2fsecrets", "", 400, []string{"malformed path"}},
		{"a stranger reads health", stranger, "GET", "/readyz", "", 200, []string{"ok"}},
		{"a stranger reads nothing else", stranger, "GET", pods, "", 401, []string{"Unauthorized"}},
		{"a stranger gets no discovery", stranger, "GET", "/apis", "", 401, nil},
		{"a node that lies about its name", node, "POST", "/api/v1/nodes", `{"apiVersion":"v1","kind":"Node","metadata":{"name":"node-2-evil"}}`, 403, []string{"node-1"}},
		{"a node that writes another's status", node, "PATCH", "/api/v1/nodes/node-2/status", `{"status":{"phase":"x"}}`, 403, []string{"node-1"}},
	}
	for _, c := range cases {
		code, answer := w.send(t, c.client, c.method, c.path, c.body)
		if code != c.code {
			t.Errorf("%s: %d, want %d: %.300s", c.reason, code, c.code, answer)
		}
		for _, words := range c.says {
			if !strings.Contains(answer, words) {
				t.Errorf("%s: the answer lacks %q: %.500s", c.reason, words, answer)
			}
		}
	}
	for _, path := range []string{maps + "/bad", pods + "/bad"} {
		if code, _ := w.send(t, admin, "GET", path, ""); code != 404 {
			t.Errorf("%s was stored by a request that was refused", path)
		}
	}
	t.Run("immutable and stale", w.immutableAndStale)
	t.Run("a node under another name", w.lyingNode)
}

func (w *world) immutableAndStale(t *testing.T) {
	out, err := w.run("patch", "deployment", "demo", "--type=merge", "-p", `{"spec":{"selector":{"matchLabels":{"app":"other"}}}}`)
	if err == nil {
		t.Error("a Deployment's selector was changed")
	}
	expect(t, out, "spec.selector", "field is immutable")
	object := w.kubectl(t, "get", "configmap", "kube-root-ca.crt", "-o", "json")
	w.kubectl(t, "label", "configmap", "kube-root-ca.crt", "touched=yes")
	if out, err = command(w.kubeconfig, object, filepath.Join(w.bin, "miniorchctl"), "replace", "-f", "-"); err == nil {
		t.Error("a stale object replaced a newer one")
	}
	expect(t, out, "the object has been modified")
	w.kubectl(t, "label", "configmap", "kube-root-ca.crt", "touched-")
}

// lyingNode starts an agent under a name that its credentials are not for.
func (w *world) lyingNode(t *testing.T) {
	out, err := command(w.kubeconfig, "", filepath.Join(w.bin, "miniorch-node"), "--kubeconfig", filepath.Join(w.Plan.Hosts[1].Dir, "kubeconfig"),
		"--node-name", "node-9", "--node-ip", "127.0.0.1", "--data-dir", t.TempDir(), "--port", "0")
	if err == nil {
		t.Error("the agent ran under a name that is not its own")
	}
	expect(t, out, "node-9", "system:node:node-1")
}

// httpClient speaks with the certificate PREFIX.crt and PREFIX.key, or as a stranger.
func (w *world) httpClient(t *testing.T, prefix string) *http.Client {
	t.Helper()
	ca, err := os.ReadFile(filepath.Join(w.Plan.Hosts[0].Dir, "pki", "ca.crt"))
	check(t, err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	config := &tls.Config{RootCAs: pool}
	if prefix != "" {
		pair, err := tls.LoadX509KeyPair(prefix+".crt", prefix+".key")
		check(t, err)
		config.Certificates = []tls.Certificate{pair}
	}
	transport := &http.Transport{TLSClientConfig: config}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

func (w *world) send(t *testing.T, client *http.Client, method, path, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(method, w.Plan.Server()+path, bytes.NewBufferString(body))
	check(t, err)
	req.Header.Set("Content-Type", "application/json")
	if method == http.MethodPatch {
		req.Header.Set("Content-Type", "application/merge-patch+json")
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, fmt.Sprint(err)
	}
	return resp.StatusCode, string(answer)
}
