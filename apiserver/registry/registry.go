// Package registry holds the built-in kinds: for each one a resource.Descriptor with its
// names, defaults, strategy, validation, selectable fields, subresources and columns.
//
// It owns what a kind means and refuses everything else: it stores nothing, serves
// nothing and calls nobody. Every function in it is pure, apart from changing the object
// that it was given. Adding a kind is one file here, one line in All and one in
// the roster of pkg/api.
package registry

import (
	"time"

	"github.com/miniorch/miniorch/apiserver/resource"
)

// Config holds the few settings that the built-in kinds depend on. Its zero value is
// what Kubernetes does by default.
type Config struct {
	// EventTTL is how long an Event is kept after its last write. Zero: one hour.
	EventTTL time.Duration
}

// All returns the descriptors of the built-in kinds, stored resources before the views
// on them.
func All(cfg Config) []resource.Descriptor {
	if cfg.EventTTL == 0 {
		cfg.EventTTL = time.Hour
	}
	return []resource.Descriptor{
		namespaces(),
		nodes(),
		pods(),
		services(),
		endpoints(),
		endpointSlices(),
		configMaps(),
		secrets(),
		serviceAccounts(),
		leases(),
		replicaSets(),
		deployments(),
		controllerRevisions(),
		replicationControllers(),
		jobs(),
		cronJobs(),
		events(cfg.EventTTL),
		eventsView(cfg.EventTTL),
	}
}
