package discovery

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/resource"
)

const (
	maxSliceEndpoints    = 1000
	maxSlicePorts        = 20000
	maxEndpointAddresses = 100
	maxZoneHints         = 8
)

func endpointSlices() resource.Descriptor {
	type slice = *discoveryv1.EndpointSlice
	return kind.Describe(kind.Of[slice]{
		Singular:            "endpointslice",
		New:                 func() slice { return &discoveryv1.EndpointSlice{} },
		NewList:             func() runtime.Object { return &discoveryv1.EndpointSliceList{} },
		Defaults:            defaultEndpointSlice,
		PrepareCreate:       func(s slice) { s.Generation = 1 },
		PrepareUpdate:       prepareEndpointSliceUpdate,
		Validate:            validateEndpointSlice,
		ValidateUpdate:      validateEndpointSliceUpdate,
		UnconditionalUpdate: true,
		Columns: []kind.Column[slice]{
			kind.NameColumn[slice](),
			kind.TextColumn("AddressType", "What kind of addresses the slice holds.", func(s slice) string { return string(s.AddressType) }),
			kind.TextColumn("Ports", "The ports of the endpoints.", printSlicePorts),
			kind.TextColumn("Endpoints", "The addresses of the endpoints.", printSliceAddresses),
			kind.AgeColumn[slice](),
		},
	})
}

func defaultEndpointSlice(s *discoveryv1.EndpointSlice) {
	for i := range s.Ports {
		p := &s.Ports[i]
		if p.Name == nil {
			p.Name = ptr.To("")
		}
		if p.Protocol == nil {
			p.Protocol = ptr.To(corev1.ProtocolTCP)
		}
	}
}

// prepareEndpointSliceUpdate bumps the generation for everything that a proxy may look
// at: a slice has no spec to tell it from.
func prepareEndpointSliceUpdate(s, old *discoveryv1.EndpointSlice) {
	s.Generation = old.Generation
	if !equality.Semantic.DeepEqual(s.Endpoints, old.Endpoints) ||
		!equality.Semantic.DeepEqual(s.Ports, old.Ports) ||
		!equality.Semantic.DeepEqual(s.Labels, old.Labels) ||
		!equality.Semantic.DeepEqual(s.Annotations, old.Annotations) {
		s.Generation = old.Generation + 1
	}
}

func validateEndpointSlice(s *discoveryv1.EndpointSlice) field.ErrorList {
	errs := kind.RequiredOneOf(s.AddressType, field.NewPath("addressType"),
		discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6, discoveryv1.AddressTypeFQDN)
	path := field.NewPath("endpoints")
	if len(s.Endpoints) > maxSliceEndpoints {
		return append(errs, field.TooMany(path, len(s.Endpoints), maxSliceEndpoints))
	}
	for i, e := range s.Endpoints {
		errs = append(errs, validateEndpoint(e, s.AddressType, path.Index(i))...)
	}
	return append(errs, validateSlicePorts(s.Ports)...)
}

func validateEndpoint(e discoveryv1.Endpoint, typ discoveryv1.AddressType, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	addresses := path.Child("addresses")
	switch n := len(e.Addresses); {
	case n == 0:
		errs = append(errs, field.Required(addresses, "must contain at least 1 address"))
	case n > maxEndpointAddresses:
		errs = append(errs, field.TooMany(addresses, n, maxEndpointAddresses))
	}
	for i, a := range e.Addresses {
		errs = append(errs, validateSliceAddress(a, typ, addresses.Index(i))...)
	}
	if e.Hostname != nil {
		errs = append(errs, kind.Invalids(path.Child("hostname"), *e.Hostname, utilvalidation.IsDNS1123Label(*e.Hostname))...)
	}
	if e.NodeName != nil {
		errs = append(errs, kind.Invalids(path.Child("nodeName"), *e.NodeName, utilvalidation.IsDNS1123Subdomain(*e.NodeName))...)
	}
	if _, ok := e.DeprecatedTopology[corev1.LabelTopologyZone]; ok {
		errs = append(errs, field.Forbidden(path.Child("deprecatedTopology").Key(corev1.LabelTopologyZone), "use `zone` instead"))
	}
	if e.Hints != nil {
		errs = append(errs, validateHints(e.Hints, path.Child("hints"))...)
	}
	return errs
}

