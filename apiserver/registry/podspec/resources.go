package podspec

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
)

func (c *podSpecCheck) containerResources(r *corev1.ResourceRequirements, path *field.Path) field.ErrorList {
	errs := validateRequirements(r, path, validateContainerResourceName)
	seen := map[string]bool{}
	for i, claim := range r.Claims {
		at := path.Child("claims").Index(i)
		switch {
		case claim.Name == "":
			errs = append(errs, field.Required(at.Child("name"), ""))
		case !c.claims[claim.Name]:
			errs = append(errs, field.NotFound(at.Child("name"), claim.Name))
		case seen[claim.Name+"/"+claim.Request]:
			errs = append(errs, field.Duplicate(at, claim.Name))
		}
		seen[claim.Name+"/"+claim.Request] = true
	}
	return errs
}

// podResources checks what the pod asks for as a whole.
func (c *podSpecCheck) podResources(path *field.Path) field.ErrorList {
	errs := ValidateOverhead(c.spec.Overhead, path.Child("overhead"))
	r := c.spec.Resources
	if r == nil {
		return errs
	}
	at := path.Child("resources")
	errs = append(errs, validateRequirements(r, at, func(name corev1.ResourceName, at *field.Path) field.ErrorList {
		if isPodLevelResource(name) {
			return nil
		}
		return field.ErrorList{field.NotSupported(at, name, []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, "hugepages-*"})}
	})...)
	if len(r.Claims) > 0 {
		errs = append(errs, field.Forbidden(at.Child("claims"), "claims cannot be specified for Resources at pod-level"))
	}
	return errs
}

// validateRequirements checks limits and requests: names, amounts, and that nobody asks
// for more than the limit.
func validateRequirements(r *corev1.ResourceRequirements, path *field.Path, checkName func(corev1.ResourceName, *field.Path) field.ErrorList) field.ErrorList {
	var errs field.ErrorList
	for _, name := range kind.SortedNames(r.Limits) {
		at := path.Child("limits").Key(string(name))
		errs = append(errs, checkName(name, at)...)
		errs = append(errs, ValidateQuantity(name, r.Limits[name], at)...)
	}
	for _, name := range kind.SortedNames(r.Requests) {
		at := path.Child("requests").Key(string(name))
		errs = append(errs, checkName(name, at)...)
		errs = append(errs, ValidateQuantity(name, r.Requests[name], at)...)
		errs = append(errs, validateRequest(name, r, path.Child("requests"))...)
	}
	return errs
}

// validateRequest compares one request with its limit. What cannot be overcommitted needs
// a limit, of the same amount.
func validateRequest(name corev1.ResourceName, r *corev1.ResourceRequirements, path *field.Path) field.ErrorList {
	request := r.Requests[name]
	limit, limited := r.Limits[name]
	switch {
	case !limited && !canOvercommit(name):
		return field.ErrorList{field.Required(path, "limit must be set for non overcommitable resources")}
	case !limited:
		return nil
	case request.Cmp(limit) > 0:
		return field.ErrorList{field.Invalid(path, request.String(),
			fmt.Sprintf("must be less than or equal to %s limit of %s", name, limit.String()))}
	case !canOvercommit(name) && request.Cmp(limit) != 0:
		return field.ErrorList{field.Invalid(path, request.String(),
			fmt.Sprintf("must be equal to %s limit of %s", name, limit.String()))}
	}
	return nil
}

func isHugePages(name corev1.ResourceName) bool {
	return strings.HasPrefix(string(name), corev1.ResourceHugePagesPrefix)
}

// isNative tells the resources that every node has from those that devices add.
func isNative(name corev1.ResourceName) bool {
	return !strings.Contains(string(name), "/") || strings.Contains(string(name), corev1.ResourceDefaultNamespacePrefix)
}

func canOvercommit(name corev1.ResourceName) bool { return isNative(name) && !isHugePages(name) }

func validateContainerResourceName(name corev1.ResourceName, path *field.Path) field.ErrorList {
	if msgs := utilvalidation.IsQualifiedName(string(name)); len(msgs) > 0 {
		return kind.Invalids(path, name, msgs)
	}
	if strings.Contains(string(name), "/") || isHugePages(name) {
		return nil
	}
	switch name {
	case corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage:
		return nil
	}
	return field.ErrorList{field.Invalid(path, name, "must be a standard resource for containers")}
}

// ValidateQuantity refuses what cannot be an amount of the resource.
func ValidateQuantity(name corev1.ResourceName, q resource.Quantity, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if q.Sign() < 0 {
		errs = append(errs, field.Invalid(path, q.String(), "must be greater than or equal to 0"))
	}
	if countsWhole(name) && q.MilliValue()%1000 != 0 {
		errs = append(errs, field.Invalid(path, q.String(), "must be an integer"))
	}
	return errs
}

// countsWhole tells which resources come in whole pieces: devices, pods, pages.
func countsWhole(name corev1.ResourceName) bool {
	return !isNative(name) || name == corev1.ResourcePods || isHugePages(name)
}
