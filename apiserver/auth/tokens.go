package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/miniorch/miniorch/pkg/api"
)

// DefaultIssuer is the "iss" of service-account tokens unless configured otherwise.
const DefaultIssuer = "https://kubernetes.default.svc.cluster.local"

const (
	defaultTokenSeconds = 3600
	minTokenSeconds     = 600
	maxTokenSeconds     = 1 << 32

	// clockSkew is what hosts' clocks may differ by.
	clockSkew = 10 * time.Second

	podNameExtra  = "authentication.kubernetes.io/pod-name"
	podUIDExtra   = "authentication.kubernetes.io/pod-uid"
	nodeNameExtra = "authentication.kubernetes.io/node-name"
	nodeUIDExtra  = "authentication.kubernetes.io/node-uid"
)

// Reader finds the objects that a token is bound to. The error of an object that is not
// there satisfies apierrors.IsNotFound.
type Reader interface {
	Get(ctx context.Context, gvr schema.GroupVersionResource, namespace, name string) (api.Object, error)
}

// TokensConfig tunes Tokens; zero fields have defaults.
type TokensConfig struct {
	Issuer    string   // default DefaultIssuer
	Audiences []string // of the API server, first is the default for new tokens; default the issuer
	// OtherKeys are former signing keys whose tokens are still good.
	OtherKeys []*ecdsa.PublicKey
	Clock     clock.PassiveClock
}

// Tokens issues service-account tokens and checks them. A token lives no longer than what it
// is bound to: it is worthless as soon as the Reader no longer finds the account, the pod or
// the secret.
type Tokens struct {
	key  *ecdsa.PrivateKey
	cfg  TokensConfig
	keys map[string]*ecdsa.PublicKey // by key ID
	read Reader
}

// NewTokens returns the issuer that signs with key.
func NewTokens(key *ecdsa.PrivateKey, cfg TokensConfig) (*Tokens, error) {
	if cfg.Issuer == "" {
		cfg.Issuer = DefaultIssuer
	}
	if len(cfg.Audiences) == 0 {
		cfg.Audiences = []string{cfg.Issuer}
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.RealClock{}
	}
	t := &Tokens{key: key, cfg: cfg, keys: map[string]*ecdsa.PublicKey{}}
	for _, k := range append([]*ecdsa.PublicKey{&key.PublicKey}, cfg.OtherKeys...) {
		id, err := keyID(k)
		if err != nil {
			return nil, err
		}
		t.keys[id] = k
	}
	return t, nil
}

// Bind tells where the objects are that tokens are bound to. It is called once, before
// any token is checked.
func (t *Tokens) Bind(read Reader) { t.read = read }

// claims are what a token says, in the form that Kubernetes gives it.
type claims struct {
	jwt.RegisteredClaims
	Kubernetes private `json:"kubernetes.io"`
}

type private struct {
	Namespace      string    `json:"namespace"`
	ServiceAccount reference `json:"serviceaccount"`
	Pod            reference `json:"pod,omitzero"`
	Secret         reference `json:"secret,omitzero"`
	Node           reference `json:"node,omitzero"`
}

type reference struct {
	Name string    `json:"name"`
	UID  types.UID `json:"uid"`
}

func refTo(obj api.Object) reference { return reference{Name: obj.GetName(), UID: obj.GetUID()} }

