package apiserver_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/pkg/client"
)

// fill makes n pods without going over the network.
func fill(b *testing.B, c *cluster, n int) {
	b.Helper()
	t := c.server.Client(auth.Admin())
	if _, err := client.Of[*corev1.ServiceAccount](t).Create(b.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "default"}}); err != nil {
		b.Fatal(err)
	}
	pods := client.Of[*corev1.Pod](t)
	for i := range n {
		p := pod(fmt.Sprintf("p%05d", i))
		p.Namespace = "default"
		if _, err := pods.Create(b.Context(), p); err != nil {
			b.Fatal(err)
		}
	}
}

func benchClient(b *testing.B, c *cluster, http2 bool) *http.Client {
	b.Helper()
	cert, err := c.security.Admin.TLS()
	if err != nil {
		b.Fatal(err)
	}
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: c.security.CA.Pool(), Certificates: []tls.Certificate{cert}},
		ForceAttemptHTTP2: http2,
	}
	if !http2 {
		transport.TLSClientConfig.NextProtos = []string{"http/1.1"}
	}
	b.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// BenchmarkList reads 5,000 pods over loopback, as bytes.
func BenchmarkList(b *testing.B) {
	c := startCluster(b)
	fill(b, c, 5000)
	for _, media := range []string{"application/json", "application/vnd.kubernetes.protobuf", "application/json;as=Table;v=v1;g=meta.k8s.io"} {
		for _, http2 := range []bool{true, false} {
			b.Run(fmt.Sprintf("%s/http2=%v", media, http2), func(b *testing.B) {
				web := benchClient(b, c, http2)
				for b.Loop() {
					n := fetch(b, web, c.url+"/api/v1/pods", media)
					b.SetBytes(n)
				}
			})
		}
	}
}

// BenchmarkGet reads one pod over loopback.
func BenchmarkGet(b *testing.B) {
	c := startCluster(b)
	fill(b, c, 1)
	web := benchClient(b, c, true)
	for b.Loop() {
		fetch(b, web, c.url+"/api/v1/namespaces/default/pods/p00000", "application/json")
	}
}

// BenchmarkStart is a server's start over an empty store in memory, until it is ready.
func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		c := startCluster(b)
		b.StopTimer()
		c.stop()
		b.StartTimer()
	}
}

func fetch(b *testing.B, web *http.Client, url, accept string) int64 {
	req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, url, nil)
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	resp, err := web.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		b.Fatal(resp.Status, err)
	}
	return n
}
