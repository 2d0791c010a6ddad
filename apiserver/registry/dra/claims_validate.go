package dra

import (
	"encoding/json"
	"regexp"
	"strings"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/validation"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/types"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/expression"
	"github.com/miniorch/miniorch/apiserver/registry/kind"
)

func validateClass(c *resourcev1.DeviceClass) field.ErrorList {
	path := field.NewPath("spec")
	errs := validateSelectors(c.Spec.Selectors, path.Child("selectors"))
	at := path.Child("config")
	if len(c.Spec.Config) > resourcev1.DeviceConfigMaxSize {
		errs = append(errs, field.TooMany(at, len(c.Spec.Config), resourcev1.DeviceConfigMaxSize))
	}
	for i, config := range c.Spec.Config {
		errs = append(errs, validateConfig(config.DeviceConfiguration, at.Index(i))...)
	}
	if name := c.Spec.ExtendedResourceName; name != nil {
		at := path.Child("extendedResourceName")
		errs = append(errs, kind.Invalids(at, *name, utilvalidation.IsQualifiedName(*name))...)
		if !strings.Contains(*name, "/") || strings.Contains(*name, "kubernetes.io/") {
			errs = append(errs, field.Invalid(at, *name, "must be an extended resource name, with a domain that is not kubernetes.io"))
		}
	}
	return errs
}

func validateSelectors(selectors []resourcev1.DeviceSelector, path *field.Path) field.ErrorList {
	if len(selectors) > resourcev1.DeviceSelectorsMaxSize {
		return field.ErrorList{field.TooMany(path, len(selectors), resourcev1.DeviceSelectorsMaxSize)}
	}
	var errs field.ErrorList
	for i, s := range selectors {
		at := path.Index(i).Child("cel")
		switch {
		case s.CEL == nil:
			errs = append(errs, field.Required(at, ""))
		case expression.Blank(s.CEL.Expression):
			errs = append(errs, field.Required(at.Child("expression"), ""))
		case len(s.CEL.Expression) > resourcev1.CELSelectorExpressionMaxLength:
			errs = append(errs, field.TooLong(at.Child("expression"), "", resourcev1.CELSelectorExpressionMaxLength))
		default:
			if _, err := expression.Device().Check(s.CEL.Expression, expression.Bool); err != nil {
				errs = append(errs, field.Invalid(at.Child("expression"), s.CEL.Expression, err.Error()))
			}
		}
	}
	return errs
}

func validateConfig(c resourcev1.DeviceConfiguration, path *field.Path) field.ErrorList {
	if c.Opaque == nil {
		return field.ErrorList{field.Required(path.Child("opaque"), "")}
	}
	path = path.Child("opaque")
	errs := validateDriver(c.Opaque.Driver, path.Child("driver"))
	at, raw := path.Child("parameters"), c.Opaque.Parameters.Raw
	var object map[string]any
	switch {
	case len(raw) == 0:
		errs = append(errs, field.Required(at, ""))
	case len(raw) > resourcev1.OpaqueParametersMaxLength:
		errs = append(errs, field.TooLong(at, "", resourcev1.OpaqueParametersMaxLength))
	case json.Unmarshal(raw, &object) != nil || object == nil:
		errs = append(errs, field.Invalid(at, "<value omitted>", "must be a valid JSON object"))
	}
	return errs
}

func validateDriver(name string, path *field.Path) field.ErrorList {
	switch {
	case name == "":
		return field.ErrorList{field.Required(path, "")}
	case len(name) > resourcev1.DriverNameMaxLength:
		return field.ErrorList{field.TooLong(path, name, resourcev1.DriverNameMaxLength)}
	}
	return kind.Invalids(path, name, utilvalidation.IsDNS1123Subdomain(strings.ToLower(name)))
}

