// Package dra describes the kinds of resource.k8s.io/v1, dynamic resource allocation: which
// devices there are (ResourceSlice), what sorts of them (DeviceClass), who wants which
// (ResourceClaim, ResourceClaimTemplate), and which are to be avoided (DeviceTaintRule).
// Expressions are stored as they come; who evaluates them says whether they are any good.
package dra

import (
	"fmt"
	"strings"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/validation"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/resource"
	"github.com/miniorch/miniorch/pkg/api"
)

// unallocated is said to who makes a claim.
const unallocated = "devices are not allocated by this cluster yet: pods with resource claims wait"

// Kinds returns the descriptors of the group.
func Kinds() []resource.Descriptor {
	return []resource.Descriptor{deviceClasses(), claims(), claimTemplates(), resourceSlices(), taintRules()}
}

func warnNew[T api.Object](_, _ T, isUpdate bool) []string {
	if isUpdate {
		return nil
	}
	return []string{unallocated}
}

func deviceClasses() resource.Descriptor {
	type class = *resourcev1.DeviceClass
	return kind.Describe(kind.Of[class]{
		Singular:      "deviceclass",
		New:           func() class { return &resourcev1.DeviceClass{} },
		NewList:       func() runtime.Object { return &resourcev1.DeviceClassList{} },
		PrepareCreate: func(c class) { c.Generation = 1 },
		PrepareUpdate: func(c, old class) {
			if !equality.Semantic.DeepEqual(c.Spec, old.Spec) {
				c.Generation = old.Generation + 1
			}
		},
		Validate:            validateClass,
		Warnings:            warnNew[class],
		UnconditionalUpdate: true,
		Columns:             []kind.Column[class]{kind.NameColumn[class](), kind.AgeColumn[class]()},
	})
}

func claims() resource.Descriptor {
	type claim = *resourcev1.ResourceClaim
	return kind.Describe(kind.Of[claim]{
		Singular:      "resourceclaim",
		New:           func() claim { return &resourcev1.ResourceClaim{} },
		NewList:       func() runtime.Object { return &resourcev1.ResourceClaimList{} },
		Defaults:      func(c claim) { defaultClaim(&c.Spec) },
		PrepareCreate: func(c claim) { c.Status = resourcev1.ResourceClaimStatus{} },
		PrepareUpdate: func(c, old claim) { c.Status = old.Status },
		Validate:      func(c claim) field.ErrorList { return validateClaim(&c.Spec, field.NewPath("spec")) },
		ValidateUpdate: func(c, old claim) field.ErrorList {
			return validation.ValidateImmutableField(c.Spec, old.Spec, field.NewPath("spec"))
		},
		Warnings:            warnNew[claim],
		UnconditionalUpdate: true,
		Columns: []kind.Column[claim]{
			kind.NameColumn[claim](),
			kind.TextColumn("State", "Whether devices are allocated, and whether a pod has reserved them.", printState),
			kind.AgeColumn[claim](),
		},
		Subresources: []resource.Subresource{
			kind.StatusOf(func(c, old claim) { c.Spec = old.Spec }, validateClaimStatus),
		},
	})
}

func printState(c *resourcev1.ResourceClaim) string {
	var states []string
	if c.DeletionTimestamp != nil {
		states = append(states, "deleted")
	}
	if c.Status.Allocation == nil {
		if c.DeletionTimestamp == nil {
			states = append(states, "pending")
		}
		return strings.Join(states, ",")
	}
	states = append(states, "allocated")
	if len(c.Status.ReservedFor) > 0 {
		states = append(states, "reserved")
	}
	return strings.Join(states, ",")
}

func claimTemplates() resource.Descriptor {
	type template = *resourcev1.ResourceClaimTemplate
	return kind.Describe(kind.Of[template]{
		Singular: "resourceclaimtemplate",
		New:      func() template { return &resourcev1.ResourceClaimTemplate{} },
		NewList:  func() runtime.Object { return &resourcev1.ResourceClaimTemplateList{} },
		Defaults: func(t template) { defaultClaim(&t.Spec.Spec) },
		Validate: func(t template) field.ErrorList {
			path := field.NewPath("spec")
			errs := metavalidation.ValidateLabels(t.Spec.Labels, path.Child("metadata", "labels"))
			errs = append(errs, validation.ValidateAnnotations(t.Spec.Annotations, path.Child("metadata", "annotations"))...)
			return append(errs, validateClaim(&t.Spec.Spec, path.Child("spec"))...)
		},
		ValidateUpdate: func(t, old template) field.ErrorList {
			return validation.ValidateImmutableField(t.Spec, old.Spec, field.NewPath("spec"))
		},
		Warnings:            warnNew[template],
		UnconditionalUpdate: true,
		Columns:             []kind.Column[template]{kind.NameColumn[template](), kind.AgeColumn[template]()},
	})
}

