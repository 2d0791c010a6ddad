package podspec

import (
	"fmt"
	"math"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/validation"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
)

// podSpecCheck walks one pod spec. It carries what the checks of the parts need to know
// of the whole.
type podSpecCheck struct {
	spec    *corev1.PodSpec
	volumes map[string]*corev1.Volume // by name
	claims  map[string]bool           // names of spec.resourceClaims
}

// ValidatePodSpec checks what pods and pod templates have in common.
func ValidatePodSpec(spec *corev1.PodSpec, path *field.Path) field.ErrorList {
	check := &podSpecCheck{spec: spec, volumes: map[string]*corev1.Volume{}, claims: map[string]bool{}}
	errs := check.volumesOf(path.Child("volumes"))
	errs = append(errs, check.resourceClaims(path.Child("resourceClaims"))...)
	errs = append(errs, check.containers(path)...)
	errs = append(errs, check.lifetime(path)...)
	errs = append(errs, check.names(path)...)
	errs = append(errs, check.network(path)...)
	errs = append(errs, check.placement(path)...)
	errs = append(errs, check.podSecurity(path)...)
	errs = append(errs, check.systems(path)...)
	return append(errs, check.podResources(path)...)
}

// lifetime checks when the pod starts again and when it ends.
func (c *podSpecCheck) lifetime(path *field.Path) field.ErrorList {
	errs := kind.RequiredOneOf(c.spec.RestartPolicy, path.Child("restartPolicy"),
		corev1.RestartPolicyAlways, corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever)
	if s := c.spec.ActiveDeadlineSeconds; s != nil && (*s < 1 || *s > math.MaxInt32) {
		errs = append(errs, field.Invalid(path.Child("activeDeadlineSeconds"), *s,
			utilvalidation.InclusiveRangeError(1, math.MaxInt32)))
	}
	return errs
}

// names checks the references to other objects.
func (c *podSpecCheck) names(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	subdomain := func(name, value string) {
		if value != "" {
			errs = append(errs, kind.Invalids(path.Child(name), value, validation.NameIsDNSSubdomain(value, false))...)
		}
	}
	subdomain("serviceAccountName", c.spec.ServiceAccountName)
	subdomain("nodeName", c.spec.NodeName)
	subdomain("priorityClassName", c.spec.PriorityClassName)
	if r := c.spec.RuntimeClassName; r != nil {
		subdomain("runtimeClassName", *r)
	}
	if c.spec.SchedulerName == "" {
		errs = append(errs, field.Required(path.Child("schedulerName"), ""))
	}
	for i, gate := range c.spec.ReadinessGates {
		at := path.Child("readinessGates").Index(i).Child("conditionType")
		errs = append(errs, kind.Invalids(at, gate.ConditionType, utilvalidation.IsQualifiedName(string(gate.ConditionType)))...)
	}
	if c.spec.OS != nil {
		errs = append(errs, kind.RequiredOneOf(c.spec.OS.Name, path.Child("os", "name"), corev1.Linux, corev1.Windows)...)
	}
	if p := c.spec.PreemptionPolicy; p != nil {
		errs = append(errs, kind.OneOf(*p, path.Child("preemptionPolicy"), corev1.PreemptLowerPriority, corev1.PreemptNever)...)
	}
	return errs
}

func (c *podSpecCheck) resourceClaims(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, claim := range c.spec.ResourceClaims {
		at := path.Index(i)
		errs = append(errs, uniqueLabel(claim.Name, c.claims, at.Child("name"))...)
		if (claim.ResourceClaimName == nil) == (claim.ResourceClaimTemplateName == nil) {
			errs = append(errs, field.Invalid(at, claim.Name, "must specify exactly one of: `resourceClaimName`, `resourceClaimTemplateName`"))
		}
	}
	return errs
}

// uniqueLabel checks a required name that must be a DNS label and not have been seen yet.
func uniqueLabel(name string, seen map[string]bool, path *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	errs := kind.Invalids(path, name, utilvalidation.IsDNS1123Label(name))
	if seen[name] {
		errs = append(errs, field.Duplicate(path, name))
	}
	seen[name] = true
	return errs
}

// network checks what the pod is called and whom it asks for names.
func (c *podSpecCheck) network(path *field.Path) field.ErrorList {
	errs := c.hostnames(path)
	errs = append(errs, kind.RequiredOneOf(c.spec.DNSPolicy, path.Child("dnsPolicy"), corev1.DNSClusterFirstWithHostNet,
		corev1.DNSClusterFirst, corev1.DNSDefault, corev1.DNSNone)...)
	errs = append(errs, validateDNSConfig(c.spec.DNSConfig, c.spec.DNSPolicy, path.Child("dnsConfig"))...)
	for i, alias := range c.spec.HostAliases {
		at := path.Child("hostAliases").Index(i)
		errs = append(errs, utilvalidation.IsValidIPForLegacyField(at.Child("ip"), alias.IP, false, nil)...)
		for j, name := range alias.Hostnames {
			errs = append(errs, kind.Invalids(at.Child("hostnames").Index(j), name, utilvalidation.IsDNS1123Subdomain(name))...)
		}
	}
	return errs
}