// IssueToken implements the engine's TokenIssuer. bound is what the request binds the token
// to, nil if nothing.
func (t *Tokens) IssueToken(_ context.Context, sa *corev1.ServiceAccount, bound api.Object, req *authenticationv1.TokenRequest) (*authenticationv1.TokenRequest, error) {
	seconds := int64(defaultTokenSeconds)
	if req.Spec.ExpirationSeconds != nil {
		seconds = *req.Spec.ExpirationSeconds
	}
	switch {
	case seconds < minTokenSeconds:
		return nil, apierrors.NewBadRequest("spec.expirationSeconds: may not specify a duration less than 10 minutes")
	case seconds > maxTokenSeconds:
		return nil, apierrors.NewBadRequest("spec.expirationSeconds: may not specify a duration larger than 2^32 seconds")
	}
	audiences := req.Spec.Audiences
	if len(audiences) == 0 {
		audiences = t.cfg.Audiences
	}
	now := t.cfg.Clock.Now()
	expires := now.Add(time.Duration(seconds) * time.Second)
	c := claims{RegisteredClaims: jwt.RegisteredClaims{
		Issuer:    t.cfg.Issuer,
		Subject:   ServiceAccountPrefix + sa.Namespace + ":" + sa.Name,
		Audience:  audiences,
		IssuedAt:  jwt.NewNumericDate(now),
		NotBefore: jwt.NewNumericDate(now),
		ExpiresAt: jwt.NewNumericDate(expires),
	}, Kubernetes: private{Namespace: sa.Namespace, ServiceAccount: refTo(sa)}}
	if err := c.Kubernetes.bind(bound); err != nil {
		return nil, err
	}
	signed, err := t.sign(&c)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	out := req.DeepCopy()
	out.ObjectMeta.Name, out.ObjectMeta.Namespace = sa.Name, sa.Namespace
	out.ObjectMeta.CreationTimestamp = metav1.NewTime(now)
	out.Spec.Audiences, out.Spec.ExpirationSeconds = audiences, &seconds
	out.Status = authenticationv1.TokenRequestStatus{Token: signed, ExpirationTimestamp: metav1.NewTime(expires)}
	return out, nil
}

func (p *private) bind(bound api.Object) error {
	switch obj := bound.(type) {
	case nil:
	case *corev1.Pod:
		p.Pod = refTo(obj)
		if obj.Spec.NodeName != "" {
			p.Node = reference{Name: obj.Spec.NodeName}
		}
	case *corev1.Secret:
		p.Secret = refTo(obj)
	case *corev1.Node:
		p.Node = refTo(obj)
	default:
		return apierrors.NewBadRequest(fmt.Sprintf("a token cannot be bound to a %T", bound))
	}
	return nil
}

func (t *Tokens) sign(c *claims) (string, error) {
	id, err := keyID(&t.key.PublicKey)
	if err != nil {
		return "", err
	}
	token := jwt.NewWithClaims(jwt.SigningMethodES256, c)
	token.Header["kid"] = id
	signed, err := token.SignedString(t.key)
	if err != nil {
		return "", fmt.Errorf("signing a token: %w", err)
	}
	return signed, nil
}

// Authenticate implements Authenticator for bearer tokens that this issuer signed.
func (t *Tokens) Authenticate(r *http.Request) (User, bool, error) {
	raw, ok := bearerToken(r)
	if !ok || !t.mine(raw) {
		return User{}, false, nil
	}
	user, err := t.Check(r.Context(), raw, t.cfg.Audiences)
	return user, err == nil, err
}

// mine reports whether the token claims to be from this issuer, which says nothing yet
// about whether it is.
func (t *Tokens) mine(raw string) bool {
	var c claims
	_, _, err := jwt.NewParser().ParseUnverified(raw, &c)
	return err == nil && c.Issuer == t.cfg.Issuer
}

// audiencesOf reads for whom a token is, which says nothing about whether it is good.
func audiencesOf(raw string) ([]string, error) {
	var c claims
	_, _, err := jwt.NewParser().ParseUnverified(raw, &c)
	return c.Audience, err
}

// Check verifies signature, life time, audience and bindings and returns the account.
func (t *Tokens) Check(ctx context.Context, raw string, audiences []string) (User, error) {
	var c claims
	_, err := jwt.ParseWithClaims(raw, &c, t.publicKey,
		jwt.WithValidMethods([]string{jwt.SigningMethodES256.Alg()}),
		jwt.WithIssuer(t.cfg.Issuer), jwt.WithExpirationRequired(),
		jwt.WithTimeFunc(t.cfg.Clock.Now), jwt.WithLeeway(clockSkew))
	if err != nil {
		return User{}, fmt.Errorf("%w: %w", ErrUnauthenticated, err)
	}
	if !slices.ContainsFunc(audiences, func(a string) bool { return slices.Contains(c.Audience, a) }) {
		return User{}, fmt.Errorf("%w: token is for other audiences", ErrUnauthenticated)
	}
	if err := t.checkBindings(ctx, c.Kubernetes); err != nil {
		return User{}, err
	}
	return c.user(), nil
}

func (t *Tokens) publicKey(token *jwt.Token) (any, error) {
	id, _ := token.Header["kid"].(string)
	key, ok := t.keys[id]
	if !ok {
		return nil, errors.New("signed with an unknown key")
	}
	return key, nil
}

