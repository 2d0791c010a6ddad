package scheduling

import (
	"fmt"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/resource"
)

const (
	// reserved starts the names that only the cluster's own classes have.
	reserved = "system-"
	// highest is the largest value of a class that users make.
	highest int32 = 1_000_000_000
)

// Builtin returns the classes that every cluster has. They cannot be changed or deleted.
func Builtin() []*schedulingv1.PriorityClass {
	class := func(name, description string, value int32) *schedulingv1.PriorityClass {
		return &schedulingv1.PriorityClass{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Value: value, Description: description,
			PreemptionPolicy: ptr.To(corev1.PreemptLowerPriority),
		}
	}
	return []*schedulingv1.PriorityClass{
		class("system-cluster-critical", "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.", 2_000_000_000),
		class("system-node-critical", "Used for system critical pods that must not be moved from their current node.", 2_000_001_000),
	}
}

func priorityClasses() resource.Descriptor {
	return kind.Describe(kind.Of[*schedulingv1.PriorityClass]{
		Singular:            "priorityclass",
		ShortNames:          []string{"pc"},
		New:                 func() *schedulingv1.PriorityClass { return &schedulingv1.PriorityClass{} },
		NewList:             func() runtime.Object { return &schedulingv1.PriorityClassList{} },
		Defaults:            defaultPriorityClass,
		PrepareCreate:       func(c *schedulingv1.PriorityClass) { c.Generation = 1 },
		Validate:            validatePriorityClass,
		ValidateUpdate:      validatePriorityClassUpdate,
		CreateOnUpdate:      true,
		UnconditionalUpdate: true,
		Columns: []kind.Column[*schedulingv1.PriorityClass]{
			kind.NameColumn[*schedulingv1.PriorityClass](),
			kind.CountColumn("Value", "The priority of pods of this class.", func(c *schedulingv1.PriorityClass) int64 { return int64(c.Value) }),
			kind.TextColumn("Global-Default", "Whether pods that name no class are of this one.", func(c *schedulingv1.PriorityClass) string {
				return strconv.FormatBool(c.GlobalDefault)
			}),
			kind.AgeColumn[*schedulingv1.PriorityClass](),
			kind.TextColumn("PreemptionPolicy", "Whether others must make room for pods of this class.", func(c *schedulingv1.PriorityClass) string {
				return string(ptr.Deref(c.PreemptionPolicy, ""))
			}),
		},
	})
}

func defaultPriorityClass(c *schedulingv1.PriorityClass) {
	kind.SetDefault(&c.PreemptionPolicy, corev1.PreemptLowerPriority)
}

func validatePriorityClass(c *schedulingv1.PriorityClass) field.ErrorList {
	var errs field.ErrorList
	switch {
	case strings.HasPrefix(c.Name, reserved):
		errs = append(errs, validateReserved(c)...)
	case c.Value > highest:
		errs = append(errs, field.Forbidden(field.NewPath("value"), "maximum allowed value of a user defined priority is 1000000000"))
	}
	if p := c.PreemptionPolicy; p != nil {
		errs = append(errs, kind.OneOf(*p, field.NewPath("preemptionPolicy"), corev1.PreemptLowerPriority, corev1.PreemptNever)...)
	}
	return errs
}

// validateReserved lets the built-in classes pass, as they are.
func validateReserved(c *schedulingv1.PriorityClass) field.ErrorList {
	why := c.Name + " is not a known system priority class"
	for _, b := range Builtin() {
		switch {
		case b.Name != c.Name:
		case b.Value != c.Value:
			why = fmt.Sprintf("value of %s PriorityClass must be %d", c.Name, b.Value)
		case c.GlobalDefault:
			why = "globalDefault of " + c.Name + " PriorityClass must be false"
		default:
			return nil
		}
	}
	return field.ErrorList{field.Forbidden(field.NewPath("metadata", "name"),
		"priority class names with 'system-' prefix are reserved for system use only. error: "+why)}
}

func validatePriorityClassUpdate(c, old *schedulingv1.PriorityClass) field.ErrorList {
	var errs field.ErrorList
	if c.Value != old.Value {
		errs = append(errs, field.Forbidden(field.NewPath("value"), "may not be changed in an update."))
	}
	return append(errs, apivalidation.ValidateImmutableField(c.PreemptionPolicy, old.PreemptionPolicy, field.NewPath("preemptionPolicy"))...)
}
