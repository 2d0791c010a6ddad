package dra

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/validation"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
)

// semver is a semantic version, as semver.org writes it.
var semver = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$`)

func validateSlice(s *resourcev1.ResourceSlice) field.ErrorList {
	path := field.NewPath("spec")
	errs := validateDriver(s.Spec.Driver, path.Child("driver"))
	pool := path.Child("pool")
	errs = append(errs, validatePool(s.Spec.Pool.Name, pool.Child("name"))...)
	if s.Spec.Pool.ResourceSliceCount <= 0 {
		errs = append(errs, field.Invalid(pool.Child("resourceSliceCount"), s.Spec.Pool.ResourceSliceCount, "must be greater than zero"))
	}
	errs = append(errs, kind.NotNegative(s.Spec.Pool.Generation, pool.Child("generation"))...)
	errs = append(errs, validateWhere(s, path)...)
	at := path.Child("devices")
	if n := len(s.Spec.Devices); n > resourcev1.ResourceSliceMaxDevices {
		return append(errs, field.TooMany(at, n, resourcev1.ResourceSliceMaxDevices))
	}
	names := map[string]bool{}
	for i := range s.Spec.Devices {
		d := &s.Spec.Devices[i]
		if names[d.Name] {
			errs = append(errs, field.Duplicate(at.Index(i).Child("name"), d.Name))
		}
		names[d.Name] = true
		errs = append(errs, validateDevice(d, at.Index(i))...)
	}
	return errs
}

// validateWhere wants one way of saying which nodes reach the devices.
func validateWhere(s *resourcev1.ResourceSlice, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	ways := 0
	if n := s.Spec.NodeName; n != nil {
		ways++
		if *n == "" {
			errs = append(errs, field.Invalid(path.Child("nodeName"), *n, "must be either unset or set to a non-empty string"))
		} else {
			errs = append(errs, kind.Invalids(path.Child("nodeName"), *n, validation.NameIsDNSSubdomain(*n, false))...)
		}
	}
	if n := s.Spec.NodeSelector; n != nil {
		ways++
		if len(n.NodeSelectorTerms) != 1 {
			errs = append(errs, field.Invalid(path.Child("nodeSelector", "nodeSelectorTerms"), len(n.NodeSelectorTerms), "must have exactly one node selector term"))
		}
	}
	for _, flag := range []struct {
		name string
		set  *bool
	}{{"allNodes", s.Spec.AllNodes}, {"perDeviceNodeSelection", s.Spec.PerDeviceNodeSelection}} {
		if flag.set == nil {
			continue
		}
		if ways++; !*flag.set {
			errs = append(errs, field.Invalid(path.Child(flag.name), false, "must be either unset or set to true"))
		}
	}
	if ways != 1 {
		errs = append(errs, field.Invalid(path, ways, "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"))
	}
	return errs
}

// validatePool takes names of DNS, joined by slashes.
func validatePool(name string, path *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	if len(name) > resourcev1.PoolNameMaxLength {
		return field.ErrorList{field.TooLong(path, name, resourcev1.PoolNameMaxLength)}
	}
	var errs field.ErrorList
	for part := range strings.SplitSeq(name, "/") {
		errs = append(errs, kind.Invalids(path, part, utilvalidation.IsDNS1123Subdomain(part))...)
	}
	return errs
}

func validateDeviceName(name string, path *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	return kind.Invalids(path, name, utilvalidation.IsDNS1123Label(name))
}

func validateDevice(d *resourcev1.Device, path *field.Path) field.ErrorList {
	errs := validateDeviceName(d.Name, path.Child("name"))
	if n := len(d.Attributes) + len(d.Capacity); n > resourcev1.ResourceSliceMaxAttributesAndCapacitiesPerDevice {
		errs = append(errs, field.Invalid(path, n, "the total number of attributes and capacities must not exceed 32"))
	}
	for _, name := range slices.Sorted(maps.Keys(d.Attributes)) {
		a, at := d.Attributes[name], path.Child("attributes").Key(string(name))
		errs = append(errs, validateQualified(string(name), at)...)
		errs = append(errs, validateAttribute(a, at)...)
	}
	for _, name := range slices.Sorted(maps.Keys(d.Capacity)) {
		c, at := d.Capacity[name], path.Child("capacity").Key(string(name))
		errs = append(errs, validateQualified(string(name), at)...)
		if c.Value.Sign() < 0 {
			errs = append(errs, field.Invalid(at.Child("value"), c.Value.String(), "must be greater than or equal to 0"))
		}
	}
	if n := len(d.Taints); n > resourcev1.DeviceTaintsMaxLength {
		errs = append(errs, field.TooMany(path.Child("taints"), n, resourcev1.DeviceTaintsMaxLength))
	}
	for i, t := range d.Taints {
		errs = append(errs, validateTaint(t, path.Child("taints").Index(i))...)
	}
	return errs
}

// validateAttribute wants one value, or one list of values.
func validateAttribute(a resourcev1.DeviceAttribute, path *field.Path) field.ErrorList {
	set := 0
	for _, has := range []bool{
		a.IntValue != nil, a.BoolValue != nil, a.StringValue != nil, a.VersionValue != nil,
		a.IntValues != nil, a.BoolValues != nil, a.StringValues != nil, a.VersionValues != nil,
	} {
		if has {
			set++
		}
	}
	if set != 1 {
		return field.ErrorList{field.Invalid(path, set, "exactly one value must be specified")}
	}
	var errs field.ErrorList
	words, versions := a.StringValues, a.VersionValues
	if a.StringValue != nil {
		words = []string{*a.StringValue}
	}
	if a.VersionValue != nil {
		versions = []string{*a.VersionValue}
	}
	for _, w := range words {
		if len(w) > resourcev1.DeviceAttributeMaxValueLength {
			errs = append(errs, field.TooLong(path.Child("string"), w, resourcev1.DeviceAttributeMaxValueLength))
		}
	}
	for _, v := range versions {
		switch {
		case len(v) > resourcev1.DeviceAttributeMaxValueLength:
			errs = append(errs, field.TooLong(path.Child("version"), v, resourcev1.DeviceAttributeMaxValueLength))
		case !semver.MatchString(v):
			errs = append(errs, field.Invalid(path.Child("version"), v, "must be a string compatible with semver.org spec 2.0.0"))
		}
	}
	return errs
}

func validateTaint(t resourcev1.DeviceTaint, path *field.Path) field.ErrorList {
	errs := metavalidation.ValidateLabelName(t.Key, path.Child("key"))
	errs = append(errs, kind.Invalids(path.Child("value"), t.Value, utilvalidation.IsValidLabelValue(t.Value))...)
	return append(errs, validateEffect(t.Effect, path.Child("effect"))...)
}

func validateTaintRule(r *resourcev1.DeviceTaintRule) field.ErrorList {
	path := field.NewPath("spec")
	var errs field.ErrorList
	if s := r.Spec.DeviceSelector; s != nil {
		at := path.Child("deviceSelector")
		if s.Driver != nil {
			errs = append(errs, validateDriver(*s.Driver, at.Child("driver"))...)
		}
		if s.Pool != nil {
			errs = append(errs, validatePool(*s.Pool, at.Child("pool"))...)
		}
		if s.Device != nil {
			errs = append(errs, validateDeviceName(*s.Device, at.Child("device"))...)
		}
	}
	return append(errs, validateTaint(r.Spec.Taint, path.Child("taint"))...)
}

// validateSliceUpdate: who looks for a node's devices by these fields must not lose sight of them.
func validateSliceUpdate(s, old *resourcev1.ResourceSlice) field.ErrorList {
	path := field.NewPath("spec")
	errs := validation.ValidateImmutableField(s.Spec.Driver, old.Spec.Driver, path.Child("driver"))
	errs = append(errs, validation.ValidateImmutableField(s.Spec.Pool.Name, old.Spec.Pool.Name, path.Child("pool", "name"))...)
	errs = append(errs, validation.ValidateImmutableField(s.Spec.NodeName, old.Spec.NodeName, path.Child("nodeName"))...)
	return append(errs, validation.ValidateImmutableField(s.Spec.AllNodes, old.Spec.AllNodes, path.Child("allNodes"))...)
}