// checkBindings makes sure that everything the token is bound to is still the same.
func (t *Tokens) checkBindings(ctx context.Context, p private) error {
	if t.read == nil {
		return errors.New("no registry to check service accounts against")
	}
	for _, b := range []struct {
		resource, namespace string
		ref                 reference
	}{
		{"serviceaccounts", p.Namespace, p.ServiceAccount},
		{"pods", p.Namespace, p.Pod},
		{"secrets", p.Namespace, p.Secret},
		{"nodes", "", p.Node},
	} {
		if b.ref.UID == "" && b.resource != "serviceaccounts" {
			continue // not bound to one, or (node of a pod) only named
		}
		obj, err := t.read.Get(ctx, corev1.SchemeGroupVersion.WithResource(b.resource), b.namespace, b.ref.Name)
		switch {
		case apierrors.IsNotFound(err):
			return fmt.Errorf("%w: %s %q is gone", ErrUnauthenticated, b.resource, b.ref.Name)
		case err != nil:
			return fmt.Errorf("checking a token: %w", err)
		case obj.GetUID() != b.ref.UID:
			return fmt.Errorf("%w: %s %q is not the one that the token is bound to", ErrUnauthenticated, b.resource, b.ref.Name)
		}
		if d := obj.GetDeletionTimestamp(); d != nil && d.Add(time.Minute).Before(t.cfg.Clock.Now()) {
			return fmt.Errorf("%w: %s %q has been deleted", ErrUnauthenticated, b.resource, b.ref.Name)
		}
	}
	return nil
}

func (c *claims) user() User {
	u := User{
		Name:   c.Subject,
		UID:    string(c.Kubernetes.ServiceAccount.UID),
		Groups: []string{GroupServiceAccounts, GroupServiceAccounts + ":" + c.Kubernetes.Namespace, GroupAuthenticated},
		Extra:  map[string][]string{},
	}
	put := func(key, value string) {
		if value != "" {
			u.Extra[key] = []string{value}
		}
	}
	put(podNameExtra, c.Kubernetes.Pod.Name)
	put(podUIDExtra, string(c.Kubernetes.Pod.UID))
	put(nodeNameExtra, c.Kubernetes.Node.Name)
	put(nodeUIDExtra, string(c.Kubernetes.Node.UID))
	return u
}

func bearerToken(r *http.Request) (string, bool) {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "bearer") {
		return "", false
	}
	token = strings.TrimSpace(token)
	return token, token != ""
}

func keyID(key *ecdsa.PublicKey) (string, error) {
	raw, err := key.Bytes()
	if err != nil {
		return "", fmt.Errorf("reading a public key: %w", err)
	}
	sum := sha256.Sum256(raw)
	return base64.RawURLEncoding.EncodeToString(sum[:]), nil
}

// JWK is a public key as OpenID Connect publishes it.
type JWK struct {
	Use       string `json:"use"`
	KeyType   string `json:"kty"`
	KeyID     string `json:"kid"`
	Curve     string `json:"crv"`
	Algorithm string `json:"alg"`
	X         string `json:"x"`
	Y         string `json:"y"`
}

// Issuer returns the "iss" of the tokens.
func (t *Tokens) Issuer() string { return t.cfg.Issuer }

// JWKS returns the keys with which others can check the tokens, without knowing whether
// what they are bound to still exists.
func (t *Tokens) JWKS() ([]JWK, error) {
	var out []JWK
	for id, key := range t.keys {
		raw, err := key.Bytes() // 4, x, y
		if err != nil || len(raw) != 65 {
			return nil, fmt.Errorf("key %s is not on P-256", id)
		}
		out = append(out, JWK{Use: "sig", KeyType: "EC", KeyID: id, Curve: "P-256", Algorithm: "ES256",
			X: encodeCoordinate(raw[1:33]), Y: encodeCoordinate(raw[33:])})
	}
	slices.SortFunc(out, func(a, b JWK) int { return strings.Compare(a.KeyID, b.KeyID) })
	return out, nil
}

func encodeCoordinate(b []byte) string {
	return base64.RawURLEncoding.EncodeToString(new(big.Int).SetBytes(b).FillBytes(make([]byte, 32)))
}
