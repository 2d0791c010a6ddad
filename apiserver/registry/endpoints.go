package registry

//lint:file-ignore SA1019 Endpoints are deprecated, and served.

import (
	"net"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/resource"
)

// endpoints is the old form of EndpointSlice, served for clients that still read it.
func endpoints() resource.Descriptor {
	type eps = *corev1.Endpoints
	return describe(kind[eps]{
		singular:            "endpoints",
		shortNames:          []string{"ep"},
		new:                 func() eps { return &corev1.Endpoints{} },
		newList:             func() runtime.Object { return &corev1.EndpointsList{} },
		defaults:            defaultEndpoints,
		validate:            validateEndpoints,
		createOnUpdate:      true,
		unconditionalUpdate: true,
		columns: []column[eps]{
			nameColumn[eps](),
			textColumn("Endpoints", "The addresses behind the Service of the same name.", printEndpoints),
			ageColumn[eps](),
		},
	})
}

func defaultEndpoints(e *corev1.Endpoints) {
	for i := range e.Subsets {
		ports := e.Subsets[i].Ports
		for j := range ports {
			if ports[j].Protocol == "" {
				ports[j].Protocol = corev1.ProtocolTCP
			}
		}
	}
}

func validateEndpoints(e *corev1.Endpoints) field.ErrorList {
	var errs field.ErrorList
	for i, subset := range e.Subsets {
		path := field.NewPath("subsets").Index(i)
		if len(subset.Addresses) == 0 && len(subset.NotReadyAddresses) == 0 {
			errs = append(errs, field.Required(path, "must specify `addresses` or `notReadyAddresses`"))
		}
		for j, a := range subset.Addresses {
			errs = append(errs, validateEndpointAddress(a, path.Child("addresses").Index(j))...)
		}
		for j, a := range subset.NotReadyAddresses {
			errs = append(errs, validateEndpointAddress(a, path.Child("notReadyAddresses").Index(j))...)
		}
		for j, p := range subset.Ports {
			errs = append(errs, validateEndpointsPort(p, len(subset.Ports) > 1, path.Child("ports").Index(j))...)
		}
	}
	return errs
}

func validateEndpointAddress(a corev1.EndpointAddress, path *field.Path) field.ErrorList {
	errs := validateEndpointIP(a.IP, path.Child("ip"))
	if a.Hostname != "" {
		errs = append(errs, invalids(path.Child("hostname"), a.Hostname, utilvalidation.IsDNS1123Label(a.Hostname))...)
	}
	if a.NodeName != nil {
		errs = append(errs, invalids(path.Child("nodeName"), *a.NodeName, utilvalidation.IsDNS1123Subdomain(*a.NodeName))...)
	}
	return errs
}

// validateEndpointIP refuses addresses that would let an endpoint point at the node
// itself or at everybody.
func validateEndpointIP(value string, path *field.Path) field.ErrorList {
	if value == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	if errs := utilvalidation.IsValidIP(path, value); len(errs) > 0 {
		return errs
	}
	ip := net.ParseIP(value)
	var errs field.ErrorList
	for _, refused := range []struct {
		is   bool
		what string
	}{
		{ip.IsUnspecified(), "may not be unspecified (0.0.0.0 or ::)"},
		{ip.IsLoopback(), "may not be in the loopback range (127.0.0.0/8, ::1/128)"},
		{ip.IsLinkLocalUnicast(), "may not be in the link-local range (169.254.0.0/16, fe80::/10)"},
		{ip.IsLinkLocalMulticast(), "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"},
	} {
		if refused.is {
			errs = append(errs, field.Invalid(path, value, refused.what))
		}
	}
	return errs
}

func validateEndpointsPort(p corev1.EndpointPort, needsName bool, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	switch {
	case needsName && p.Name == "":
		errs = append(errs, field.Required(path.Child("name"), ""))
	case p.Name != "":
		errs = append(errs, invalids(path.Child("name"), p.Name, utilvalidation.IsDNS1123Label(p.Name))...)
	}
	errs = append(errs, validPort(p.Port, path.Child("port"))...)
	errs = append(errs, validateProtocol(p.Protocol, path.Child("protocol"))...)
	if p.AppProtocol != nil {
		errs = append(errs, invalids(path.Child("appProtocol"), *p.AppProtocol, utilvalidation.IsQualifiedName(*p.AppProtocol))...)
	}
	return errs
}

func validateProtocol(p corev1.Protocol, path *field.Path) field.ErrorList {
	return requiredOneOf(p, path, corev1.ProtocolSCTP, corev1.ProtocolTCP, corev1.ProtocolUDP)
}

// printEndpoints shows the first three ready addresses, and how many more there are.
func printEndpoints(e *corev1.Endpoints) string {
	var all []string
	for _, subset := range e.Subsets {
		for _, a := range subset.Addresses {
			if len(subset.Ports) == 0 {
				all = append(all, a.IP)
			}
			for _, p := range subset.Ports {
				all = append(all, net.JoinHostPort(a.IP, strconv.Itoa(int(p.Port))))
			}
		}
	}
	return firstFew(all)
}

// firstFew joins the first three of many with commas: "a,b,c + 2 more...".
func firstFew(all []string) string {
	const few = 3
	if len(all) == 0 {
		return none
	}
	if len(all) <= few {
		return strings.Join(all, ",")
	}
	return strings.Join(all[:few], ",") + " + " + strconv.Itoa(len(all)-few) + " more..."
}
