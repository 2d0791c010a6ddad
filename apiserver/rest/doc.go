// Package rest is the engine behind every resource: the verbs of the Kubernetes API
// (get, list, watch, create, update, patch, delete, deletecollection and the
// subresources) over a storage.Store, a watch cache and a resource.Descriptor.
//
// It owns the order in which a write is checked (metadata, admission, defaults,
// strategy, validation, compare-and-swap) and the words of every refusal, which are
// *apierrors.StatusError throughout. It refuses to know HTTP: bodies come in decoded and
// go out as watch cache items. Authorization is the caller's, except for the
// in-process transport (Registry.Client), which asks the Authorizer itself.
package rest
