package networking

import (
	"fmt"
	"net/netip"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/validation"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/resource"
)

func serviceCIDRs() resource.Descriptor {
	type serviceCIDR = *networkingv1.ServiceCIDR
	return kind.Describe(kind.Of[serviceCIDR]{
		Singular:      "servicecidr",
		New:           func() serviceCIDR { return &networkingv1.ServiceCIDR{} },
		NewList:       func() runtime.Object { return &networkingv1.ServiceCIDRList{} },
		PrepareCreate: func(c serviceCIDR) { c.Status = networkingv1.ServiceCIDRStatus{} },
		PrepareUpdate: func(c, old serviceCIDR) { c.Status = old.Status },
		Validate:      validateServiceCIDR,
		ValidateUpdate: func(c, old serviceCIDR) field.ErrorList {
			return validateServiceCIDRUpdate(c.Spec.CIDRs, old.Spec.CIDRs)
		},
		Warnings:            warnServiceCIDR,
		UnconditionalUpdate: true,
		Columns: []kind.Column[serviceCIDR]{
			kind.NameColumn[serviceCIDR](),
			kind.TextColumn("CIDRs", "The ranges of addresses.", func(c serviceCIDR) string { return strings.Join(c.Spec.CIDRs, ",") }),
			kind.AgeColumn[serviceCIDR](),
		},
		Subresources: []resource.Subresource{
			kind.StatusOf(func(c, old serviceCIDR) { c.Spec = old.Spec }, func(c, _ serviceCIDR) field.ErrorList {
				return metavalidation.ValidateConditions(c.Status.Conditions, field.NewPath("status", "conditions"))
			}),
		},
	})
}

func validateServiceCIDR(c *networkingv1.ServiceCIDR) field.ErrorList {
	path := field.NewPath("spec", "cidrs")
	switch n := len(c.Spec.CIDRs); {
	case n == 0:
		return field.ErrorList{field.Required(path, "at least one CIDR required")}
	case n > 2:
		return field.ErrorList{field.Invalid(path, c.Spec.CIDRs, "may only hold up to 2 values")}
	}
	var errs field.ErrorList
	families := map[bool]bool{}
	for i, text := range c.Spec.CIDRs {
		at := path.Index(i)
		if bad := utilvalidation.IsValidCIDR(at, text); len(bad) > 0 {
			errs = append(errs, bad...)
			continue
		}
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			continue // IsValidCIDR has said so
		}
		if prefix.Masked().String() != text {
			errs = append(errs, field.Invalid(at, text, fmt.Sprintf("CIDR value must be in canonical form, as %q", prefix.Masked())))
		}
		families[prefix.Addr().Is4()] = true
	}
	if len(errs) == 0 && len(families) != len(c.Spec.CIDRs) {
		errs = append(errs, field.Invalid(path, c.Spec.CIDRs, "may specify no more than one IP for each IP family, i.e [\"192.168.0.0/24\", \"2001:db8::/64\"]"))
	}
	return errs
}

// validateServiceCIDRUpdate lets a range of the other family be added, and nothing else.
func validateServiceCIDRUpdate(is, was []string) field.ErrorList {
	if len(was) == 1 && len(is) == 2 && is[0] == was[0] || equality.Semantic.DeepEqual(is, was) {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("spec", "cidrs"), is, kind.Immutable)}
}

func warnServiceCIDR(c, _ *networkingv1.ServiceCIDR, isUpdate bool) []string {
	var all []string
	for i, text := range c.Spec.CIDRs {
		if strings.Contains(text, ":") && !isUpdate {
			all = append(all, kind.Unserved(field.NewPath("spec", "cidrs").Index(i), "Services of this cluster have IPv4 addresses only"))
		}
	}
	return all
}

func ipAddresses() resource.Descriptor {
	type address = *networkingv1.IPAddress
	return kind.Describe(kind.Of[address]{
		Singular:   "ipaddress",
		ShortNames: []string{"ip"},
		New:        func() address { return &networkingv1.IPAddress{} },
		NewList:    func() runtime.Object { return &networkingv1.IPAddressList{} },
		Validate: func(a address) field.ErrorList {
			return validateParent(a.Spec.ParentRef, field.NewPath("spec", "parentRef"))
		},
		ValidateUpdate:      validateIPAddressUpdate,
		ValidateName:        validateAddressName,
		UnconditionalUpdate: true,
		Columns: []kind.Column[address]{
			kind.NameColumn[address](),
			kind.TextColumn("ParentRef", "Who has the address.", func(a address) string { return printParent(a.Spec.ParentRef) }),
			kind.AgeColumn[address](),
		},
	})
}

func printParent(p *networkingv1.ParentReference) string {
	if p == nil {
		return kind.None
	}
	parts := []string{strings.ToLower(schema.GroupResource{Group: p.Group, Resource: p.Resource}.String())}
	if p.Namespace != "" {
		parts = append(parts, p.Namespace)
	}
	return strings.Join(append(parts, p.Name), "/")
}

// validateAddressName: the name is the address, in the one way to write it.
func validateAddressName(name string, _ bool) []string {
	ip, err := netip.ParseAddr(name)
	switch {
	case err != nil:
		return []string{"must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"}
	case ip.String() != name || ip.Zone() != "" || ip.Is4In6():
		return []string{fmt.Sprintf("must be a valid IP address in canonical format: %s", ip.Unmap().WithZone(""))}
	}
	return nil
}

func validateParent(p *networkingv1.ParentReference, path *field.Path) field.ErrorList {
	if p == nil {
		return field.ErrorList{field.Required(path, "")}
	}
	var errs field.ErrorList
	if p.Group != "" {
		errs = append(errs, kind.Invalids(path.Child("group"), p.Group, utilvalidation.IsDNS1123Subdomain(p.Group))...)
	}
	for _, part := range []struct {
		name, value string
		optional    bool
	}{{"resource", p.Resource, false}, {"name", p.Name, false}, {"namespace", p.Namespace, true}} {
		switch {
		case part.value != "":
			errs = append(errs, kind.Invalids(path.Child(part.name), part.value, kind.PathSegment(part.value, false))...)
		case !part.optional:
			errs = append(errs, field.Required(path.Child(part.name), ""))
		}
	}
	return errs
}

func validateIPAddressUpdate(a, old *networkingv1.IPAddress) field.ErrorList {
	return validation.ValidateImmutableField(a.Spec.ParentRef, old.Spec.ParentRef, field.NewPath("spec", "parentRef"))
}
