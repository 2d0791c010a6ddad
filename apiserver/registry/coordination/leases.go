package coordination

import (
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/resource"
)

func leases() resource.Descriptor {
	return kind.Describe(kind.Of[*coordinationv1.Lease]{
		Singular:       "lease",
		New:            func() *coordinationv1.Lease { return &coordinationv1.Lease{} },
		NewList:        func() runtime.Object { return &coordinationv1.LeaseList{} },
		Validate:       validateLease,
		CreateOnUpdate: true, // and never unconditional: two holders must not both win
		Warnings:       warnLease,
		Columns: []kind.Column[*coordinationv1.Lease]{
			kind.NameColumn[*coordinationv1.Lease](),
			{Name: "Holder", Type: "string", Description: "Who holds the lease.",
				Value: func(l *coordinationv1.Lease, _ time.Time) any {
					if l.Spec.HolderIdentity == nil {
						return ""
					}
					return *l.Spec.HolderIdentity
				}},
			kind.AgeColumn[*coordinationv1.Lease](),
		},
	})
}

func validateLease(l *coordinationv1.Lease) field.ErrorList {
	var errs field.ErrorList
	spec := field.NewPath("spec")
	if d := l.Spec.LeaseDurationSeconds; d != nil && *d <= 0 {
		errs = append(errs, field.Invalid(spec.Child("leaseDurationSeconds"), *d, "must be greater than 0"))
	}
	if n := l.Spec.LeaseTransitions; n != nil && *n < 0 {
		errs = append(errs, field.Invalid(spec.Child("leaseTransitions"), *n, "must be greater than or equal to 0"))
	}
	if l.Spec.Strategy != nil {
		errs = append(errs, kind.OneOf(*l.Spec.Strategy, spec.Child("strategy"), coordinationv1.OldestEmulationVersion)...)
	} else if l.Spec.PreferredHolder != nil && *l.Spec.PreferredHolder != "" {
		errs = append(errs, field.Forbidden(spec.Child("preferredHolder"), "may only be specified when `strategy` is defined"))
	}
	return errs
}

// warnLease says that nobody here elects leaders for others by strategy.
func warnLease(l, _ *coordinationv1.Lease, _ bool) []string {
	if l.Spec.Strategy == nil {
		return nil
	}
	return []string{"spec.strategy: coordinated leader election is not served here; the lease is stored, but nobody is elected"}
}