func resourceSlices() resource.Descriptor {
	type slice = *resourcev1.ResourceSlice
	node := func(s slice) string {
		if s.Spec.NodeName == nil {
			return ""
		}
		return *s.Spec.NodeName
	}
	return kind.Describe(kind.Of[slice]{
		Singular:      "resourceslice",
		New:           func() slice { return &resourcev1.ResourceSlice{} },
		NewList:       func() runtime.Object { return &resourcev1.ResourceSliceList{} },
		PrepareCreate: func(s slice) { s.Generation = 1 },
		PrepareUpdate: func(s, old slice) {
			if !equality.Semantic.DeepEqual(s.Spec, old.Spec) {
				s.Generation = old.Generation + 1
			}
		},
		Validate:            validateSlice,
		ValidateUpdate:      validateSliceUpdate,
		UnconditionalUpdate: true,
		FieldNames:          []string{resourcev1.ResourceSliceSelectorNodeName, resourcev1.ResourceSliceSelectorDriver, resourcev1.ResourceSliceSelectorPoolName},
		Fields: func(s slice) fields.Set {
			return fields.Set{
				resourcev1.ResourceSliceSelectorNodeName: node(s), resourcev1.ResourceSliceSelectorDriver: s.Spec.Driver,
				resourcev1.ResourceSliceSelectorPoolName: s.Spec.Pool.Name,
			}
		},
		Columns: []kind.Column[slice]{
			kind.NameColumn[slice](),
			kind.TextColumn("Node", "The node that has the devices.", func(s slice) string {
				if s.Spec.NodeName == nil {
					return "<unset>"
				}
				return node(s)
			}),
			kind.TextColumn("Driver", "Who serves them.", func(s slice) string { return s.Spec.Driver }),
			kind.TextColumn("Pool", "The pool that they are in.", func(s slice) string { return s.Spec.Pool.Name }),
			kind.AgeColumn[slice](),
		},
	})
}

func taintRules() resource.Descriptor {
	type rule = *resourcev1.DeviceTaintRule
	return kind.Describe(kind.Of[rule]{
		Singular: "devicetaintrule",
		New:      func() rule { return &resourcev1.DeviceTaintRule{} },
		NewList:  func() runtime.Object { return &resourcev1.DeviceTaintRuleList{} },
		PrepareCreate: func(r rule) {
			r.Status = resourcev1.DeviceTaintRuleStatus{}
			r.Generation = 1
		},
		PrepareUpdate: func(r, old rule) {
			r.Status = old.Status
			if !equality.Semantic.DeepEqual(r.Spec, old.Spec) {
				r.Generation = old.Generation + 1
			}
		},
		Validate:            validateTaintRule,
		Warnings:            warnNew[rule],
		UnconditionalUpdate: true,
		Columns: []kind.Column[rule]{
			kind.NameColumn[rule](),
			kind.TextColumn("Taint", "What keeps claims away.", func(r rule) string {
				return fmt.Sprintf("%s=%s:%s", r.Spec.Taint.Key, r.Spec.Taint.Value, r.Spec.Taint.Effect)
			}),
			kind.AgeColumn[rule](),
		},
		Subresources: []resource.Subresource{
			kind.StatusOf(func(r, old rule) { r.Spec = old.Spec }, func(r, _ rule) field.ErrorList {
				path := field.NewPath("status", "conditions")
				if len(r.Status.Conditions) > resourcev1.DeviceTaintRuleStatusMaxConditions {
					return field.ErrorList{field.TooMany(path, len(r.Status.Conditions), resourcev1.DeviceTaintRuleStatusMaxConditions)}
				}
				return metavalidation.ValidateConditions(r.Status.Conditions, path)
			}),
		},
	})
}

// defaultClaim asks for one device where nothing else is said.
func defaultClaim(c *resourcev1.ResourceClaimSpec) {
	for i := range c.Devices.Requests {
		r := &c.Devices.Requests[i]
		if e := r.Exactly; e != nil {
			defaultCount(&e.AllocationMode, &e.Count)
			defaultTolerations(e.Tolerations)
		}
		for n := range r.FirstAvailable {
			defaultCount(&r.FirstAvailable[n].AllocationMode, &r.FirstAvailable[n].Count)
			defaultTolerations(r.FirstAvailable[n].Tolerations)
		}
	}
}

func defaultCount(mode *resourcev1.DeviceAllocationMode, count *int64) {
	if *mode == "" {
		*mode = resourcev1.DeviceAllocationModeExactCount
	}
	if *mode == resourcev1.DeviceAllocationModeExactCount && *count == 0 {
		*count = 1
	}
}

func defaultTolerations(all []resourcev1.DeviceToleration) {
	for i := range all {
		if all[i].Operator == "" {
			all[i].Operator = resourcev1.DeviceTolerationOpEqual
		}
	}
}
