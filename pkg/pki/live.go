package pki

import (
	"crypto/tls"
	"fmt"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// retryAfter is the pause before a failed renewal is tried again.
const retryAfter = time.Minute

// Live is a certificate that replaces itself: whoever serves or dials with it asks for
// the current one at every handshake, so that a renewal needs no restart.
type Live struct {
	load  func() (Pair, error)
	every time.Duration
	clock clock.PassiveClock

	mu      sync.Mutex
	current *tls.Certificate // guarded by mu
	next    time.Time        // guarded by mu: when to load again
}

// NewLive returns a certificate that load is asked for now, again when two thirds of its
// life are over, and, if every is positive, at least that often (for certificates that
// somebody else renews on disk).
func NewLive(load func() (Pair, error), every time.Duration, clk clock.PassiveClock) (*Live, error) {
	l := &Live{load: load, every: every, clock: clk}
	if err := l.renew(clk.Now()); err != nil {
		return nil, err
	}
	return l, nil
}

// Current returns the certificate to use now. If it cannot be renewed the old one is kept
// and renewal is tried again later: an expired certificate tells more than none.
func (l *Live) Current() *tls.Certificate {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := l.clock.Now(); now.After(l.next) {
		if err := l.renew(now); err != nil {
			l.next = now.Add(retryAfter)
		}
	}
	return l.current
}

// GetCertificate is for tls.Config of a server.
func (l *Live) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return l.Current(), nil
}

// GetClientCertificate is for tls.Config of a client.
func (l *Live) GetClientCertificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return l.Current(), nil
}

func (l *Live) renew(now time.Time) error {
	pair, err := l.load()
	if err != nil {
		return fmt.Errorf("loading a certificate: %w", err)
	}
	cert, err := pair.TLS()
	if err != nil {
		return fmt.Errorf("loading a certificate: %w", err)
	}
	l.current, l.next = &cert, renewalTime(cert.Leaf)
	if l.every > 0 && now.Add(l.every).Before(l.next) {
		l.next = now.Add(l.every)
	}
	if !l.next.After(now) { // already overdue and nothing newer to be had
		l.next = now.Add(retryAfter)
	}
	return nil
}
