package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
)

// lists measures LISTs of a namespace's pods, up to the last byte, beside a server that has
// nothing to do but to send as many bytes.
func (b *bench) lists(ctx context.Context, c *rest.Config, ns string) error {
	client, err := rest.HTTPClientFor(c)
	if err != nil {
		return err
	}
	sender := newSender()
	defer sender.Close()
	for _, format := range []struct{ name, query, media string }{
		{"JSON", "", runtime.ContentTypeJSON}, {"protobuf", "", runtime.ContentTypeProtobuf},
		{"as a table", "", "application/json;as=Table;v=v1;g=meta.k8s.io"},
		{"protobuf, the first 500", "?limit=500", runtime.ContentTypeProtobuf},
		{"protobuf, one in a hundred by label", "?labelSelector=hundredth%3D77", runtime.ContentTypeProtobuf},
	} {
		var took, limit []time.Duration
		var size int64
		for range listRounds {
			var d time.Duration
			if size, d, err = fetch(ctx, client, c.Host+"/api/v1/namespaces/"+ns+"/pods"+format.query, format.media); err != nil {
				return err
			}
			took = append(took, d)
			if _, d, err = fetch(ctx, sender.Client(), fmt.Sprintf("%s/?size=%d", sender.URL, size), ""); err != nil {
				return err
			}
			limit = append(limit, d)
		}
		b.add(row{
			what:     fmt.Sprintf("LIST of %d pods, %s (%.1f MB): first, p50", together, format.name, float64(size)/1e6),
			measured: ms(took[0]) + ", " + ms(percentile(took[1:], 50)),
			limit:    "the same bytes over TLS: p50 " + ms(percentile(limit[1:], 50)),
		})
	}
	return nil
}

func fetch(ctx context.Context, client *http.Client, url, media string) (size int64, took time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, 0, err
	}
	if media != "" {
		req.Header.Set("Accept", media)
	}
	began := time.Now()
	resp, err := client.Do(req)
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	size, err = io.Copy(io.Discard, resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, resp.Status)
	}
	return size, time.Since(began), err
}

// newSender serves ?size=N bytes over TLS and HTTP/2.
func newSender() *httptest.Server {
	var bytes []byte
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		size, err := strconv.Atoi(r.FormValue("size"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if len(bytes) < size {
			bytes = make([]byte, size)
		}
		_, _ = w.Write(bytes[:size])
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	return s
}
