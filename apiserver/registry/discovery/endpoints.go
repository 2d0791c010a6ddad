package discovery

//lint:file-ignore SA1019 Endpoints are deprecated, and served.

import (
	"net"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/resource"
)

// endpoints is the old form of EndpointSlice, served for clients that still read it.
func endpoints() resource.Descriptor {
	type eps = *corev1.Endpoints
	return kind.Describe(kind.Of[eps]{
		Singular:            "endpoints",
		ShortNames:          []string{"ep"},
		New:                 func() eps { return &corev1.Endpoints{} },
		NewList:             func() runtime.Object { return &corev1.EndpointsList{} },
		Defaults:            defaultEndpoints,
		Validate:            validateEndpoints,
		CreateOnUpdate:      true,
		UnconditionalUpdate: true,
		Columns: []kind.Column[eps]{
			kind.NameColumn[eps](),
			kind.TextColumn("Endpoints", "The addresses behind the Service of the same name.", printEndpoints),
			kind.AgeColumn[eps](),
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
	errs := kind.ValidateEndpointIP(a.IP, path.Child("ip"))
	if a.Hostname != "" {
		errs = append(errs, kind.Invalids(path.Child("hostname"), a.Hostname, utilvalidation.IsDNS1123Label(a.Hostname))...)
	}
	if a.NodeName != nil {
		errs = append(errs, kind.Invalids(path.Child("nodeName"), *a.NodeName, utilvalidation.IsDNS1123Subdomain(*a.NodeName))...)
	}
	return errs
}

func validateEndpointsPort(p corev1.EndpointPort, needsName bool, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	switch {
	case needsName && p.Name == "":
		errs = append(errs, field.Required(path.Child("name"), ""))
	case p.Name != "":
		errs = append(errs, kind.Invalids(path.Child("name"), p.Name, utilvalidation.IsDNS1123Label(p.Name))...)
	}
	errs = append(errs, kind.ValidPort(p.Port, path.Child("port"))...)
	errs = append(errs, kind.ValidateProtocol(p.Protocol, path.Child("protocol"))...)
	if p.AppProtocol != nil {
		errs = append(errs, kind.Invalids(path.Child("appProtocol"), *p.AppProtocol, utilvalidation.IsQualifiedName(*p.AppProtocol))...)
	}
	return errs
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
	return kind.FirstFew(all)
}
