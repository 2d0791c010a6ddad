package podspec

import (
	"regexp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
)

// sysctlName is a name as the kernel writes it, with dots or slashes between the parts.
var sysctlName = regexp.MustCompile(`^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$`)

const maxSysctlName = 253

// podSecurity checks the settings of the pod as a whole and of the namespaces it shares
// with the node.
func (c *podSpecCheck) podSecurity(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	shares := c.spec.ShareProcessNamespace != nil && *c.spec.ShareProcessNamespace
	if shares && c.spec.HostPID {
		errs = append(errs, field.Invalid(path.Child("shareProcessNamespace"), true, "ShareProcessNamespace and HostPID cannot both be enabled"))
	}
	if c.spec.HostUsers != nil && !*c.spec.HostUsers {
		errs = append(errs, kind.Forbidden(path, "when `hostUsers` is false",
			kind.Given{Name: "hostNetwork", Set: c.spec.HostNetwork}, kind.Given{Name: "hostPID", Set: c.spec.HostPID}, kind.Given{Name: "hostIPC", Set: c.spec.HostIPC})...)
	}
	sc := c.spec.SecurityContext
	if sc == nil {
		return errs
	}
	at := path.Child("securityContext")
	errs = append(errs, validateUser(sc.RunAsUser, sc.RunAsGroup, at)...)
	if g := sc.FSGroup; g != nil {
		errs = append(errs, kind.Invalids(at.Child("fsGroup"), *g, utilvalidation.IsValidGroupID(*g))...)
	}
	for i, g := range sc.SupplementalGroups {
		errs = append(errs, kind.Invalids(at.Child("supplementalGroups").Index(i), g, utilvalidation.IsValidGroupID(g))...)
	}
	errs = append(errs, c.sysctls(sc.Sysctls, at.Child("sysctls"))...)
	if p := sc.FSGroupChangePolicy; p != nil {
		errs = append(errs, kind.OneOf(*p, at.Child("fsGroupChangePolicy"), corev1.FSGroupChangeAlways, corev1.FSGroupChangeOnRootMismatch)...)
	}
	if p := sc.SupplementalGroupsPolicy; p != nil {
		errs = append(errs, kind.OneOf(*p, at.Child("supplementalGroupsPolicy"),
			corev1.SupplementalGroupsPolicyMerge, corev1.SupplementalGroupsPolicyStrict)...)
	}
	if p := sc.SELinuxChangePolicy; p != nil {
		errs = append(errs, kind.OneOf(*p, at.Child("seLinuxChangePolicy"),
			corev1.SELinuxChangePolicyMountOption, corev1.SELinuxChangePolicyRecursive)...)
	}
	return append(errs, validateProfiles(sc.SeccompProfile, sc.AppArmorProfile, at)...)
}

func validateUser(user, group *int64, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if user != nil {
		errs = append(errs, kind.Invalids(path.Child("runAsUser"), *user, utilvalidation.IsValidUserID(*user))...)
	}
	if group != nil {
		errs = append(errs, kind.Invalids(path.Child("runAsGroup"), *group, utilvalidation.IsValidGroupID(*group))...)
	}
	return errs
}

// sysctls checks names, and that none changes a namespace that belongs to the node.
func (c *podSpecCheck) sysctls(all []corev1.Sysctl, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := map[string]bool{}
	for i, s := range all {
		at := path.Index(i).Child("name")
		switch {
		case s.Name == "":
			errs = append(errs, field.Required(at, ""))
		case len(s.Name) > maxSysctlName || !sysctlName.MatchString(s.Name):
			errs = append(errs, field.Invalid(at, s.Name, "must have at most 253 characters and match regex "+sysctlName.String()))
		case seen[s.Name]:
			errs = append(errs, field.Duplicate(at, s.Name))
		}
		seen[s.Name] = true
		errs = append(errs, c.sysctlNamespace(s.Name, at)...)
	}
	return errs
}

