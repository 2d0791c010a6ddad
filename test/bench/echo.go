package main

import (
	"io"
	"net/http"
	"net/http/httptest"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
)

// echoPeer is a server that answers a create with what it was sent: how fast this client can
// be on this machine, whatever the API server does.
type echoPeer struct {
	config *rest.Config
	stop   func()
}

func startEcho() *echoPeer {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", runtime.ContentTypeProtobuf)
		if r.Method == http.MethodGet {
			w.Header().Set("Content-Type", runtime.ContentTypeJSON)
			_, _ = io.WriteString(w, `{"apiVersion":"v1","kind":"Namespace"}`)
			return
		}
		w.WriteHeader(http.StatusCreated)
		_, _ = io.Copy(w, r.Body)
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	config := plain(&rest.Config{Host: s.URL, TLSClientConfig: rest.TLSClientConfig{Insecure: true}})
	return &echoPeer{config: config, stop: s.Close}
}
