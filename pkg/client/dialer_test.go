package client_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"

	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/pki"
)

func TestClientCertificateIsReadAgain(t *testing.T) {
	ca, err := pki.NewCA(clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}
	issue := func(s pki.Subject) pki.Pair {
		p, err := ca.Issue(s)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	serving, err := issue(pki.Subject{Name: "server", Hosts: []string{"127.0.0.1"}, Server: true}).TLS()
	if err != nil {
		t.Fatal(err)
	}
	var who string
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who = r.TLS.PeerCertificates[0].Subject.CommonName
		w.Header().Set("Content-Type", runtime.ContentTypeProtobuf)
		_, _ = w.Write(protobuf(t, pod("a", ""), "v1", "Pod"))
	}))
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{serving}, ClientCAs: ca.Pool(), ClientAuth: tls.RequireAndVerifyClientCert}
	srv.StartTLS()
	defer srv.Close()

	dir := t.TempDir()
	cfg := client.HTTPConfig{Server: srv.URL, CAData: ca.PEM(), CertFile: filepath.Join(dir, "c"), KeyFile: filepath.Join(dir, "k")}
	write := func(path string, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	first, second := issue(pki.Subject{Name: "first", Client: true}), issue(pki.Subject{Name: "the-second", Client: true})
	write(cfg.CertFile, first.Cert)
	write(cfg.KeyFile, first.Key)
	tr, err := client.NewHTTP(cfg)
	if err != nil {
		t.Fatal(err)
	}
	expect := func(want, reason string) {
		t.Helper()
		if _, err := client.Of[*corev1.Pod](tr).Get(t.Context(), "d", "a"); err != nil || who != want {
			t.Errorf("the server sees %q, want %q (%v): %s", who, want, err, reason)
		}
	}
	expect("first", "as at the start")
	write(cfg.CertFile, second.Cert)
	expect("first", "the key does not fit the new certificate yet")
	write(cfg.KeyFile, second.Key)
	expect("the-second", "both were replaced")
	if err := os.Remove(cfg.CertFile); err != nil {
		t.Fatal(err)
	}
	expect("the-second", "what was read last goes on working")
}

func TestCredentialsAreCheckedAtOnce(t *testing.T) {
	dir := t.TempDir()
	tests := []struct {
		name string
		cfg  client.HTTPConfig
	}{
		{"no server", client.HTTPConfig{}},
		{"not a URL", client.HTTPConfig{Server: "host:1"}},
		{"no certificate file", client.HTTPConfig{Server: "https://h", CertFile: filepath.Join(dir, "c"), KeyFile: filepath.Join(dir, "k")}},
		{"bad authority", client.HTTPConfig{Server: "https://h", CAData: []byte("x")}},
		{"bad pair", client.HTTPConfig{Server: "https://h", CertData: []byte("x"), KeyData: []byte("y")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := client.NewHTTP(tt.cfg); err == nil {
				t.Error("it is accepted")
			}
		})
	}
}
