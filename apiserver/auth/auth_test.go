package auth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/pki"
)

func TestComponents(t *testing.T) {
	known := []string{GroupAuthenticated}
	tests := []struct {
		name  string
		user  User
		attrs Attributes
		want  bool
	}{
		{"a stranger's health", Stranger(), Attributes{Verb: "get", Path: "/readyz"}, true},
		{"a stranger's single check", Stranger(), Attributes{Verb: "get", Path: "/livez/ping"}, true},
		{"a path that only begins alike", Stranger(), Attributes{Verb: "get", Path: "/livezz"}, false},
		{"a stranger writes to health", Stranger(), Attributes{Verb: "post", Path: "/readyz"}, false},
		{"a stranger's discovery", Stranger(), Attributes{Verb: "get", Path: "/api"}, false},
		{"somebody's discovery", User{Name: "bob", Groups: known}, Attributes{Verb: "get", Path: "/apis/apps/v1"}, true},
		{"somebody's metrics", User{Name: "bob", Groups: known}, Attributes{Verb: "get", Path: "/metrics"}, false},
		{"somebody's pods", User{Name: "bob", Groups: known}, Attributes{Verb: "get", Resource: "pods", Path: "/readyz"}, false},
		{"an administrator", Admin(), Attributes{Verb: "delete", Resource: "nodes"}, true},
		{"an administrator's metrics", Admin(), Attributes{Verb: "get", Path: "/metrics"}, true},
		{"a component", Component(UserScheduler), Attributes{Verb: "create", Resource: "pods", Subresource: "binding"}, true},
		{"a component's name without proof", User{Name: UserScheduler}, Attributes{Verb: "get", Resource: "pods"}, false},
		{"a node", User{Name: NodePrefix + "a", Groups: append(known, GroupNodes)}, Attributes{Verb: "get", Resource: "pods"}, true},
		{"a node lists as the proxy", User{Name: NodePrefix + "a", Groups: append(known, GroupNodes)}, Attributes{Verb: VerbImpersonate, Resource: "users", Name: UserProxy}, true},
		{"a node as DNS", User{Name: NodePrefix + "a", Groups: append(known, GroupNodes)}, Attributes{Verb: VerbImpersonate, Resource: "users", Name: UserDNS}, true},
		{"a node as the scheduler", User{Name: NodePrefix + "a", Groups: append(known, GroupNodes)}, Attributes{Verb: VerbImpersonate, Resource: "users", Name: UserScheduler}, false},
		{"a node as a group of the proxy's name", User{Name: NodePrefix + "a", Groups: append(known, GroupNodes)}, Attributes{Verb: VerbImpersonate, Resource: "groups", Name: UserProxy}, false},
		{"the scheduler as the proxy", Component(UserScheduler), Attributes{Verb: VerbImpersonate, Resource: "users", Name: UserProxy}, false},
		{"the proxy watches services", Component(UserProxy), Attributes{Verb: "watch", Resource: "services"}, true},
		{"DNS lists slices", Component(UserDNS), Attributes{Verb: "list", Group: "discovery.k8s.io", Resource: "endpointslices"}, true},
		{"the proxy writes services", Component(UserProxy), Attributes{Verb: "update", Resource: "services"}, false},
		{"the proxy reads secrets", Component(UserProxy), Attributes{Verb: "get", Resource: "secrets"}, false},
		{"a service's subresource", Component(UserProxy), Attributes{Verb: "get", Resource: "services", Subresource: "proxy"}, false},
		{"the proxy's name without proof", User{Name: UserProxy}, Attributes{Verb: "list", Resource: "services"}, false},
		{"a node's name alone", User{Name: NodePrefix + "a", Groups: known}, Attributes{Verb: "get", Resource: "pods"}, false},
		{"a service account", User{Name: ServiceAccountPrefix + "a:b", Groups: append(known, GroupServiceAccounts)}, Attributes{Verb: "get", Resource: "pods"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.attrs.User = tt.user
			if got, _, err := (Components{}).Authorize(t.Context(), tt.attrs); got != tt.want || err != nil {
				t.Errorf("got %v %v, want %v", got, err, tt.want)
			}
		})
	}
}

func TestForgettingToAuthenticateGrantsNothing(t *testing.T) {
	u, ok := UserFrom(context.Background())
	if ok || u.Name != Anonymous || u.InGroup(GroupAuthenticated) {
		t.Errorf("a context without a user carries %+v", u)
	}
}

// objects is a Reader for tests: "pods/ns/name" → object.
type objects map[string]api.Object

func (o objects) Get(_ context.Context, gvr schema.GroupVersionResource, ns, name string) (api.Object, error) {
	if obj, ok := o[gvr.Resource+"/"+ns+"/"+name]; ok {
		return obj, nil
	}
	return nil, apierrors.NewNotFound(gvr.GroupResource(), name)
}

func meta(ns, name, uid string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: ns, Name: name, UID: types.UID(uid)}
}

type tokenWorld struct {
	tokens  *Tokens
	clock   *clocktesting.FakePassiveClock
	objects objects
	sa      *corev1.ServiceAccount
	pod     *corev1.Pod
}

