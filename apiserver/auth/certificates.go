package auth

import (
	"crypto/subtle"
	"crypto/x509"
	"fmt"
	"net/http"
	"slices"

	"k8s.io/utils/clock"
)

// Certificates authenticates by client certificate: the common name is the user, the
// organizations are the groups.
type Certificates struct {
	roots *x509.CertPool
	clock clock.PassiveClock
}

// NewCertificates returns an authenticator that trusts roots.
func NewCertificates(roots *x509.CertPool, clk clock.PassiveClock) *Certificates {
	return &Certificates{roots: roots, clock: clk}
}

// Authenticate implements Authenticator. The handshake has proved that the client holds
// the key; here the certificate is verified.
func (c *Certificates) Authenticate(r *http.Request) (User, bool, error) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return User{}, false, nil
	}
	leaf := r.TLS.PeerCertificates[0]
	intermediates := x509.NewCertPool()
	for _, cert := range r.TLS.PeerCertificates[1:] {
		intermediates.AddCert(cert)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: c.roots, Intermediates: intermediates, CurrentTime: c.clock.Now(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return User{}, false, fmt.Errorf("%w: client certificate: %w", ErrUnauthenticated, err)
	}
	if leaf.Subject.CommonName == "" {
		return User{}, false, fmt.Errorf("%w: the client certificate names nobody", ErrUnauthenticated)
	}
	return User{
		Name:   leaf.Subject.CommonName,
		Groups: authenticated(leaf.Subject.Organization),
	}, true, nil
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
