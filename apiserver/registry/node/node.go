// Package node describes the kinds of node.k8s.io/v1: the ways in which nodes run containers.
package node

import (
	nodev1 "k8s.io/api/node/v1"
	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/registry/podspec"
	"github.com/miniorch/miniorch/apiserver/resource"
)

// Kinds returns the descriptors of the group.
func Kinds() []resource.Descriptor { return []resource.Descriptor{runtimeClasses()} }

func runtimeClasses() resource.Descriptor {
	type class = *nodev1.RuntimeClass
	return kind.Describe(kind.Of[class]{
		Singular: "runtimeclass",
		New:      func() class { return &nodev1.RuntimeClass{} },
		NewList:  func() runtime.Object { return &nodev1.RuntimeClassList{} },
		Defaults: func(c class) {
			if c.Overhead != nil {
				kind.TidyQuantities(c.Overhead.PodFixed)
			}
		},
		Validate: validateRuntimeClass,
		ValidateUpdate: func(c, old class) field.ErrorList {
			return validation.ValidateImmutableField(c.Handler, old.Handler, field.NewPath("handler"))
		},
		UnconditionalUpdate: true,
		Columns: []kind.Column[class]{
			kind.NameColumn[class](),
			kind.TextColumn("Handler", "What the node's container runtime calls it.", func(c class) string { return c.Handler }),
			kind.AgeColumn[class](),
		},
	})
}

func validateRuntimeClass(c *nodev1.RuntimeClass) field.ErrorList {
	errs := kind.Invalids(field.NewPath("handler"), c.Handler, validation.NameIsDNSLabel(c.Handler, false))
	if c.Overhead != nil {
		errs = append(errs, podspec.ValidateOverhead(c.Overhead.PodFixed, field.NewPath("overhead", "podFixed"))...)
	}
	if s := c.Scheduling; s != nil {
		errs = append(errs, podspec.ValidateRuntimeScheduling(s.NodeSelector, s.Tolerations, field.NewPath("scheduling"))...)
	}
	return errs
}
