// Package auth says who is asking and whether they may. Authentication turns a client
// certificate or a bearer token into a User; authorization answers for one request at a
// time. It serves no HTTP of its own and decides nothing about the content of objects:
// that is admission.
package auth

import (
	"context"
	"errors"
	"net/http"
	"slices"
)

// Names and groups that have a meaning of their own.
const (
	Anonymous = "system:anonymous" // who shows no credentials

	GroupMasters         = "system:masters" // may do everything
	GroupNodes           = "system:nodes"   // kubelets
	GroupAuthenticated   = "system:authenticated"
	GroupUnauthenticated = "system:unauthenticated"
	GroupServiceAccounts = "system:serviceaccounts"

	UserAPIServer         = "system:apiserver"
	UserControllerManager = "system:kube-controller-manager"
	UserScheduler         = "system:kube-scheduler"
	UserProxy             = "system:kube-proxy" // on every node; reads Services and where they lead
	UserDNS               = "system:kube-dns"   // on every node; reads the same

	NodePrefix           = "system:node:" // followed by the node's name
	ServiceAccountPrefix = "system:serviceaccount:"
)

// User is an authenticated identity.
type User struct {
	Name   string
	UID    string
	Groups []string
	Extra  map[string][]string
}

// InGroup reports whether the user is a member of group.
func (u User) InGroup(group string) bool { return slices.Contains(u.Groups, group) }

// Component returns the identity of a component that runs in the API server's process,
// such as UserScheduler.
func Component(name string) User {
	return User{Name: name, Groups: []string{GroupAuthenticated}}
}

// Admin returns an identity that may do everything; tests and bootstrapping use it.
func Admin() User {
	return User{Name: "system:admin", Groups: []string{GroupMasters, GroupAuthenticated}}
}

// Stranger returns the identity of who shows no credentials.
func Stranger() User {
	return User{Name: Anonymous, Groups: []string{GroupUnauthenticated}}
}

type userKey struct{}

// WithUser returns a context that carries u.
func WithUser(ctx context.Context, u User) context.Context {
	return context.WithValue(ctx, userKey{}, u)
}

// UserFrom returns the user that ctx carries. Without one it is the Stranger, so that
// forgetting to authenticate can never grant anything.
func UserFrom(ctx context.Context) (User, bool) {
	if u, ok := ctx.Value(userKey{}).(User); ok {
		return u, true
	}
	return Stranger(), false
}

// ErrUnauthenticated is what an Authenticator returns, wrapped, for credentials that are
// shown but not good. Credentials that it does not understand are not an error.
var ErrUnauthenticated = errors.New("invalid credentials")

// Authenticator finds out who sent a request. ok is false when the request carries no
// credentials of its sort.
type Authenticator interface {
	Authenticate(r *http.Request) (user User, ok bool, err error)
}

// InProcess knows whom the process itself asks for: the user that the request's context carries. No
// request from outside carries one before it is authenticated.
type InProcess struct{}

// Authenticate implements Authenticator.
func (InProcess) Authenticate(r *http.Request) (User, bool, error) {
	user, ok := UserFrom(r.Context())
	return user, ok, nil
}

// Union asks each authenticator in turn; the first that knows the credentials decides.
// Bad credentials are an error only if nobody else knows them.
type Union []Authenticator

// Authenticate implements Authenticator.
func (a Union) Authenticate(r *http.Request) (User, bool, error) {
	var errs []error
	for _, one := range a {
		user, ok, err := one.Authenticate(r)
		if ok && err == nil {
			return user, true, nil
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	return User{}, false, errors.Join(errs...)
}

// Attributes says what a request wants to do. For a resource request Resource is set; for
// any other Path is.
type Attributes struct {
	User User
	Verb string // get, list, watch, create, update, patch, delete, deletecollection; otherwise the HTTP method in lower case

	Group       string
	Version     string
	Resource    string
	Subresource string
	Namespace   string
	Name        string

	Path string
}

// IsResource reports whether the request is about a resource rather than a plain path.
func (a Attributes) IsResource() bool { return a.Resource != "" }

// Authorizer decides whether a request may go on. The reason is shown to the user; it
// must not reveal what they may not see. An error is not a "no": the request fails as an
// internal error.
type Authorizer interface {
	Authorize(ctx context.Context, a Attributes) (allowed bool, reason string, err error)
}
