package podspec

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/pkg/api"
)

func (c *podSpecCheck) containerResources(r *corev1.ResourceRequirements, path *field.Path) field.ErrorList {
	errs := validateRequirements(r, path, validateContainerResourceName)
	errs = append(errs, hugePagesNeedMore(r, path)...)
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
	return append(errs, c.shares(r, path)...)
}

// shares checks that the containers together ask for no more than the pod, and that none is allowed
// more than all.
func (c *podSpecCheck) shares(r *corev1.ResourceRequirements, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	containers := corev1.Pod{Spec: corev1.PodSpec{InitContainers: c.spec.InitContainers, Containers: c.spec.Containers}}
	together := api.PodRequests(&containers)
	for _, name := range kind.SortedNames(r.Requests) {
		whole := r.Requests[name]
		if sum := together[name]; sum.Cmp(whole) > 0 {
			errs = append(errs, field.Invalid(path.Child("resources", "requests").Key(string(name)), whole.String(),
				fmt.Sprintf("must be greater than or equal to aggregate container requests of %s", sum.String())))
		}
	}
	for _, list := range []struct {
		name       string
		containers []corev1.Container
	}{{"initContainers", c.spec.InitContainers}, {"containers", c.spec.Containers}} {
		for i := range list.containers {
			own := list.containers[i].Resources.Limits
			for _, name := range kind.SortedNames(own) {
				limit := own[name]
				if whole, limited := r.Limits[name]; limited && limit.Cmp(whole) > 0 {
					errs = append(errs, field.Invalid(path.Child(list.name).Index(i).Child("resources", "limits").Key(string(name)), limit.String(),
						fmt.Sprintf("must be less than or equal to pod limits of %s", whole.String())))
				}
			}
		}
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
	if !isHugePages(name) {
		return errs
	}
	text := strings.TrimPrefix(string(name), corev1.ResourceHugePagesPrefix)
	page, err := resource.ParseQuantity(text)
	switch {
	case err != nil || page.Sign() <= 0:
		errs = append(errs, field.Invalid(path, name, "must name the size of a page"))
	case q.Value()%page.Value() != 0:
		errs = append(errs, field.Invalid(path, q.String(), "must be a multiple of the page size "+text))
	}
	return errs
}

// hugePagesNeedMore: nothing runs on large pages alone.
func hugePagesNeedMore(r *corev1.ResourceRequirements, path *field.Path) field.ErrorList {
	huge, plain := false, false
	for _, list := range []corev1.ResourceList{r.Limits, r.Requests} {
		for name := range list {
			huge = huge || isHugePages(name)
			plain = plain || name == corev1.ResourceCPU || name == corev1.ResourceMemory
		}
	}
	if huge && !plain {
		return field.ErrorList{field.Forbidden(path, "HugePages require cpu or memory")}
	}
	return nil
}

// countsWhole tells which resources come in whole pieces: devices, pods, pages.
func countsWhole(name corev1.ResourceName) bool {
	return !isNative(name) || name == corev1.ResourcePods || isHugePages(name)
}