func validateSliceAddress(a string, typ discoveryv1.AddressType, path *field.Path) field.ErrorList {
	switch typ {
	case discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6:
		errs := kind.ValidateEndpointIP(a, path)
		if len(errs) == 0 && kind.IsIPv6(a) != (typ == discoveryv1.AddressTypeIPv6) {
			errs = append(errs, field.Invalid(path, a, "must be an "+string(typ)+" address"))
		}
		return errs
	case discoveryv1.AddressTypeFQDN:
		return utilvalidation.IsFullyQualifiedName(path, a)
	}
	return nil
}

func validateHints(h *discoveryv1.EndpointHints, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(h.ForZones) > maxZoneHints {
		errs = append(errs, field.TooMany(path.Child("forZones"), len(h.ForZones), maxZoneHints))
	}
	seen := map[string]bool{}
	for i, z := range h.ForZones {
		at := path.Child("forZones").Index(i).Child("name")
		if seen[z.Name] {
			errs = append(errs, field.Duplicate(at, z.Name))
		}
		seen[z.Name] = true
		errs = append(errs, kind.Invalids(at, z.Name, utilvalidation.IsValidLabelValue(z.Name))...)
	}
	if len(h.ForNodes) > maxZoneHints {
		errs = append(errs, field.TooMany(path.Child("forNodes"), len(h.ForNodes), maxZoneHints))
	}
	for i, n := range h.ForNodes {
		errs = append(errs, kind.Invalids(path.Child("forNodes").Index(i).Child("name"), n.Name, utilvalidation.IsDNS1123Subdomain(n.Name))...)
	}
	return errs
}

func validateSlicePorts(ports []discoveryv1.EndpointPort) field.ErrorList {
	path := field.NewPath("ports")
	if len(ports) > maxSlicePorts {
		return field.ErrorList{field.TooMany(path, len(ports), maxSlicePorts)}
	}
	var errs field.ErrorList
	seen := map[string]bool{}
	for i, p := range ports {
		at := path.Index(i)
		name := ptr.Deref(p.Name, "")
		if name != "" {
			errs = append(errs, kind.Invalids(at.Child("name"), name, utilvalidation.IsDNS1123Label(name))...)
		}
		if seen[name] {
			errs = append(errs, field.Duplicate(at.Child("name"), name))
		}
		seen[name] = true
		errs = append(errs, kind.ValidateProtocol(ptr.Deref(p.Protocol, ""), at.Child("protocol"))...)
		if p.Port != nil {
			errs = append(errs, kind.ValidPort(*p.Port, at.Child("port"))...)
		}
		if p.AppProtocol != nil {
			errs = append(errs, kind.Invalids(at.Child("appProtocol"), *p.AppProtocol, utilvalidation.IsQualifiedName(*p.AppProtocol))...)
		}
	}
	return errs
}

func validateEndpointSliceUpdate(s, old *discoveryv1.EndpointSlice) field.ErrorList {
	if s.AddressType == old.AddressType {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("addressType"), s.AddressType, kind.Immutable)}
}

func printSlicePorts(s *discoveryv1.EndpointSlice) string {
	if len(s.Ports) == 0 {
		return "<unset>"
	}
	var ports []string
	for _, p := range s.Ports {
		if p.Port == nil {
			ports = append(ports, "*")
			continue
		}
		ports = append(ports, strconv.Itoa(int(*p.Port)))
	}
	return kind.FirstFew(ports)
}

func printSliceAddresses(s *discoveryv1.EndpointSlice) string {
	if len(s.Endpoints) == 0 {
		return "<unset>"
	}
	var addresses []string
	for _, e := range s.Endpoints {
		addresses = append(addresses, e.Addresses...)
	}
	return kind.FirstFew(addresses)
}
