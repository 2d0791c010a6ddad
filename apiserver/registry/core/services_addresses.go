package core

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/validation"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
)

// validateServiceAddresses checks families, cluster IPs and external IPs. Whether an
// address is free is the allocator's to say.
func validateServiceAddresses(spec *corev1.ServiceSpec, path *field.Path) field.ErrorList {
	errs := validateFamilies(spec, path)
	errs = append(errs, validateClusterIPs(spec, path)...)
	for i, ip := range spec.ExternalIPs {
		at := path.Child("externalIPs").Index(i)
		if bad := utilvalidation.IsValidIPForLegacyField(at, ip, false, nil); len(bad) > 0 {
			errs = append(errs, bad...)
			continue
		}
		errs = append(errs, kind.ValidateEndpointIP(ip, at)...)
	}
	return errs
}

func validateFamilies(spec *corev1.ServiceSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	at := path.Child("ipFamilies")
	for i, f := range spec.IPFamilies {
		errs = append(errs, kind.OneOf(f, at.Index(i), corev1.IPv4Protocol, corev1.IPv6Protocol)...)
		if slices.Contains(spec.IPFamilies[:i], f) {
			errs = append(errs, field.Duplicate(at.Index(i), f))
		}
	}
	if len(spec.IPFamilies) > 2 {
		errs = append(errs, field.Invalid(at, spec.IPFamilies, "may only hold up to 2 values"))
	}
	if spec.IPFamilyPolicy == nil {
		return errs
	}
	policy := path.Child("ipFamilyPolicy")
	errs = append(errs, kind.OneOf(*spec.IPFamilyPolicy, policy, corev1.IPFamilyPolicyPreferDualStack,
		corev1.IPFamilyPolicyRequireDualStack, corev1.IPFamilyPolicySingleStack)...)
	if spec.ClusterIP == corev1.ClusterIPNone && len(spec.Selector) == 0 {
		return errs // its owner brings the addresses
	}
	if *spec.IPFamilyPolicy == corev1.IPFamilyPolicyRequireDualStack {
		errs = append(errs, field.Invalid(policy, *spec.IPFamilyPolicy, "this cluster is not configured for dual-stack services"))
	}
	for i, f := range spec.IPFamilies {
		if f == corev1.IPv6Protocol {
			errs = append(errs, field.Invalid(at.Index(i), f, "not configured on this cluster"))
		}
	}
	return errs
}

func validateClusterIPs(spec *corev1.ServiceSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	at := path.Child("clusterIPs")
	if len(spec.ClusterIPs) > 0 && spec.ClusterIP != spec.ClusterIPs[0] {
		errs = append(errs, field.Invalid(at, spec.ClusterIPs, "first value must match `clusterIP`"))
	}
	if len(spec.ClusterIPs) > 2 {
		errs = append(errs, field.Invalid(at, spec.ClusterIPs, "may only hold up to 2 values"))
	}
	for i, ip := range spec.ClusterIPs {
		if ip == corev1.ClusterIPNone {
			if len(spec.ClusterIPs) > 1 {
				errs = append(errs, field.Invalid(at, spec.ClusterIPs, "'None' must be the first and only value"))
			}
			continue
		}
		errs = append(errs, utilvalidation.IsValidIPForLegacyField(at.Index(i), ip, false, nil)...)
	}
	return errs
}

// validateServiceUpdate keeps what others remember about a service: its address.
func validateServiceUpdate(s, old *corev1.Service) field.ErrorList {
	var errs field.ErrorList
	path := field.NewPath("spec")
	if hasClusterIP(&s.Spec) && hasClusterIP(&old.Spec) && old.Spec.ClusterIP != "" && s.Spec.ClusterIP != old.Spec.ClusterIP {
		errs = append(errs, field.Invalid(path.Child("clusterIPs").Index(0), s.Spec.ClusterIP, "may not change once set"))
	}
	if hasHealthCheckPort(&s.Spec) && hasHealthCheckPort(&old.Spec) && old.Spec.HealthCheckNodePort != 0 {
		errs = append(errs, validation.ValidateImmutableField(s.Spec.HealthCheckNodePort, old.Spec.HealthCheckNodePort, path.Child("healthCheckNodePort"))...)
	}
	if s.Spec.Type == corev1.ServiceTypeLoadBalancer && old.Spec.Type == corev1.ServiceTypeLoadBalancer {
		is, was := s.Spec.LoadBalancerClass, old.Spec.LoadBalancerClass
		if (is == nil) != (was == nil) || (is != nil && *is != *was) {
			errs = append(errs, field.Invalid(path.Child("loadBalancerClass"), is, "may not change once set"))
		}
	}
	return errs
}

func validateServiceStatus(s, _ *corev1.Service) field.ErrorList {
	path := field.NewPath("status")
	errs := metavalidation.ValidateConditions(s.Status.Conditions, path.Child("conditions"))
	ingress := path.Child("loadBalancer", "ingress")
	if s.Spec.Type != corev1.ServiceTypeLoadBalancer && len(s.Status.LoadBalancer.Ingress) > 0 {
		return append(errs, field.Forbidden(ingress, "may only be used when `spec.type` is \"LoadBalancer\""))
	}
	for i, in := range s.Status.LoadBalancer.Ingress {
		at := ingress.Index(i)
		if in.IP != "" {
			errs = append(errs, utilvalidation.IsValidIPForLegacyField(at.Child("ip"), in.IP, false, nil)...)
		}
		if in.IPMode != nil {
			errs = append(errs, kind.OneOf(*in.IPMode, at.Child("ipMode"), corev1.LoadBalancerIPModeProxy, corev1.LoadBalancerIPModeVIP)...)
			if in.IP == "" {
				errs = append(errs, field.Forbidden(at.Child("ipMode"), "may not be specified when `ip` is not set"))
			}
		}
		if in.Hostname != "" {
			errs = append(errs, kind.Invalids(at.Child("hostname"), in.Hostname, utilvalidation.IsDNS1123Subdomain(in.Hostname))...)
		}
	}
	return errs
}

// warnService names the fields that nothing in this cluster acts upon.
func warnService(s, _ *corev1.Service, _ bool) []string {
	var all []string
	path := field.NewPath("spec")
	if s.Spec.Type == corev1.ServiceTypeLoadBalancer {
		all = append(all, kind.Unserved(path.Child("type"), "no load balancer answers here; the service is reached by cluster IP and node ports"))
	}
	if s.Spec.Type != corev1.ServiceTypeExternalName && s.Spec.ExternalName != "" {
		all = append(all, fmt.Sprintf("spec.externalName is ignored when spec.type is not %q", corev1.ServiceTypeExternalName))
	}
	all = append(all, warnHeadless(&s.Spec)...)
	if s.Spec.LoadBalancerIP != "" {
		all = append(all, kind.Unserved(path.Child("loadBalancerIP"), "deprecated, and not acted upon"))
	}
	return all
}

// warnHeadless names what a service without an address of its own cannot have.
func warnHeadless(spec *corev1.ServiceSpec) []string {
	if spec.ClusterIP != corev1.ClusterIPNone {
		return nil
	}
	var all []string
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"loadBalancerIP", spec.LoadBalancerIP != ""},
		{"externalIPs", len(spec.ExternalIPs) > 0},
		{"SessionAffinity", spec.SessionAffinity != "" && spec.SessionAffinity != corev1.ServiceAffinityNone},
	} {
		if f.set {
			all = append(all, "spec."+f.name+" is ignored for headless services")
		}
	}
	return all
}