func newTokenWorld(t *testing.T) *tokenWorld {
	t.Helper()
	key, err := pki.NewSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	w := &tokenWorld{
		clock: clocktesting.NewFakePassiveClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)),
		sa:    &corev1.ServiceAccount{ObjectMeta: meta("shop", "web", "sa-1")},
		pod:   &corev1.Pod{ObjectMeta: meta("shop", "web-0", "pod-1"), Spec: corev1.PodSpec{NodeName: "n1"}},
	}
	w.objects = objects{"serviceaccounts/shop/web": w.sa, "pods/shop/web-0": w.pod}
	if w.tokens, err = NewTokens(key, TokensConfig{Clock: w.clock}); err != nil {
		t.Fatal(err)
	}
	w.tokens.Bind(w.objects)
	return w
}

func (w *tokenWorld) issue(t *testing.T, bound api.Object, spec authenticationv1.TokenRequestSpec) string {
	t.Helper()
	out, err := w.tokens.IssueToken(t.Context(), w.sa, bound, &authenticationv1.TokenRequest{Spec: spec})
	if err != nil {
		t.Fatal(err)
	}
	return out.Status.Token
}

func bearer(token string) *http.Request {
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}

func TestTokenNamesTheAccount(t *testing.T) {
	w := newTokenWorld(t)
	user, ok, err := w.tokens.Authenticate(bearer(w.issue(t, w.pod, authenticationv1.TokenRequestSpec{})))
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	want := User{
		Name: "system:serviceaccount:shop:web", UID: "sa-1",
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"},
		Extra: map[string][]string{
			"authentication.kubernetes.io/pod-name": {"web-0"}, "authentication.kubernetes.io/pod-uid": {"pod-1"},
			"authentication.kubernetes.io/node-name": {"n1"},
		},
	}
	if diff := cmp.Diff(want, user); diff != "" {
		t.Error(diff)
	}
}

func TestTokenStopsWorking(t *testing.T) {
	tests := []struct {
		name   string
		change func(w *tokenWorld, token string) string
	}{
		{"when it expires", func(w *tokenWorld, token string) string {
			w.clock.SetTime(w.clock.Now().Add(time.Hour + time.Minute))
			return token
		}},
		{"before it begins", func(w *tokenWorld, token string) string {
			w.clock.SetTime(w.clock.Now().Add(-time.Minute))
			return token
		}},
		{"when the account is gone", func(w *tokenWorld, token string) string {
			delete(w.objects, "serviceaccounts/shop/web")
			return token
		}},
		{"when the account is another", func(w *tokenWorld, token string) string {
			w.objects["serviceaccounts/shop/web"] = &corev1.ServiceAccount{ObjectMeta: meta("shop", "web", "sa-2")}
			return token
		}},
		{"when the pod is gone", func(w *tokenWorld, token string) string {
			delete(w.objects, "pods/shop/web-0")
			return token
		}},
		{"when the pod is another", func(w *tokenWorld, token string) string {
			w.objects["pods/shop/web-0"] = &corev1.Pod{ObjectMeta: meta("shop", "web-0", "pod-2")}
			return token
		}},
		{"a minute after the pod is being deleted", func(w *tokenWorld, token string) string {
			w.pod.DeletionTimestamp = &metav1.Time{Time: w.clock.Now().Add(-2 * time.Minute)}
			return token
		}},
		{"when it is changed", func(_ *tokenWorld, token string) string {
			parts := strings.Split(token, ".")
			parts[1] = jwtBody(t, strings.Replace(jwtText(t, parts[1]), "shop:web", "kube-system:admin", 1))
			return strings.Join(parts, ".")
		}},
		{"without a signature", func(_ *tokenWorld, token string) string {
			parts := strings.Split(token, ".")
			parts[0], parts[2] = jwtBody(t, `{"alg":"none","typ":"JWT"}`), ""
			return strings.Join(parts, ".")
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newTokenWorld(t)
			token := w.issue(t, w.pod, authenticationv1.TokenRequestSpec{})
			if _, ok, err := w.tokens.Authenticate(bearer(token)); !ok || err != nil {
				t.Fatal("it never worked", err)
			}
			user, ok, err := w.tokens.Authenticate(bearer(tt.change(w, token)))
			if ok || !errors.Is(err, ErrUnauthenticated) {
				t.Errorf("got %+v %v %v", user, ok, err)
			}
		})
	}
}

func jwtText(t *testing.T, part string) string {
	t.Helper()
	data, err := jwt.NewParser().DecodeSegment(part)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func jwtBody(t *testing.T, text string) string {
	t.Helper()
	return (&jwt.Token{}).EncodeSegment([]byte(text))
}

func TestTokenForOthers(t *testing.T) {
	w := newTokenWorld(t)
	vault := w.issue(t, nil, authenticationv1.TokenRequestSpec{Audiences: []string{"vault"}})
	if _, ok, err := w.tokens.Authenticate(bearer(vault)); ok || !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("a token for another audience opened the API: %v", err)
	}
	if u, err := w.tokens.Check(t.Context(), vault, []string{"vault"}); err != nil || u.Name != "system:serviceaccount:shop:web" {
		t.Errorf("its own audience: %v %v", u, err)
	}
	stranger := newTokenWorld(t)
	if _, ok, err := stranger.tokens.Authenticate(bearer(w.issue(t, nil, authenticationv1.TokenRequestSpec{}))); ok || !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("another cluster's token: %v", err)
	}
	foreign, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"iss": "https://elsewhere"}).SignedString([]byte("k"))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok, err := w.tokens.Authenticate(bearer(foreign)); ok || err != nil {
		t.Errorf("another issuer's token is not ours to judge: %v %v", ok, err)
	}
}

