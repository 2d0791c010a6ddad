package pki

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
)

func TestOpenCAKeepsTheAuthority(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	first, err := OpenCA(dir, clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}
	second, err := OpenCA(dir, clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.PEM(), second.PEM()) {
		t.Error("opening the CA again made another one")
	}
	if mode := fileMode(t, filepath.Join(dir, "ca.key")); mode != 0o600 {
		t.Errorf("ca.key has mode %o, want 600", mode)
	}
}

func TestOpenCARefusesHalfAnAuthority(t *testing.T) {
	tests := []struct {
		name, reason string
		spoil        func(t *testing.T, dir string)
	}{
		{"lost key", "a new CA would lock out who trusts the old", func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, "ca.key"))) }},
		{"garbled key", "never overwrite what may be repaired by hand", func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, "ca.key"), []byte("junk"), 0o600))
		}},
		{"foreign key", "certificates would not verify", func(t *testing.T, dir string) {
			must(t, os.Remove(filepath.Join(dir, "ca.key")))
			_, err := OpenSigningKey(filepath.Join(dir, "ca.key"))
			must(t, err)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			_, err := OpenCA(dir, clock.RealClock{})
			must(t, err)
			tt.spoil(t, dir)
			if _, err := OpenCA(dir, clock.RealClock{}); err == nil {
				t.Errorf("opened without error; %s", tt.reason)
			}
		})
	}
	t.Run("key without certificate", func(t *testing.T) {
		dir := t.TempDir()
		_, err := OpenCA(dir, clock.RealClock{})
		must(t, err)
		must(t, os.Remove(filepath.Join(dir, "ca.crt")))
		if _, err := OpenCA(dir, clock.RealClock{}); err != nil {
			t.Errorf("a first start that crashed halfway must be repeatable: %v", err)
		}
	})
}

func TestEnsureReissuesOnlyWhenNeeded(t *testing.T) {
	base := Subject{Name: "system:node:a", Groups: []string{"system:nodes"}, Hosts: []string{"a", "10.0.0.1"}, Server: true, Client: true}
	tests := []struct {
		name    string
		change  func(s *Subject, clk *clocktesting.FakePassiveClock)
		reissue bool
	}{
		{"nothing changed", func(*Subject, *clocktesting.FakePassiveClock) {}, false},
		{"hosts in another order", func(s *Subject, _ *clocktesting.FakePassiveClock) { s.Hosts = []string{"10.0.0.1", "a"} }, false},
		{"half the life over", func(_ *Subject, c *clocktesting.FakePassiveClock) { c.SetTime(c.Now().Add(leafLifetime / 2)) }, false},
		{"two thirds of the life over", func(_ *Subject, c *clocktesting.FakePassiveClock) { c.SetTime(c.Now().Add(leafLifetime * 7 / 10)) }, true},
		{"another address", func(s *Subject, _ *clocktesting.FakePassiveClock) { s.Hosts = []string{"a", "10.0.0.2"} }, true},
		{"another name", func(s *Subject, _ *clocktesting.FakePassiveClock) { s.Name = "system:node:b" }, true},
		{"another group", func(s *Subject, _ *clocktesting.FakePassiveClock) { s.Groups = nil }, true},
		{"another usage", func(s *Subject, _ *clocktesting.FakePassiveClock) { s.Client = false }, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			clk := clocktesting.NewFakePassiveClock(time.Now())
			ca, err := NewCA(clk)
			must(t, err)
			first, err := ca.Ensure(dir, "node", base)
			must(t, err)
			s := base
			tt.change(&s, clk)
			second, err := ca.Ensure(dir, "node", s)
			must(t, err)
			if reissued := !bytes.Equal(first.Cert, second.Cert); reissued != tt.reissue {
				t.Errorf("reissued = %v, want %v", reissued, tt.reissue)
			}
		})
	}
	t.Run("another authority", func(t *testing.T) {
		dir := t.TempDir()
		a, _ := NewCA(clock.RealClock{})
		b, _ := NewCA(clock.RealClock{})
		first, err := a.Ensure(dir, "node", base)
		must(t, err)
		second, err := b.Ensure(dir, "node", base)
		must(t, err)
		if bytes.Equal(first.Cert, second.Cert) {
			t.Error("a certificate of another CA was kept")
		}
	})
}

// handshake runs mutual TLS between two pairs and returns the server's view of the client.
func handshake(t *testing.T, serverCfg, clientCfg *tls.Config) (*x509.Certificate, error) {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	server := tls.Server(a, serverCfg)
	go func() {
		c := tls.Client(b, clientCfg)
		if c.Handshake() == nil {
			_, _ = io.Copy(io.Discard, c) // TLS 1.3: alerts arrive on read
		}
		_ = b.Close()
	}()
	_ = server.SetDeadline(time.Now().Add(5 * time.Second))
	if err := server.Handshake(); err != nil {
		return nil, err
	}
	return server.ConnectionState().PeerCertificates[0], nil
}

func TestIssuedCertificatesAuthenticateBothSides(t *testing.T) {
	ca, err := NewCA(clock.RealClock{})
	must(t, err)
	serve, err := ca.Issue(Subject{Name: "api", Hosts: []string{"localhost", "127.0.0.1"}, Server: true})
	must(t, err)
	call, err := ca.Issue(Subject{Name: "alice", Groups: []string{"system:masters"}, Client: true})
	must(t, err)
	serverCert, _ := serve.TLS()
	clientCert, _ := call.TLS()
	server := &tls.Config{Certificates: []tls.Certificate{serverCert}, ClientCAs: ca.Pool(), ClientAuth: tls.RequireAndVerifyClientCert}

	peer, err := handshake(t, server, &tls.Config{RootCAs: ca.Pool(), ServerName: "127.0.0.1", Certificates: []tls.Certificate{clientCert}})
	must(t, err)
	if peer.Subject.CommonName != "alice" || peer.Subject.Organization[0] != "system:masters" {
		t.Errorf("the server saw %v", peer.Subject)
	}
	if _, err := handshake(t, server, &tls.Config{RootCAs: ca.Pool(), ServerName: "127.0.0.1", Certificates: []tls.Certificate{serverCert}}); err == nil {
		t.Error("a serving certificate was accepted as a client's")
	}
	if _, err := handshake(t, server, &tls.Config{RootCAs: ca.Pool(), ServerName: "other", Certificates: []tls.Certificate{clientCert}}); err == nil {
		t.Error("the client accepted a server under a name it has no certificate for")
	}
}

func TestLiveRenews(t *testing.T) {
	clk := clocktesting.NewFakePassiveClock(time.Now())
	ca, err := NewCA(clk)
	must(t, err)
	fail := false
	loads := 0
	live, err := NewLive(func() (Pair, error) {
		loads++
		if fail {
			return Pair{}, errors.New("disk is gone")
		}
		return ca.Issue(Subject{Name: "x", Server: true})
	}, 0, clk)
	must(t, err)
	first := live.Current()
	if live.Current() != first || loads != 1 {
		t.Fatal("a fresh certificate was loaded again")
	}
	clk.SetTime(clk.Now().Add(leafLifetime * 7 / 10))
	fail = true
	if live.Current() != first {
		t.Error("a failed renewal must keep the old certificate")
	}
	fail = false
	if live.Current() != first || loads != 2 {
		t.Error("a failed renewal must not be repeated at every handshake")
	}
	clk.SetTime(clk.Now().Add(2 * retryAfter))
	if live.Current() == first {
		t.Error("not renewed after two thirds of its life")
	}
}

func fileMode(t *testing.T, path string) os.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	return info.Mode().Perm()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
