// Package api holds what every component knows about the API: the Go type of an
// object, the roster that ties Go types to REST resources, the scheme that encodes
// them, and small read-only helpers on well-known kinds. It performs no I/O.
package api

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Object is an API object of any kind: metadata plus a runtime type.
// Objects that come out of an informer or the watch cache are shared: read only,
// DeepCopyObject before writing.
type Object interface {
	runtime.Object
	metav1.Object
}

// Resource names one REST resource together with its kind. It is comparable and
// serves as a map key.
type Resource struct {
	Group      string // "" for the core group
	Version    string
	Name       string // lower-case plural, as in the URL: "pods"
	Kind       string
	Namespaced bool
}

// GroupVersion returns the group and version, as they stand in apiVersion.
func (r Resource) GroupVersion() schema.GroupVersion {
	return schema.GroupVersion{Group: r.Group, Version: r.Version}
}

// GVK returns the group, version and kind.
func (r Resource) GVK() schema.GroupVersionKind { return r.GroupVersion().WithKind(r.Kind) }

// GVR returns the group, version and resource.
func (r Resource) GVR() schema.GroupVersionResource { return r.GroupVersion().WithResource(r.Name) }

// GroupResource returns the resource without its version, as error messages name it.
func (r Resource) GroupResource() schema.GroupResource {
	return schema.GroupResource{Group: r.Group, Resource: r.Name}
}

// String returns "pods" or "deployments.apps".
func (r Resource) String() string { return r.GroupResource().String() }

// Path returns the URL path of the collection in ns, or of all namespaces when ns is
// empty or the resource is not namespaced.
func (r Resource) Path(ns string) string {
	root := "/apis/" + r.Group + "/" + r.Version
	if r.Group == "" {
		root = "/api/" + r.Version
	}
	if r.Namespaced && ns != "" {
		return fmt.Sprintf("%s/namespaces/%s/%s", root, ns, r.Name)
	}
	return root + "/" + r.Name
}
