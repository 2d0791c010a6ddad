// Package admission decides whether a write that is well-formed and authorized is also
// acceptable here and now, and completes objects with what depends on the rest of the
// cluster (a service account's token volume, for instance). One plugin is one file; the
// order in which they run is the list in Builtin.
package admission

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/pkg/api"
)

// Operation is what a request does to an object.
type Operation string

// The operations that plugins see.
const (
	Create  Operation = "CREATE"
	Update  Operation = "UPDATE"
	Delete  Operation = "DELETE"
	Connect Operation = "CONNECT"
)

// Request is one write on its way to storage.
type Request struct {
	Operation   Operation
	Resource    api.Resource
	Subresource string
	Namespace   string
	Name        string
	// Object is what is to be written; nil on Delete. A Mutator may change it. On a
	// subresource with a body of its own (binding, scale) it is that body.
	Object runtime.Object
	// Old is what is stored now: read only, nil on Create.
	Old    api.Object
	User   auth.User
	DryRun bool
}

// Is reports whether the request is about the resource (group and name), whatever its
// subresource.
func (r *Request) Is(group, name string) bool {
	return r.Resource.Group == group && r.Resource.Name == name
}

// Plugin is one admission rule. It is also a Mutator, a Validator or both.
type Plugin interface {
	Name() string
}

// Mutator completes or refuses a request; mutators run before validation.
type Mutator interface {
	Plugin
	Admit(ctx context.Context, r *Request) error
}

// Validator refuses a request, having seen the object as it would be stored.
type Validator interface {
	Plugin
	Validate(ctx context.Context, r *Request) error
}

// Reader is how plugins look at the rest of the cluster. Objects are shared: read only.
// A missing object is a NotFound status error.
type Reader interface {
	Get(ctx context.Context, gvr schema.GroupVersionResource, ns, name string) (api.Object, error)
	// List returns what is in a namespace, in all if it is empty, as the server last heard of it.
	List(ctx context.Context, gvr schema.GroupVersionResource, ns string) ([]api.Object, error)
}

// Cluster is a Reader that can also note on an object's status what was granted.
type Cluster interface {
	Reader
	// UpdateStatus writes what change makes of an object, in one compare-and-swap: change is
	// called again with the newest object if the one that it saw was an old one. An error of
	// change is returned as it is, nothing is written then; nor is it for a dry run.
	UpdateStatus(ctx context.Context, gvr schema.GroupVersionResource, ns, name string, dryRun bool, change func(old api.Object) (api.Object, error)) error
}

// Chain runs plugins in order; the first refusal ends it.
type Chain []Plugin

// Builtin is the chain of a cluster, in the order in which it runs. The authorizer says who may act for
// which signer of certificates, random yields the suffixes of generated volume names, now is the server's time.
func Builtin(read Cluster, authorizer auth.Authorizer, random func() uint64, now func() time.Time) Chain {
	return Chain{
		NamespaceLifecycle{Read: read},
		ServiceAccount{Read: read, Random: random},
		NodeRestriction{Read: read},
		Priority{Read: read},
		RuntimeClass{Read: read},
		DefaultTolerationSeconds{},
		CertificateSigners{Authorizer: authorizer},
		CertificateSubjectRestriction{},
		DefaultIngressClass{Read: read},
		DefaultStorageClass{Read: read},
		ClaimResize{Read: read},
		LimitRanger{Read: read},
		ResourceQuota{Cluster: read, Now: now}, // last: what is refused for another reason is not charged for
	}
}

// Admit runs the mutators.
func (c Chain) Admit(ctx context.Context, r *Request) error {
	for _, p := range c {
		if m, ok := p.(Mutator); ok {
			if err := m.Admit(ctx, r); err != nil {
				return asStatus(p, r, err)
			}
		}
	}
	return nil
}

// Validate runs the validators.
func (c Chain) Validate(ctx context.Context, r *Request) error {
	for _, p := range c {
		if v, ok := p.(Validator); ok {
			if err := v.Validate(ctx, r); err != nil {
				return asStatus(p, r, err)
			}
		}
	}
	return nil
}

// Forbid is the refusal of a request, in the words that clients know.
func Forbid(r *Request, format string, args ...any) error {
	return apierrors.NewForbidden(r.Resource.GroupResource(), r.Name, fmt.Errorf(format, args...))
}

// asStatus makes sure that whatever a plugin returns has a status.
func asStatus(p Plugin, r *Request, err error) error {
	if _, ok := err.(apierrors.APIStatus); ok {
		return err
	}
	return apierrors.NewInternalError(fmt.Errorf("admission %s of %s %q: %w", p.Name(), r.Resource, r.Name, err))
}
