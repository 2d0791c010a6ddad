package apiserver_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/apiserver"
	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/apiserver/storage/memory"
	"github.com/miniorch/miniorch/pkg/client"
)

// sink is a client that reads as fast as it is written to.
type sink struct {
	header http.Header
	code   int
	bytes  int64
}

func (s *sink) Header() http.Header  { return s.header }
func (s *sink) WriteHeader(code int) { s.code = code }
func (s *sink) Write(b []byte) (int, error) {
	s.bytes += int64(len(b))
	return len(b), nil
}

// BenchmarkReads is what a read costs the server, without a network: time, and above all
// allocations, which must not grow with the number of objects.
func BenchmarkReads(b *testing.B) {
	const (
		json     = "application/json"
		protobuf = "application/vnd.kubernetes.protobuf"
		table    = "application/json;as=Table;v=v1;g=meta.k8s.io"
		metadata = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
	)
	for _, size := range []int{500, 5_000, 50_000} {
		h := filled(b, size)
		for _, read := range []struct{ name, path, accept string }{
			{"list/json", "pods", json},
			{"list/protobuf", "pods", protobuf},
			{"list/table", "pods", table},
			{"list/metadata", "pods", metadata},
			{"list/label", "pods?labelSelector=tenth%3D3", json},
			{"list/field", "pods?fieldSelector=spec.nodeName%3Dn7", json},
			{"list/page of 500", "pods?limit=500", protobuf},
			{"get/json", "pods/p00007", json},
			{"get/protobuf", "pods/p00007", protobuf},
			{"get/table", "pods/p00007", table},
		} {
			b.Run(fmt.Sprintf("%d/%s", size, read.name), func(b *testing.B) {
				u, err := url.Parse("/api/v1/namespaces/default/" + read.path)
				if err != nil {
					b.Fatal(err)
				}
				header := http.Header{"Accept": {read.accept}, "Authorization": {"Bearer bench"}}
				b.ReportAllocs()
				for b.Loop() {
					r := httptest.NewRequest(http.MethodGet, u.String(), nil)
					r.Header = header.Clone()
					w := &sink{header: http.Header{}}
					h.ServeHTTP(w, r)
					if w.code != http.StatusOK {
						b.Fatal(w.code)
					}
					b.SetBytes(w.bytes)
				}
			})
		}
	}
}

// filled is the handler of a server with so many pods, a tenth of which have the same label and
// a hundredth of which are on the same node.
func filled(b *testing.B, size int) http.Handler {
	b.Helper()
	server, err := apiserver.New(memory.New(memory.Config{}), apiserver.Config{
		Logger: slog.New(slog.DiscardHandler), StaticTokens: map[string]auth.User{"bench": auth.Admin()},
	})
	if err != nil {
		b.Fatal(err)
	}
	run(b, server)
	t := server.Client(auth.Admin())
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "default"}}
	if _, err := client.Of[*corev1.ServiceAccount](t).Create(b.Context(), account); err != nil {
		b.Fatal(err)
	}
	for i := range size {
		p := pod(fmt.Sprintf("p%05d", i))
		p.Namespace, p.Labels = "default", map[string]string{"tenth": fmt.Sprint(i % 10)}
		p.Spec.NodeName = fmt.Sprint("n", i%100)
		if _, err := client.Of[*corev1.Pod](t).Create(b.Context(), p); err != nil {
			b.Fatal(err)
		}
	}
	return server.Handler()
}

// run runs a server without a listener until the benchmark ends.
func run(b *testing.B, server *apiserver.Server) {
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { ended <- server.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	})
	<-server.Ready()
}
