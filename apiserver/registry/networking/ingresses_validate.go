package networking

import (
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/validation"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
)

// maxController is how long the name of a controller may be.
const maxController = 250

func validateIngress(i *networkingv1.Ingress) field.ErrorList {
	var errs field.ErrorList
	path, spec := field.NewPath("spec"), &i.Spec
	if len(spec.Rules) == 0 && spec.DefaultBackend == nil {
		errs = append(errs, field.Invalid(path, spec.Rules, "either `defaultBackend` or `rules` must be specified"))
	}
	if spec.DefaultBackend != nil {
		errs = append(errs, validateBackend(spec.DefaultBackend, path.Child("defaultBackend"))...)
	}
	for n, r := range spec.Rules {
		errs = append(errs, validateIngressRule(r, path.Child("rules").Index(n))...)
	}
	for n, t := range spec.TLS {
		errs = append(errs, validateIngressTLS(t, path.Child("tls").Index(n))...)
	}
	if c := spec.IngressClassName; c != nil {
		errs = append(errs, kind.Invalids(path.Child("ingressClassName"), *c, validation.NameIsDNSSubdomain(*c, false))...)
		if old, both := i.Annotations[classAnnotation]; both && i.ResourceVersion == "" {
			errs = append(errs, field.Invalid(field.NewPath("metadata", "annotations").Child(classAnnotation), old,
				"can not be set when the class field is also set"))
		}
	}
	return errs
}

func validateIngressTLS(t networkingv1.IngressTLS, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for n, host := range t.Hosts {
		errs = append(errs, validateHost(host, path.Child("hosts").Index(n))...)
	}
	if t.SecretName != "" {
		errs = append(errs, kind.Invalids(path.Child("secretName"), t.SecretName, validation.NameIsDNSSubdomain(t.SecretName, false))...)
	}
	return errs
}

// validateHost takes a DNS name, whose first label may be a wildcard.
func validateHost(host string, path *field.Path) field.ErrorList {
	if strings.Contains(host, "*") {
		return kind.Invalids(path, host, utilvalidation.IsWildcardDNS1123Subdomain(host))
	}
	return kind.Invalids(path, host, utilvalidation.IsDNS1123Subdomain(host))
}

func validateIngressRule(r networkingv1.IngressRule, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if r.Host != "" {
		if _, err := netip.ParseAddr(r.Host); err == nil {
			errs = append(errs, field.Invalid(path.Child("host"), r.Host, "must be a DNS name, not an IP address"))
		}
		errs = append(errs, validateHost(r.Host, path.Child("host"))...)
	}
	if r.HTTP == nil {
		return errs
	}
	at := path.Child("http", "paths")
	if len(r.HTTP.Paths) == 0 {
		errs = append(errs, field.Required(at, ""))
	}
	for n := range r.HTTP.Paths {
		errs = append(errs, validateHTTPPath(&r.HTTP.Paths[n], at.Index(n))...)
	}
	return errs
}

// badInPath are parts by which a path could mean another one than it seems to.
var badInPath, badAtEnd = []string{"//", "/./", "/../", "%2f", "%2F"}, []string{"/..", "/."}

func validateHTTPPath(p *networkingv1.HTTPIngressPath, path *field.Path) field.ErrorList {
	if p.PathType == nil {
		return field.ErrorList{field.Required(path.Child("pathType"), "pathType must be specified")}
	}
	var errs field.ErrorList
	at := path.Child("path")
	absolute := strings.HasPrefix(p.Path, "/")
	switch *p.PathType {
	case networkingv1.PathTypeExact, networkingv1.PathTypePrefix:
		if !absolute {
			errs = append(errs, field.Invalid(at, p.Path, "must be an absolute path"))
		}
		for _, bad := range badInPath {
			if strings.Contains(p.Path, bad) {
				errs = append(errs, field.Invalid(at, p.Path, "must not contain '"+bad+"'"))
			}
		}
		for _, bad := range badAtEnd {
			if strings.HasSuffix(p.Path, bad) {
				errs = append(errs, field.Invalid(at, p.Path, "cannot end with '"+bad+"'"))
			}
		}
	case networkingv1.PathTypeImplementationSpecific:
		if p.Path != "" && !absolute {
			errs = append(errs, field.Invalid(at, p.Path, "must be an absolute path"))
		}
	default:
		errs = append(errs, field.NotSupported(path.Child("pathType"), *p.PathType,
			[]networkingv1.PathType{networkingv1.PathTypeExact, networkingv1.PathTypePrefix, networkingv1.PathTypeImplementationSpecific}))
	}
	return append(errs, validateBackend(&p.Backend, path.Child("backend"))...)
}

