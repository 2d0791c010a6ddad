package client

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// dialer makes connections with the credentials as they are now: when the files behind them
// change, later calls use new connections, and the old ones are closed when idle.
type dialer struct {
	cfg  HTTPConfig
	cert *file // nil: not from files
	key  *file
	ca   *file

	mu   sync.Mutex
	http *http.Client // guarded by mu
}

func newDialer(cfg HTTPConfig) (*dialer, error) {
	d := &dialer{cfg: cfg}
	if cfg.CertFile != "" {
		d.cert, d.key = &file{path: cfg.CertFile}, &file{path: cfg.KeyFile}
	}
	if cfg.CAFile != "" {
		d.ca = &file{path: cfg.CAFile}
	}
	if _, err := d.changed(); err != nil {
		return nil, err
	}
	c, err := d.build()
	if err != nil {
		return nil, err
	}
	d.http = c
	return d, nil
}

// client returns the HTTP client to use now. If new credentials cannot be used the old ones
// stay: a certificate and its key cannot be replaced at one instant.
func (d *dialer) client() *http.Client {
	d.mu.Lock()
	defer d.mu.Unlock()
	if changed, err := d.changed(); !changed || err != nil {
		return d.http
	}
	if c, err := d.build(); err == nil {
		d.http.CloseIdleConnections()
		d.http = c
	} else {
		d.cert.forget()
	}
	return d.http
}

// changed reads the files whose time or size is not as it was.
func (d *dialer) changed() (bool, error) {
	var changed bool
	var errs []error
	for _, f := range []*file{d.cert, d.key, d.ca} {
		if f != nil {
			c, err := f.refresh()
			changed = changed || c
			errs = append(errs, err)
		}
	}
	return changed, errors.Join(errs...)
}

// build makes a client from what was read last.
func (d *dialer) build() (*http.Client, error) {
	conf := &tls.Config{ServerName: d.cfg.ServerName, InsecureSkipVerify: d.cfg.Insecure} // only when the user asks for it
	ca, cert, key := d.cfg.CAData, d.cfg.CertData, d.cfg.KeyData
	if d.ca != nil {
		ca = d.ca.data
	}
	if d.cert != nil {
		cert, key = d.cert.data, d.key.data
	}
	if len(ca) > 0 {
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(ca) {
			return nil, errors.New("the certificate authority holds no PEM certificate")
		}
	}
	if len(cert) > 0 {
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("reading the client certificate: %w", err)
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return &http.Client{
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
			TLSClientConfig:     conf,
			TLSHandshakeTimeout: 5 * time.Second,
			ForceAttemptHTTP2:   true,
			MaxIdleConnsPerHost: 16,
			IdleConnTimeout:     90 * time.Second,
			// A server that died without a word is noticed by its silence, also under a watch.
			HTTP2: &http.HTTP2Config{SendPingTimeout: 10 * time.Second, PingTimeout: 5 * time.Second},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// file is a file's content as last read.
type file struct {
	path string
	data []byte
	mod  time.Time
	size int64
}

// refresh reads the file if it looks different from when it was read, and reports whether
// its content differs.
func (f *file) refresh() (changed bool, err error) {
	info, err := os.Stat(f.path)
	if err != nil {
		return false, fmt.Errorf("reading credentials: %w", err)
	}
	if info.ModTime().Equal(f.mod) && info.Size() == f.size {
		return false, nil
	}
	data, err := os.ReadFile(f.path)
	if err != nil {
		return false, fmt.Errorf("reading credentials: %w", err)
	}
	changed = !bytes.Equal(data, f.data)
	f.data, f.mod, f.size = data, info.ModTime(), info.Size()
	return changed, nil
}

// forget makes the next refresh read again.
func (f *file) forget() {
	if f != nil {
		f.data, f.mod = nil, time.Time{}
	}
}

// tokenSource returns what gives the bearer token to send now; "" is none.
func tokenSource(cfg HTTPConfig) (func() (string, error), error) {
	if cfg.TokenFile == "" {
		return func() (string, error) { return cfg.Token, nil }, nil
	}
	f := &file{path: cfg.TokenFile}
	var mu sync.Mutex
	read := func() (string, error) {
		mu.Lock()
		defer mu.Unlock()
		if _, err := f.refresh(); err != nil && f.data == nil {
			return "", err
		}
		return strings.TrimSpace(string(f.data)), nil
	}
	_, err := read()
	return read, err
}