func validateClaim(c *resourcev1.ResourceClaimSpec, path *field.Path) field.ErrorList {
	path = path.Child("devices")
	var errs field.ErrorList
	names, at := map[string]bool{}, path.Child("requests")
	if len(c.Devices.Requests) > resourcev1.DeviceRequestsMaxSize {
		return field.ErrorList{field.TooMany(at, len(c.Devices.Requests), resourcev1.DeviceRequestsMaxSize)}
	}
	for i, r := range c.Devices.Requests {
		errs = append(errs, validateRequest(r, names, at.Index(i))...)
	}
	at = path.Child("constraints")
	if len(c.Devices.Constraints) > resourcev1.DeviceConstraintsMaxSize {
		errs = append(errs, field.TooMany(at, len(c.Devices.Constraints), resourcev1.DeviceConstraintsMaxSize))
	}
	for i, one := range c.Devices.Constraints {
		errs = append(errs, validateRequestNames(one.Requests, names, at.Index(i).Child("requests"))...)
		errs = append(errs, validateConstraint(one, at.Index(i))...)
	}
	at = path.Child("config")
	if len(c.Devices.Config) > resourcev1.DeviceConfigMaxSize {
		errs = append(errs, field.TooMany(at, len(c.Devices.Config), resourcev1.DeviceConfigMaxSize))
	}
	for i, config := range c.Devices.Config {
		errs = append(errs, validateRequestNames(config.Requests, names, at.Index(i).Child("requests"))...)
		errs = append(errs, validateConfig(config.DeviceConfiguration, at.Index(i))...)
	}
	return errs
}

// validateRequest checks one request and notes its name, and those of its alternatives.
func validateRequest(r resourcev1.DeviceRequest, names map[string]bool, path *field.Path) field.ErrorList {
	errs := validateNewName(r.Name, r.Name, names, path.Child("name"))
	switch {
	case (r.Exactly == nil) == (len(r.FirstAvailable) == 0):
		return append(errs, field.Invalid(path, r.Name, "exactly one of `exactly` or `firstAvailable` is required"))
	case r.Exactly != nil:
		e, at := r.Exactly, path.Child("exactly")
		return append(errs, validateWish(e.DeviceClassName, e.Selectors, e.AllocationMode, e.Count, e.Tolerations, at)...)
	case len(r.FirstAvailable) > resourcev1.FirstAvailableDeviceRequestMaxSize:
		return append(errs, field.TooMany(path.Child("firstAvailable"), len(r.FirstAvailable), resourcev1.FirstAvailableDeviceRequestMaxSize))
	}
	for i, s := range r.FirstAvailable {
		at := path.Child("firstAvailable").Index(i)
		errs = append(errs, validateNewName(s.Name, r.Name+"/"+s.Name, names, at.Child("name"))...)
		errs = append(errs, validateWish(s.DeviceClassName, s.Selectors, s.AllocationMode, s.Count, s.Tolerations, at)...)
	}
	return errs
}

func validateNewName(name, whole string, names map[string]bool, path *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	if names[whole] {
		return field.ErrorList{field.Duplicate(path, name)}
	}
	names[whole] = true
	return kind.Invalids(path, name, utilvalidation.IsDNS1123Label(name))
}

// validateWish checks what is said of the devices that a request wants.
func validateWish(class string, selectors []resourcev1.DeviceSelector, mode resourcev1.DeviceAllocationMode, count int64,
	tolerations []resourcev1.DeviceToleration, path *field.Path,
) field.ErrorList {
	var errs field.ErrorList
	if class == "" {
		errs = append(errs, field.Required(path.Child("deviceClassName"), ""))
	} else {
		errs = append(errs, kind.Invalids(path.Child("deviceClassName"), class, validation.NameIsDNSSubdomain(class, false))...)
	}
	errs = append(errs, validateSelectors(selectors, path.Child("selectors"))...)
	switch mode {
	case resourcev1.DeviceAllocationModeAll:
		if count != 0 {
			errs = append(errs, field.Invalid(path.Child("count"), count, "must not be specified when allocationMode is 'All'"))
		}
	case resourcev1.DeviceAllocationModeExactCount:
		if count <= 0 {
			errs = append(errs, field.Invalid(path.Child("count"), count, "must be greater than zero"))
		}
	default:
		errs = append(errs, field.NotSupported(path.Child("allocationMode"), mode,
			[]resourcev1.DeviceAllocationMode{resourcev1.DeviceAllocationModeAll, resourcev1.DeviceAllocationModeExactCount}))
	}
	if len(tolerations) > resourcev1.DeviceTolerationsMaxLength {
		errs = append(errs, field.TooMany(path.Child("tolerations"), len(tolerations), resourcev1.DeviceTolerationsMaxLength))
	}
	for i, t := range tolerations {
		errs = append(errs, validateToleration(t, path.Child("tolerations").Index(i))...)
	}
	return errs
}