func validateBackend(b *networkingv1.IngressBackend, path *field.Path) field.ErrorList {
	switch {
	case b.Resource != nil && b.Service != nil:
		return field.ErrorList{field.Invalid(path, "", "cannot set both resource and service backends")}
	case b.Resource != nil:
		return validateLocalReference(b.Resource, path.Child("resource"))
	case b.Service == nil:
		return field.ErrorList{field.Required(path, "either `service` or `resource` must be specified")}
	}
	return validateServiceBackend(b.Service, path.Child("service"))
}

func validateServiceBackend(s *networkingv1.IngressServiceBackend, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if s.Name == "" {
		errs = append(errs, field.Required(path.Child("name"), ""))
	} else {
		errs = append(errs, kind.Invalids(path.Child("name"), s.Name, validation.NameIsDNS1035Label(s.Name, false))...)
	}
	port := path.Child("port")
	switch {
	case s.Port.Name != "" && s.Port.Number != 0:
		errs = append(errs, field.Invalid(path, "", "cannot set both port name & port number"))
	case s.Port.Name != "":
		errs = append(errs, kind.Invalids(port.Child("name"), s.Port.Name, utilvalidation.IsValidPortName(s.Port.Name))...)
	case s.Port.Number != 0:
		errs = append(errs, kind.ValidPort(s.Port.Number, port.Child("number"))...)
	default:
		errs = append(errs, field.Required(path, "port name or number is required"))
	}
	return errs
}

func validateLocalReference(r *corev1.TypedLocalObjectReference, path *field.Path) field.ErrorList {
	return validateReference(r.APIGroup, r.Kind, r.Name, path)
}

// validateReference checks what names an object of any kind.
func validateReference(group *string, kindName, name string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if group != nil {
		errs = append(errs, kind.Invalids(path.Child("apiGroup"), *group, utilvalidation.IsDNS1123Subdomain(*group))...)
	}
	for _, part := range []struct{ name, value string }{{"kind", kindName}, {"name", name}} {
		if part.value == "" {
			errs = append(errs, field.Required(path.Child(part.name), ""))
			continue
		}
		errs = append(errs, kind.Invalids(path.Child(part.name), part.value, kind.PathSegment(part.value, false))...)
	}
	return errs
}

func validateIngressStatus(i, _ *networkingv1.Ingress) field.ErrorList {
	var errs field.ErrorList
	for n, in := range i.Status.LoadBalancer.Ingress {
		at := field.NewPath("status", "loadBalancer", "ingress").Index(n)
		if in.IP != "" {
			errs = append(errs, utilvalidation.IsValidIPForLegacyField(at.Child("ip"), in.IP, false, nil)...)
		}
		if in.Hostname == "" {
			continue
		}
		errs = append(errs, kind.Invalids(at.Child("hostname"), in.Hostname, utilvalidation.IsDNS1123Subdomain(in.Hostname))...)
		if _, err := netip.ParseAddr(in.Hostname); err == nil {
			errs = append(errs, field.Invalid(at.Child("hostname"), in.Hostname, "must be a DNS name, not an IP address"))
		}
	}
	return errs
}

func validateIngressClass(c *networkingv1.IngressClass) field.ErrorList {
	path := field.NewPath("spec")
	at := path.Child("controller")
	errs := field.ErrorList{}
	switch {
	case c.Spec.Controller == "":
		errs = append(errs, field.Required(at, ""))
	case len(c.Spec.Controller) > maxController:
		errs = append(errs, field.TooLong(at, c.Spec.Controller, maxController))
	default:
		errs = append(errs, utilvalidation.IsDomainPrefixedPath(at, c.Spec.Controller)...)
	}
	p := c.Spec.Parameters
	if p == nil {
		return errs
	}
	at = path.Child("parameters")
	errs = append(errs, validateReference(p.APIGroup, p.Kind, p.Name, at)...)
	if p.Scope == nil {
		return append(errs, field.Required(at.Child("scope"), ""))
	}
	errs = append(errs, kind.OneOf(*p.Scope, at.Child("scope"),
		networkingv1.IngressClassParametersReferenceScopeCluster, networkingv1.IngressClassParametersReferenceScopeNamespace)...)
	switch named := p.Namespace != nil && *p.Namespace != ""; {
	case *p.Scope == networkingv1.IngressClassParametersReferenceScopeNamespace && !named:
		errs = append(errs, field.Required(at.Child("namespace"), "`parameters.scope` is set to 'Namespace'"))
	case *p.Scope == networkingv1.IngressClassParametersReferenceScopeNamespace:
		errs = append(errs, kind.Invalids(at.Child("namespace"), *p.Namespace, validation.ValidateNamespaceName(*p.Namespace, false))...)
	case p.Namespace != nil:
		errs = append(errs, field.Forbidden(at.Child("namespace"), "`parameters.scope` is set to 'Cluster'"))
	}
	return errs
}

func validateIngressClassUpdate(c, old *networkingv1.IngressClass) field.ErrorList {
	return validation.ValidateImmutableField(c.Spec.Controller, old.Spec.Controller, field.NewPath("spec", "controller"))
}
