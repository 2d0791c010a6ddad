package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Subject says what a certificate is issued for.
type Subject struct {
	Name   string   // common name: the user's name
	Groups []string // organizations: the user's groups
	Hosts  []string // DNS names and IP addresses that a server answers under
	Server bool     // may serve
	Client bool     // may call

	Lifetime time.Duration // zero: a year
}

// Pair is a certificate with its private key, both PEM.
type Pair struct {
	Cert []byte
	Key  []byte
}

// TLS returns the pair as crypto/tls takes it.
func (p Pair) TLS() (tls.Certificate, error) { return tls.X509KeyPair(p.Cert, p.Key) }

// Issue makes a new key and a certificate for it.
func (ca *CA) Issue(s Subject) (Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, fmt.Errorf("making a key for %q: %w", s.Name, err)
	}
	serial, err := newSerial()
	if err != nil {
		return Pair{}, err
	}
	der, err := x509.CreateCertificate(rand.Reader, ca.template(s, serial), ca.cert, key.Public(), ca.key)
	if err != nil {
		return Pair{}, fmt.Errorf("signing the certificate of %q: %w", s.Name, err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return Pair{}, err
	}
	return Pair{Cert: encodeCert(der), Key: keyPEM}, nil
}

// template fills a certificate for s. It never outlives the authority.
func (ca *CA) template(s Subject, serial *big.Int) *x509.Certificate {
	lifetime := s.Lifetime
	if lifetime <= 0 {
		lifetime = leafLifetime
	}
	now := ca.clock.Now()
	t := &x509.Certificate{
		Subject:               pkix.Name{CommonName: s.Name, Organization: s.Groups},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(lifetime),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
	}
	t.SerialNumber = serial
	if t.NotAfter.After(ca.cert.NotAfter) {
		t.NotAfter = ca.cert.NotAfter
	}
	if s.Server {
		t.ExtKeyUsage = append(t.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	if s.Client {
		t.ExtKeyUsage = append(t.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
	}
	t.DNSNames, t.IPAddresses = splitHosts(s.Hosts)
	return t
}

// Ensure returns the pair kept in dir as name.crt and name.key if it still serves:
// issued by this authority, for this subject, with a third of its life left. Otherwise it
// issues and keeps a new one.
func (ca *CA) Ensure(dir, name string, s Subject) (Pair, error) {
	certPath, keyPath := filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	certPEM, certErr := os.ReadFile(certPath)
	keyPEM, keyErr := os.ReadFile(keyPath)
	if certErr == nil && keyErr == nil {
		pair := Pair{Cert: certPEM, Key: keyPEM}
		if ca.check(pair, s) == nil {
			return pair, nil
		}
	}
	pair, err := ca.Issue(s)
	if err != nil {
		return Pair{}, err
	}
	if err := WriteFile(keyPath, pair.Key, 0o600); err != nil {
		return Pair{}, fmt.Errorf("keeping the key of %q: %w", s.Name, err)
	}
	if err := WriteFile(certPath, pair.Cert, 0o644); err != nil {
		return Pair{}, fmt.Errorf("keeping the certificate of %q: %w", s.Name, err)
	}
	return pair, nil
}

// check says why a pair that was found on disk cannot be used for s, nil if it can.
func (ca *CA) check(p Pair, s Subject) error {
	pair, err := p.TLS() // also: key and certificate belong together
	if err != nil {
		return err
	}
	cert := pair.Leaf
	if err := cert.CheckSignatureFrom(ca.cert); err != nil {
		return err
	}
	want := ca.template(s, nil)
	switch now := ca.clock.Now(); {
	case now.Before(cert.NotBefore) || now.After(renewalTime(cert)):
		return errors.New("due for renewal")
	case cert.Subject.CommonName != want.Subject.CommonName,
		!sameSet(cert.Subject.Organization, want.Subject.Organization):
		return errors.New("another subject")
	case !sameSet(cert.DNSNames, want.DNSNames), !sameSet(ipStrings(cert.IPAddresses), ipStrings(want.IPAddresses)):
		return errors.New("other hosts")
	case !slices.Equal(cert.ExtKeyUsage, want.ExtKeyUsage):
		return errors.New("another usage")
	}
	return nil
}

// renewalTime is when two thirds of the certificate's life are over.
func renewalTime(cert *x509.Certificate) time.Time {
	return cert.NotBefore.Add(cert.NotAfter.Sub(cert.NotBefore) * 2 / 3)
}

func splitHosts(hosts []string) (names []string, ips []net.IP) {
	for _, h := range hosts {
		if h == "" {
			continue
		}
		if ip := net.ParseIP(h); ip != nil {
			ips = append(ips, ip)
		} else {
			names = append(names, h)
		}
	}
	return names, ips
}

func ipStrings(ips []net.IP) []string {
	out := make([]string, len(ips))
	for i, ip := range ips {
		out[i] = ip.String()
	}
	return out
}

func sameSet(a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(slices.Compact(a), slices.Compact(b))
}