// ipcSysctls are the names below kernel. that belong to the IPC namespace.
var ipcSysctls = regexp.MustCompile(`^kernel[./](shm|msg|sem)|^fs[./]mqueue[./]`)

var netSysctls = regexp.MustCompile(`^net[./]`)

func (c *podSpecCheck) sysctlNamespace(name string, path *field.Path) field.ErrorList {
	switch {
	case c.spec.HostNetwork && netSysctls.MatchString(name):
		return field.ErrorList{field.Invalid(path, name, "may not be specified when 'hostNetwork' is set to true")}
	case c.spec.HostIPC && ipcSysctls.MatchString(name):
		return field.ErrorList{field.Invalid(path, name, "may not be specified when 'hostIPC' is set to true")}
	}
	return nil
}

// containerSecurity checks one container's settings.
func (c *podSpecCheck) containerSecurity(sc *corev1.SecurityContext, path *field.Path) field.ErrorList {
	if sc == nil {
		return nil
	}
	errs := validateUser(sc.RunAsUser, sc.RunAsGroup, path)
	if sc.AllowPrivilegeEscalation != nil && !*sc.AllowPrivilegeEscalation {
		if sc.Privileged != nil && *sc.Privileged {
			errs = append(errs, field.Invalid(path, sc, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"))
		}
		if sc.Capabilities != nil && slices.Contains(sc.Capabilities.Add, "CAP_SYS_ADMIN") {
			errs = append(errs, field.Invalid(path, sc, "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"))
		}
	}
	if p := sc.ProcMount; p != nil {
		errs = append(errs, kind.OneOf(*p, path.Child("procMount"), corev1.DefaultProcMount, corev1.UnmaskedProcMount)...)
		if *p == corev1.UnmaskedProcMount && (c.spec.HostUsers == nil || *c.spec.HostUsers) {
			errs = append(errs, field.Invalid(path.Child("procMount"), *p, "`hostUsers` must be false to use `Unmasked`"))
		}
	}
	return append(errs, validateProfiles(sc.SeccompProfile, sc.AppArmorProfile, path)...)
}

func validateProfiles(seccomp *corev1.SeccompProfile, appArmor *corev1.AppArmorProfile, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if s := seccomp; s != nil {
		at := path.Child("seccompProfile")
		errs = append(errs, kind.RequiredOneOf(s.Type, at.Child("type"), corev1.SeccompProfileTypeLocalhost,
			corev1.SeccompProfileTypeRuntimeDefault, corev1.SeccompProfileTypeUnconfined)...)
		errs = append(errs, validateLocalhostProfile(s.LocalhostProfile, "seccomp", s.Type == corev1.SeccompProfileTypeLocalhost, at)...)
		if s.LocalhostProfile != nil {
			errs = append(errs, kind.RelativeInside(*s.LocalhostProfile, at.Child("localhostProfile"))...)
		}
	}
	if a := appArmor; a != nil {
		at := path.Child("appArmorProfile")
		errs = append(errs, kind.RequiredOneOf(a.Type, at.Child("type"), corev1.AppArmorProfileTypeLocalhost,
			corev1.AppArmorProfileTypeRuntimeDefault, corev1.AppArmorProfileTypeUnconfined)...)
		errs = append(errs, validateLocalhostProfile(a.LocalhostProfile, "AppArmor", a.Type == corev1.AppArmorProfileTypeLocalhost, at)...)
	}
	return errs
}

func validateLocalhostProfile(profile *string, what string, isLocalhost bool, path *field.Path) field.ErrorList {
	at := path.Child("localhostProfile")
	switch {
	case isLocalhost && (profile == nil || *profile == ""):
		return field.ErrorList{field.Required(at, "must be set when "+what+" type is Localhost")}
	case !isLocalhost && profile != nil:
		return field.ErrorList{field.Invalid(at, *profile, "can only be set when "+what+" type is Localhost")}
	}
	return nil
}
