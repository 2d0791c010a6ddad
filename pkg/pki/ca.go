// Package pki makes and keeps the cluster's keys: its certificate authority, the
// certificates that the authority issues, the key that signs service-account tokens, and
// kubeconfig files that carry them to people. Private keys are written with mode 0600 and
// every file is replaced atomically. It talks to no API and to no network.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"k8s.io/utils/clock"
)

const (
	caLifetime   = 10 * 365 * 24 * time.Hour
	leafLifetime = 365 * 24 * time.Hour
	// backdate makes new certificates valid on hosts whose clock is a little behind.
	backdate = 5 * time.Minute
)

// CA is a certificate authority.
type CA struct {
	cert  *x509.Certificate
	key   *ecdsa.PrivateKey
	pem   []byte
	clock clock.PassiveClock
}

// NewCA makes an authority that lives in memory only; tests use it.
func NewCA(clk clock.PassiveClock) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the CA's key: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	now := clk.Now()
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "miniorch-ca"},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(caLifetime),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("signing the CA certificate: %w", err)
	}
	return newCA(encodeCert(der), key, clk)
}

// OpenCA returns the authority kept in dir as ca.crt and ca.key; if neither file exists
// it makes a new one. One file without the other is an error: a new authority would
// lock out everybody who trusts the old one.
func OpenCA(dir string, clk clock.PassiveClock) (*CA, error) {
	certPath, keyPath := filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key")
	certPEM, certErr := os.ReadFile(certPath)
	keyPEM, keyErr := os.ReadFile(keyPath)
	if errors.Is(certErr, os.ErrNotExist) && errors.Is(keyErr, os.ErrNotExist) {
		return createCA(certPath, keyPath, clk)
	}
	// The key is written first, so a crash between the two leaves a key that nobody trusts yet.
	if errors.Is(certErr, os.ErrNotExist) && keyErr == nil {
		return createCA(certPath, keyPath, clk)
	}
	if err := errors.Join(certErr, keyErr); err != nil {
		return nil, fmt.Errorf("reading the CA: %w", err)
	}
	key, err := parseKey(keyPEM)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", keyPath, err)
	}
	ca, err := newCA(certPEM, key, clk)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", certPath, err)
	}
	return ca, nil
}

func createCA(certPath, keyPath string, clk clock.PassiveClock) (*CA, error) {
	ca, err := NewCA(clk)
	if err != nil {
		return nil, err
	}
	keyPEM, err := encodeKey(ca.key)
	if err != nil {
		return nil, err
	}
	if err := WriteFile(keyPath, keyPEM, 0o600); err != nil {
		return nil, fmt.Errorf("keeping the CA's key: %w", err)
	}
	if err := WriteFile(certPath, ca.pem, 0o644); err != nil {
		return nil, fmt.Errorf("keeping the CA certificate: %w", err)
	}
	return ca, nil
}

func newCA(certPEM []byte, key *ecdsa.PrivateKey, clk clock.PassiveClock) (*CA, error) {
	cert, err := parseCert(certPEM)
	if err != nil {
		return nil, err
	}
	if !key.PublicKey.Equal(cert.PublicKey) {
		return nil, errors.New("the CA certificate and key do not belong together")
	}
	if !cert.IsCA {
		return nil, errors.New("the certificate is not one of a CA")
	}
	return &CA{cert: cert, key: key, pem: certPEM, clock: clk}, nil
}

// PEM returns the authority's certificate.
func (ca *CA) PEM() []byte { return ca.pem }

// Pool returns a pool that trusts this authority alone.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	return pool
}

func newSerial() (*big.Int, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("making a serial number: %w", err)
	}
	return serial.Add(serial, big.NewInt(1)), nil
}
