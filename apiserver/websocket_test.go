package apiserver_test

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestWatchOverWebSocket: one message per event, and a proper end.
func TestWatchOverWebSocket(t *testing.T) {
	c := startCluster(t)
	cert := must(c.security.Admin.TLS())(t)
	dialer := websocket.Dialer{TLSClientConfig: &tls.Config{RootCAs: c.security.CA.Pool(), Certificates: []tls.Certificate{cert}}}
	url := strings.Replace(c.url, "https", "wss", 1) + "/api/v1/namespaces?watch=1&timeoutSeconds=1"
	conn, _, err := dialer.DialContext(t.Context(), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var names []string
	for {
		_, message, err := conn.ReadMessage()
		if err != nil {
			if !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
				t.Errorf("the end: %v", err)
			}
			break
		}
		var e struct {
			Type   string
			Object metav1.PartialObjectMetadata
		}
		if err := json.Unmarshal(message, &e); err != nil || e.Type != "ADDED" {
			t.Errorf("%v %s", err, message)
		}
		names = append(names, e.Object.Name)
	}
	if got := strings.Join(names, " "); got != "default kube-node-lease kube-public kube-system" {
		t.Errorf("watched %q", got)
	}
	// A page from elsewhere must not use a browser's certificate to read the cluster.
	_, resp, err := dialer.DialContext(t.Context(), url, http.Header{"Origin": {"https://evil.example"}})
	if err == nil || resp == nil || resp.StatusCode != http.StatusForbidden {
		t.Errorf("a page from elsewhere: %v %v", resp, err)
	}
}