// maxHostname is the longest name that a Linux kernel keeps.
const maxHostname = 64

func (c *podSpecCheck) hostnames(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if h := c.spec.Hostname; h != "" {
		errs = append(errs, kind.Invalids(path.Child("hostname"), h, utilvalidation.IsDNS1123Label(h))...)
	}
	if s := c.spec.Subdomain; s != "" {
		errs = append(errs, kind.Invalids(path.Child("subdomain"), s, utilvalidation.IsDNS1123Label(s))...)
	}
	if h := c.spec.HostnameOverride; h != nil {
		at := path.Child("hostnameOverride")
		if len(*h) > maxHostname {
			errs = append(errs, field.TooLong(at, *h, maxHostname))
		}
		errs = append(errs, kind.Invalids(at, *h, utilvalidation.IsDNS1123Subdomain(*h))...)
		if c.spec.HostNetwork {
			errs = append(errs, field.Forbidden(at, "hostNetwork and hostnameOverride are mutually exclusive"))
		}
		if c.spec.SetHostnameAsFQDN != nil && *c.spec.SetHostnameAsFQDN {
			errs = append(errs, field.Forbidden(at, "setHostnameAsFQDN and hostnameOverride are mutually exclusive"))
		}
	}
	return errs
}

// What a resolv.conf holds at most.
const (
	maxNameservers     = 3
	maxSearchPaths     = 32
	maxSearchListChars = 2048
)

func validateDNSConfig(c *corev1.PodDNSConfig, policy corev1.DNSPolicy, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if policy == corev1.DNSNone && (c == nil || len(c.Nameservers) == 0) {
		at := path
		if c != nil {
			at = path.Child("nameservers")
		}
		errs = append(errs, field.Required(at, fmt.Sprintf("must provide at least one DNS nameserver when `dnsPolicy` is %s", corev1.DNSNone)))
	}
	if c == nil {
		return errs
	}
	if len(c.Nameservers) > maxNameservers {
		errs = append(errs, field.Invalid(path.Child("nameservers"), c.Nameservers,
			fmt.Sprintf("must not have more than %d nameservers", maxNameservers)))
	}
	for i, ip := range c.Nameservers {
		errs = append(errs, utilvalidation.IsValidIPForLegacyField(path.Child("nameservers").Index(i), ip, false, nil)...)
	}
	searches := path.Child("searches")
	if len(c.Searches) > maxSearchPaths {
		errs = append(errs, field.Invalid(searches, c.Searches, fmt.Sprintf("must not have more than %d search paths", maxSearchPaths)))
	}
	if len(strings.Join(c.Searches, " ")) > maxSearchListChars {
		errs = append(errs, field.Invalid(searches, c.Searches,
			fmt.Sprintf("must not have more than %d characters (including spaces) in the search list", maxSearchListChars)))
	}
	for i, s := range c.Searches {
		if s == "." {
			continue // stands for: no search
		}
		s = strings.TrimSuffix(s, ".")
		errs = append(errs, kind.Invalids(searches.Index(i), s, utilvalidation.IsDNS1123SubdomainWithUnderscore(s))...)
	}
	for i, o := range c.Options {
		if o.Name == "" {
			errs = append(errs, field.Required(path.Child("options").Index(i), "must not be empty"))
		}
	}
	return errs
}

// ValidatePodTemplate checks a template for pods that are kept running for ever.
func ValidatePodTemplate(t *corev1.PodTemplateSpec, path *field.Path) field.ErrorList {
	spec := path.Child("spec")
	errs := ValidateAnyPodTemplate(t, path)
	if p := t.Spec.RestartPolicy; p != corev1.RestartPolicyAlways {
		errs = append(errs, field.NotSupported(spec.Child("restartPolicy"), p, []corev1.RestartPolicy{corev1.RestartPolicyAlways}))
	}
	if t.Spec.ActiveDeadlineSeconds != nil {
		errs = append(errs, field.Forbidden(spec.Child("activeDeadlineSeconds"),
			"activeDeadlineSeconds is not supported in a template for pods that run for ever"))
	}
	return errs
}

// ValidateAnyPodTemplate checks what templates of all workloads have in common.
func ValidateAnyPodTemplate(t *corev1.PodTemplateSpec, path *field.Path) field.ErrorList {
	errs := metavalidation.ValidateLabels(t.Labels, path.Child("metadata", "labels"))
	errs = append(errs, validation.ValidateAnnotations(t.Annotations, path.Child("metadata", "annotations"))...)
	spec := path.Child("spec")
	errs = append(errs, ValidatePodSpec(&t.Spec, spec)...)
	if len(t.Spec.EphemeralContainers) > 0 {
		errs = append(errs, field.Forbidden(spec.Child("ephemeralContainers"), "ephemeral containers not allowed in pod template"))
	}
	return errs
}
