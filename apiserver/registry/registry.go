// Package registry joins the built-in kinds. Each API group has a package of its own below
// this one; each kind in it is one resource.Descriptor with its names, defaults, strategy,
// validation, selectable fields, subresources and columns.
//
// It owns what a kind means and refuses everything else: it stores nothing, serves
// nothing and calls nobody. Every function in it is pure, apart from changing the object
// that it was given. Adding a kind is one file in its group's package, one line in that
// package's Kinds and one in the roster of pkg/api.
package registry

import (
	"slices"
	"time"

	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/apiserver/registry/admissionregistration"
	"github.com/miniorch/miniorch/apiserver/registry/apps"
	"github.com/miniorch/miniorch/apiserver/registry/authentication"
	"github.com/miniorch/miniorch/apiserver/registry/authorization"
	"github.com/miniorch/miniorch/apiserver/registry/autoscaling"
	"github.com/miniorch/miniorch/apiserver/registry/batch"
	"github.com/miniorch/miniorch/apiserver/registry/certificates"
	"github.com/miniorch/miniorch/apiserver/registry/coordination"
	"github.com/miniorch/miniorch/apiserver/registry/core"
	"github.com/miniorch/miniorch/apiserver/registry/discovery"
	"github.com/miniorch/miniorch/apiserver/registry/dra"
	"github.com/miniorch/miniorch/apiserver/registry/events"
	"github.com/miniorch/miniorch/apiserver/registry/flowcontrol"
	"github.com/miniorch/miniorch/apiserver/registry/metrics"
	"github.com/miniorch/miniorch/apiserver/registry/networking"
	"github.com/miniorch/miniorch/apiserver/registry/node"
	"github.com/miniorch/miniorch/apiserver/registry/policy"
	"github.com/miniorch/miniorch/apiserver/registry/rbac"
	"github.com/miniorch/miniorch/apiserver/registry/scheduling"
	"github.com/miniorch/miniorch/apiserver/registry/storage"
	"github.com/miniorch/miniorch/apiserver/resource"
)

// Config holds the few settings that the built-in kinds depend on. Its zero value is
// what Kubernetes does by default.
type Config struct {
	// EventTTL is how long an Event is kept after its last write. Zero: one hour.
	EventTTL time.Duration
	// Now tells the time for what the server itself notes of an object. Nil: the system's clock.
	Now func() time.Time
	// Reviewer and Authorizer answer the reviews of tokens and of access. Nil: with no.
	Reviewer   authentication.Reviewer
	Authorizer auth.Authorizer
	// Metrics knows what nodes and pods use. Nil: nobody does.
	Metrics metrics.Source
	// Components of the control plane, which ComponentStatus tells of.
	Components []core.Component
}

// All returns the descriptors of the built-in kinds, stored resources before the views
// on them.
func All(cfg Config) []resource.Descriptor {
	if cfg.EventTTL == 0 {
		cfg.EventTTL = time.Hour
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return slices.Concat(
		core.Kinds(cfg.Components, cfg.Now),
		discovery.Kinds(),
		coordination.Kinds(),
		apps.Kinds(),
		batch.Kinds(),
		autoscaling.Kinds(),
		policy.Kinds(),
		storage.Kinds(),
		scheduling.Kinds(),
		events.Kinds(cfg.EventTTL),
		authentication.Kinds(cfg.Reviewer),
		authorization.Kinds(cfg.Authorizer),
		rbac.Kinds(),
		certificates.Kinds(cfg.Now),
		flowcontrol.Kinds(),
		dra.Kinds(),
		admissionregistration.Kinds(),
		networking.Kinds(),
		metrics.Kinds(cfg.Metrics),
		node.Kinds(),
	)
}