func validateToleration(t resourcev1.DeviceToleration, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if t.Key != "" {
		errs = append(errs, metavalidation.ValidateLabelName(t.Key, path.Child("key"))...)
	}
	switch t.Operator {
	case resourcev1.DeviceTolerationOpExists:
		if t.Value != "" {
			errs = append(errs, field.Invalid(path.Child("value"), t.Value, "must be empty for operator `Exists`"))
		}
	case resourcev1.DeviceTolerationOpEqual:
		if t.Key == "" {
			errs = append(errs, field.Required(path.Child("key"), ""))
		}
		errs = append(errs, kind.Invalids(path.Child("value"), t.Value, utilvalidation.IsValidLabelValue(t.Value))...)
	default:
		errs = append(errs, kind.OneOf(t.Operator, path.Child("operator"), resourcev1.DeviceTolerationOpEqual, resourcev1.DeviceTolerationOpExists)...)
	}
	if t.Effect != "" {
		errs = append(errs, validateEffect(t.Effect, path.Child("effect"))...)
	}
	return errs
}

func validateEffect(e resourcev1.DeviceTaintEffect, path *field.Path) field.ErrorList {
	return kind.RequiredOneOf(e, path, resourcev1.DeviceTaintEffectNoExecute, resourcev1.DeviceTaintEffectNoSchedule, resourcev1.DeviceTaintEffectNone)
}

// validateRequestNames checks that requests are there, by name or by "name/alternative".
func validateRequestNames(requests []string, names map[string]bool, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := map[string]bool{}
	for i, r := range requests {
		switch {
		case !names[r]:
			errs = append(errs, field.Invalid(path.Index(i), r, "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"))
		case seen[r]:
			errs = append(errs, field.Duplicate(path.Index(i), r))
		}
		seen[r] = true
	}
	return errs
}

func validateConstraint(c resourcev1.DeviceConstraint, path *field.Path) field.ErrorList {
	name, at := c.MatchAttribute, path.Child("matchAttribute")
	if name == nil {
		name, at = c.DistinctAttribute, path.Child("distinctAttribute")
	}
	switch {
	case name == nil:
		return field.ErrorList{field.Required(path, "exactly one of `matchAttribute` or `distinctAttribute` is required")}
	case c.MatchAttribute != nil && c.DistinctAttribute != nil:
		return field.ErrorList{field.Invalid(path, *name, "exactly one of `matchAttribute` or `distinctAttribute` is required, but multiple fields are set")}
	case !strings.Contains(string(*name), "/"):
		return field.ErrorList{field.Invalid(at, *name, "must include a domain")}
	}
	return validateQualified(string(*name), at)
}

// cIdentifier is what an attribute may be called within its domain.
var cIdentifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// validateQualified takes "domain/id", or "id" within the driver's own domain.
func validateQualified(name string, path *field.Path) field.ErrorList {
	domain, id, qualified := strings.Cut(name, "/")
	if !qualified {
		domain, id = "", name
	}
	var errs field.ErrorList
	if qualified {
		switch {
		case domain == "":
			errs = append(errs, field.Required(path, "the domain must not be empty"))
		case len(domain) > resourcev1.DeviceMaxDomainLength:
			errs = append(errs, field.TooLong(path, domain, resourcev1.DeviceMaxDomainLength))
		default:
			errs = append(errs, kind.Invalids(path, domain, utilvalidation.IsDNS1123Subdomain(domain))...)
		}
	}
	switch {
	case id == "":
		errs = append(errs, field.Required(path, "the name must not be empty"))
	case len(id) > resourcev1.DeviceMaxIDLength:
		errs = append(errs, field.TooLong(path, id, resourcev1.DeviceMaxIDLength))
	case !cIdentifier.MatchString(id):
		errs = append(errs, field.Invalid(path, id, "must be a valid C identifier"))
	}
	return errs
}

