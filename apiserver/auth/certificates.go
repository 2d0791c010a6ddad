package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// maxVerified bounds how many verified certificates are remembered.
const maxVerified = 1024

// Certificates authenticates by client certificate: the common name is the user, the
// organizations are the groups.
type Certificates struct {
	roots *x509.CertPool
	clock clock.PassiveClock

	mu sync.Mutex
	// verified remembers whom a certificate names and until when it is good, as verifying
	// one takes longer than most requests. Guarded by mu.
	verified map[[sha256.Size]byte]verified
}

type verified struct {
	user          User
	begins, until time.Time
}

// NewCertificates returns an authenticator that trusts roots.
func NewCertificates(roots *x509.CertPool, clk clock.PassiveClock) *Certificates {
	return &Certificates{roots: roots, clock: clk, verified: map[[sha256.Size]byte]verified{}}
}

// Authenticate implements Authenticator. The handshake has proved that the client holds
// the key; here the certificate is verified.
func (c *Certificates) Authenticate(r *http.Request) (User, bool, error) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return User{}, false, nil
	}
	shown := r.TLS.PeerCertificates
	key, now := digest(shown), c.clock.Now()
	if user, ok := c.recall(key, now); ok {
		return user, true, nil
	}
	v, err := c.verify(shown, now)
	if err != nil {
		return User{}, false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.verified) >= maxVerified {
		clear(c.verified)
	}
	c.verified[key] = v
	return v.user, true, nil
}

// digest identifies a chain, all of it.
func digest(chain []*x509.Certificate) (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, cert := range chain {
		h.Write(cert.Raw)
	}
	h.Sum(sum[:0])
	return sum
}

func (c *Certificates) recall(key [sha256.Size]byte, now time.Time) (User, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.verified[key]
	return v.user, ok && now.After(v.begins) && now.Before(v.until)
}

func (c *Certificates) verify(shown []*x509.Certificate, now time.Time) (verified, error) {
	leaf, intermediates := shown[0], x509.NewCertPool()
	for _, cert := range shown[1:] {
		intermediates.AddCert(cert)
	}
	chains, err := leaf.Verify(x509.VerifyOptions{
		Roots: c.roots, Intermediates: intermediates, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return verified{}, fmt.Errorf("%w: client certificate: %w", ErrUnauthenticated, err)
	}
	if leaf.Subject.CommonName == "" {
		return verified{}, fmt.Errorf("%w: the client certificate names nobody", ErrUnauthenticated)
	}
	v := verified{
		user:   User{Name: leaf.Subject.CommonName, Groups: authenticated(leaf.Subject.Organization)},
		begins: leaf.NotBefore, until: leaf.NotAfter,
	}
	for _, cert := range chains[0] {
		if cert.NotAfter.Before(v.until) {
			v.until = cert.NotAfter
		}
	}
	return v, nil
}

// authenticated adds the group of everybody who has shown who they are.
func authenticated(groups []string) []string {
	groups = slices.DeleteFunc(slices.Clone(groups), func(g string) bool { return g == GroupUnauthenticated })
	if !slices.Contains(groups, GroupAuthenticated) {
		groups = append(groups, GroupAuthenticated)
	}
	return groups
}

// StaticTokens authenticates by bearer tokens that are configured, each with its user.
type StaticTokens map[string]User

// Authenticate implements Authenticator. Comparing takes the same time for every token of
// a length, so that a token cannot be guessed bit by bit.
func (s StaticTokens) Authenticate(r *http.Request) (User, bool, error) {
	shown, ok := bearerToken(r)
	if !ok {
		return User{}, false, nil
	}
	var found *User
	for token, user := range s {
		if subtle.ConstantTimeCompare([]byte(token), []byte(shown)) == 1 {
			user.Groups = authenticated(user.Groups)
			found = &user
		}
	}
	if found == nil {
		return User{}, false, nil
	}
	return *found, true, nil
}

// NoTokens refuses every bearer token. It stands last in a Union: a token that nobody knows
// is an error and not a stranger's request.
type NoTokens struct{}

// Authenticate implements Authenticator.
func (NoTokens) Authenticate(r *http.Request) (User, bool, error) {
	if r.Header.Get("Authorization") == "" {
		return User{}, false, nil
	}
	return User{}, false, fmt.Errorf("%w: unknown bearer token", ErrUnauthenticated)
}