func TestTokenLifetimes(t *testing.T) {
	w := newTokenWorld(t)
	for seconds, good := range map[int64]bool{0: false, 599: false, 600: true, 86400: true, 1 << 33: false} {
		out, err := w.tokens.IssueToken(t.Context(), w.sa, nil, &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To(seconds)}})
		if (err == nil) != good {
			t.Errorf("%d seconds: %v", seconds, err)
		}
		if err == nil && !out.Status.ExpirationTimestamp.Equal(&metav1.Time{Time: w.clock.Now().Add(time.Duration(seconds) * time.Second)}) {
			t.Errorf("%d seconds end at %v", seconds, out.Status.ExpirationTimestamp)
		}
	}
}

// TestJWKS: others can check a token with what is published.
func TestJWKS(t *testing.T) {
	w := newTokenWorld(t)
	keys, err := w.tokens.JWKS()
	if err != nil || len(keys) != 1 {
		t.Fatal(keys, err)
	}
	parsed, _, err := jwt.NewParser().ParseUnverified(w.issue(t, nil, authenticationv1.TokenRequestSpec{}), jwt.MapClaims{})
	if err != nil {
		t.Fatal(err)
	}
	if keys[0].KeyID != parsed.Header["kid"] || len(keys[0].X) != 43 || len(keys[0].Y) != 43 {
		t.Errorf("%+v for a token signed with %v", keys[0], parsed.Header["kid"])
	}
}

// TestCertificates: what is remembered of a certificate ends with it.
func TestCertificates(t *testing.T) {
	clk := clocktesting.NewFakePassiveClock(time.Now())
	ca, err := pki.NewCA(clk)
	if err != nil {
		t.Fatal(err)
	}
	request := func(s pki.Subject) *http.Request {
		pair, err := ca.Issue(s)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := pair.TLS()
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert.Leaf}}
		return r
	}
	c := NewCertificates(ca.Pool(), clk)
	alice := request(pki.Subject{Name: "alice", Groups: []string{"devs", GroupUnauthenticated}, Client: true, Lifetime: time.Hour})
	bob := request(pki.Subject{Name: "bob", Client: true, Lifetime: 3 * time.Hour})
	for range 2 {
		user, ok, err := c.Authenticate(alice)
		if diff := cmp.Diff(User{Name: "alice", Groups: []string{"devs", GroupAuthenticated}}, user); diff != "" || !ok || err != nil {
			t.Error(ok, err, diff)
		}
		if user, _, _ := c.Authenticate(bob); user.Name != "bob" {
			t.Errorf("bob is taken for %q", user.Name)
		}
	}
	clk.SetTime(clk.Now().Add(2 * time.Hour))
	if _, ok, err := c.Authenticate(alice); ok || !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("an expired certificate that was good before: %v", err)
	}
	if _, ok, err := c.Authenticate(request(pki.Subject{Client: true})); ok || !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("a certificate without a name: %v", err)
	}
}

func TestUnion(t *testing.T) {
	static := StaticTokens{"good": {Name: "bob"}}
	all := Union{NewCertificates(nil, clocktesting.NewFakePassiveClock(time.Now())), static, NoTokens{}}
	user, ok, err := all.Authenticate(bearer("good"))
	if !ok || err != nil || user.Name != "bob" || !user.InGroup(GroupAuthenticated) {
		t.Errorf("%+v %v %v", user, ok, err)
	}
	if _, ok, err := all.Authenticate(bearer("bad")); ok || !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("an unknown token: %v", err)
	}
	if _, ok, err := all.Authenticate(httptest.NewRequest("GET", "/", nil)); ok || err != nil {
		t.Errorf("no credentials at all are no error: %v", err)
	}
	basic := httptest.NewRequest("GET", "/", nil)
	basic.SetBasicAuth("bob", "good")
	if _, ok, err := all.Authenticate(basic); ok || !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("basic authentication: %v", err)
	}
}

func TestParseTokenFile(t *testing.T) {
	got, err := ParseTokenFile(strings.NewReader("# comment\nt1,alice,1,\"a, b\"\nt2,bob,2\n"))
	want := map[string]User{"t1": {Name: "alice", UID: "1", Groups: []string{"a", "b"}}, "t2": {Name: "bob", UID: "2"}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
	for name, text := range map[string]string{"too short": "t,alice\n", "no token": ",alice,1\n", "twice": "t,a,1\nt,b,2\n", "quotes": "t,\"a,1\n"} {
		if _, err := ParseTokenFile(strings.NewReader(text)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