// validateClaimStatus keeps an allocation as it is while somebody relies on it.
func validateClaimStatus(c, old *resourcev1.ResourceClaim) field.ErrorList {
	path := field.NewPath("status")
	var errs field.ErrorList
	at := path.Child("reservedFor")
	if n := len(c.Status.ReservedFor); n > resourcev1.ResourceClaimReservedForMaxSize {
		errs = append(errs, field.TooMany(at, n, resourcev1.ResourceClaimReservedForMaxSize))
	}
	seen := map[types.UID]bool{}
	for i, r := range c.Status.ReservedFor {
		errs = append(errs, validateConsumer(r, at.Index(i))...)
		if seen[r.UID] {
			errs = append(errs, field.Duplicate(at.Index(i).Child("uid"), r.UID))
		}
		seen[r.UID] = true
	}
	if len(c.Status.ReservedFor) > 0 && c.Status.Allocation == nil {
		errs = append(errs, field.Forbidden(at, "may not be specified when `allocated` is not set"))
	}
	if c.DeletionTimestamp != nil && len(c.Status.ReservedFor) > len(old.Status.ReservedFor) {
		errs = append(errs, field.Forbidden(at, "new reservations may not be added while the claim is being deleted"))
	}
	if a := c.Status.Allocation; a != nil {
		errs = append(errs, validateAllocation(a, path.Child("allocation"))...)
		if was := old.Status.Allocation; was != nil && !equality.Semantic.DeepEqual(a, was) {
			errs = append(errs, field.Invalid(path.Child("allocation"), "<value omitted>", kind.Immutable))
		}
	}
	return append(errs, validateDeviceStatuses(c.Status.Devices, path.Child("devices"))...)
}

func validateConsumer(r resourcev1.ResourceClaimConsumerReference, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, part := range []struct{ name, value string }{{"resource", r.Resource}, {"name", r.Name}, {"uid", string(r.UID)}} {
		if part.value == "" {
			errs = append(errs, field.Required(path.Child(part.name), ""))
		}
	}
	return errs
}

func validateAllocation(a *resourcev1.AllocationResult, path *field.Path) field.ErrorList {
	at := path.Child("devices", "results")
	if n := len(a.Devices.Results); n > resourcev1.AllocationResultsMaxSize {
		return field.ErrorList{field.TooMany(at, n, resourcev1.AllocationResultsMaxSize)}
	}
	var errs field.ErrorList
	for i, r := range a.Devices.Results {
		if r.Request == "" {
			errs = append(errs, field.Required(at.Index(i).Child("request"), ""))
		}
		errs = append(errs, validateDriver(r.Driver, at.Index(i).Child("driver"))...)
		errs = append(errs, validatePool(r.Pool, at.Index(i).Child("pool"))...)
		errs = append(errs, validateDeviceName(r.Device, at.Index(i).Child("device"))...)
	}
	return errs
}

func validateDeviceStatuses(all []resourcev1.AllocatedDeviceStatus, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, d := range all {
		at := path.Index(i)
		errs = append(errs, validateDriver(d.Driver, at.Child("driver"))...)
		errs = append(errs, validatePool(d.Pool, at.Child("pool"))...)
		errs = append(errs, validateDeviceName(d.Device, at.Child("device"))...)
		if n := len(d.Conditions); n > resourcev1.AllocatedDeviceStatusMaxConditions {
			errs = append(errs, field.TooMany(at.Child("conditions"), n, resourcev1.AllocatedDeviceStatusMaxConditions))
		}
		errs = append(errs, metavalidation.ValidateConditions(d.Conditions, at.Child("conditions"))...)
		if d.Data != nil && len(d.Data.Raw) > resourcev1.AllocatedDeviceStatusDataMaxLength {
			errs = append(errs, field.TooLong(at.Child("data"), "", resourcev1.AllocatedDeviceStatusDataMaxLength))
		}
	}
	return errs
}
