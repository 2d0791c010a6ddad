// Package resource defines what the API server needs to know of a kind: one Descriptor
// value per resource. Routes, discovery, OpenAPI, storage keys, printing and the
// generic verbs derive from it. The built-in descriptors are in apiserver/registry, one file
// per kind; kinds that are added at run time make the same value.
package resource

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/pkg/api"
)

// Descriptor describes one resource at one version. All functions are pure, except that
// they may change the object they are given; nil functions do nothing. They are called
// on objects nobody else holds.
type Descriptor struct {
	api.Resource
	Singular   string // "pod"
	ShortNames []string
	Categories []string // "all"

	New     func() api.Object
	NewList func() runtime.Object // the typed list, as clients decode it

	// Default fills unset fields; it runs on create, update, patch, and on decoding for dry-run,
	// before admission.
	Default func(obj api.Object)
	// PrepareCreate clears what a client may not set (status, for instance) and sets generation.
	PrepareCreate func(ctx context.Context, obj api.Object)
	// PrepareUpdate keeps what this endpoint may not change (status on the main endpoint)
	// and bumps generation when the spec changed.
	PrepareUpdate func(ctx context.Context, obj, old api.Object)
	// Validate and ValidateUpdate return field errors with paths and causes. The generic
	// rules of ObjectMeta (name, labels, annotations, owner references, immutable metadata)
	// are checked by the engine with ValidateName; ValidateUpdate need not repeat Validate:
	// both run on an update.
	Validate       func(ctx context.Context, obj api.Object) field.ErrorList
	ValidateUpdate func(ctx context.Context, obj, old api.Object) field.ErrorList
	// ValidateName checks metadata.name; prefix is true for generateName. Nil: DNS-1123 subdomain.
	ValidateName func(name string, prefix bool) []string
	// Deprecated is what everybody is told who uses the kind at all. Empty: nothing.
	Deprecated string
	// Warnings are sent to the client as Warning headers.
	Warnings func(ctx context.Context, obj, old api.Object) []string

	// AllowCreateOnUpdate lets PUT create (Lease, Endpoints, EndpointSlice, Event, …, as in Kubernetes).
	AllowCreateOnUpdate bool
	// AllowUnconditionalUpdate lets PUT without resourceVersion overwrite.
	AllowUnconditionalUpdate bool
	// NoDeleteCollection refuses to delete many at once. Only Namespace has it: one request
	// must not take the cluster away.
	NoDeleteCollection bool
	// DefaultPropagation is what a delete without propagationPolicy does to dependents. Empty: background.
	DefaultPropagation metav1.DeletionPropagation
	// DeleteWarning is sent to who deletes without saying what becomes of dependents. Empty: nothing is.
	DeleteWarning string

	// GracePeriod makes deletion graceful: it returns the seconds to grant, given what was asked
	// for (nil: not given). 0 deletes at once. Nil function: never graceful. Only Pod has it.
	GracePeriod func(obj api.Object, asked *int64) int64
	// TTL is the time after which an object expires from storage. Nil: never. Only Event has it.
	TTL func(obj api.Object) time.Duration

	// Fields lists the selectable fields and their values beyond metadata.name and
	// metadata.namespace. FieldNames lists the labels that are accepted.
	FieldNames []string
	Fields     func(obj api.Object) fields.Set

	Columns      []Column
	Subresources []Subresource

	// View makes this resource another version's view of a stored one (events.k8s.io/v1
	// on core/v1 Event). Nil: stored as itself.
	View *View
	// Virtual makes a resource that is not stored at all. Nil: it is.
	Virtual *Virtual
}

// View converts between this resource's type and the stored one's.
type View struct {
	Of   api.Resource
	To   func(obj api.Object) (api.Object, error) // this type → stored type
	From func(obj api.Object) (api.Object, error) // stored type → this type
}

// Column is one column of `kubectl get`.
type Column struct {
	Name, Type, Format, Description string
	Priority                        int32 // 0: always; 1: with -o wide
	Value                           func(obj api.Object, now time.Time) any
	// Text is Value for a column of text, without an allocation for each cell; nil for others.
	Text func(obj api.Object, now time.Time) string
}

// Subresource is an endpoint below an object that reads and writes part of it.
// Connecting subresources (log, exec) and creating ones (binding, eviction, token) are
// served by their own handlers and are listed only for discovery.
type Subresource struct {
	Name  string // "status", "scale", "binding", "log", "exec", "token", "finalize"
	Group string // of Kind if it differs from the resource's: "autoscaling" for scale
	// Version of Kind; empty: the resource's.
	Version string
	Kind    string   // kind of the body; empty: the resource's
	Verbs   []string // "get", "update", "patch", "create"

	// PrepareUpdate and ValidateUpdate replace the resource's own on this endpoint (status).
	PrepareUpdate  func(ctx context.Context, obj, old api.Object)
	ValidateUpdate func(ctx context.Context, obj, old api.Object) field.ErrorList

	// Project and Inject serve a subresource whose body is another kind (scale): Project
	// makes the body from the object, Inject writes a body into a copy of the object.
	Project func(obj api.Object) (runtime.Object, error)
	Inject  func(obj api.Object, body runtime.Object) error
	NewBody func() runtime.Object
}
