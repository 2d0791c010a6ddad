package podspec

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
)

// The fields below are valid, are stored, and have no effect here. Their users are told
// so. A row goes when a component learns to honour its field.

// podNotices are about the pod as a whole.
var podNotices = []struct {
	name string
	set  func(*corev1.PodSpec) bool
	text string
}{
	{"shareProcessNamespace", func(s *corev1.PodSpec) bool { return ptr.Deref(s.ShareProcessNamespace, false) },
		"the nodes cannot do this; the containers will not start"},
	{"hostUsers", func(s *corev1.PodSpec) bool { return !ptr.Deref(s.HostUsers, true) },
		"the nodes make no user namespaces; the containers will not start"},
	{"os.name", func(s *corev1.PodSpec) bool { return s.OS != nil && s.OS.Name == corev1.Windows },
		"no node runs Windows; the pod will be refused by its node"},
	{"resourceClaims", func(s *corev1.PodSpec) bool { return len(s.ResourceClaims) > 0 },
		wontSchedule},
	{"schedulingGroup", func(s *corev1.PodSpec) bool { return s.SchedulingGroup != nil },
		"pods are scheduled one by one"},
	{"evictionResponders", func(s *corev1.PodSpec) bool { return len(s.EvictionResponders) > 0 },
		"nobody asks eviction responders"},
}

// securityNotices are about the security context of the pod.
var securityNotices = []struct {
	name string
	set  func(*corev1.PodSecurityContext) bool
}{
	{"seLinuxOptions", func(s *corev1.PodSecurityContext) bool { return s.SELinuxOptions != nil }},
	{"seLinuxChangePolicy", func(s *corev1.PodSecurityContext) bool { return s.SELinuxChangePolicy != nil }},
	{"windowsOptions", func(s *corev1.PodSecurityContext) bool { return s.WindowsOptions != nil }},
	{"appArmorProfile", func(s *corev1.PodSecurityContext) bool { return s.AppArmorProfile != nil }},
	{"supplementalGroupsPolicy", func(s *corev1.PodSecurityContext) bool {
		return ptr.Deref(s.SupplementalGroupsPolicy, corev1.SupplementalGroupsPolicyMerge) != corev1.SupplementalGroupsPolicyMerge
	}},
}

// containerNotices are about one container.
var containerNotices = []struct {
	name string
	set  func(*corev1.Container) bool
	text string
}{
	{"resources.claims", func(c *corev1.Container) bool { return len(c.Resources.Claims) > 0 }, wontSchedule},
	{"restartPolicyRules", func(c *corev1.Container) bool {
		return slices.ContainsFunc(c.RestartPolicyRules, func(r corev1.ContainerRestartRule) bool {
			return r.Action == corev1.ContainerRestartRuleActionRestartAllContainers
		})
	}, "RestartAllContainers does nothing"},
	{"securityContext.seLinuxOptions", func(c *corev1.Container) bool {
		return c.SecurityContext != nil && c.SecurityContext.SELinuxOptions != nil
	}, notApplied},
	{"securityContext.windowsOptions", func(c *corev1.Container) bool {
		return c.SecurityContext != nil && c.SecurityContext.WindowsOptions != nil
	}, notApplied},
	{"securityContext.appArmorProfile", func(c *corev1.Container) bool {
		return c.SecurityContext != nil && c.SecurityContext.AppArmorProfile != nil
	}, notApplied},
	{"env", func(c *corev1.Container) bool {
		return slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return e.ValueFrom != nil && e.ValueFrom.FileKeyRef != nil })
	}, "the node cannot read variables from files; the container will not start"},
	{"probes", func(c *corev1.Container) bool {
		return hasProbes(c, func(p *corev1.Probe) bool {
			return (p.HTTPGet != nil && p.HTTPGet.Protocol != nil) || (p.GRPC != nil && p.GRPC.Mode != nil)
		})
	}, "probes speak HTTP/1.1 and plain gRPC only"},
	{"volumeMounts", func(c *corev1.Container) bool {
		return slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return len(m.BindMountOptions) > 0 })
	}, "bindMountOptions are not applied"},
}

// What becomes of a pod whose field is not served.
const (
	notApplied   = "not applied on this cluster's nodes"
	wontSchedule = "the scheduler does not support this; the pod will stay Pending"
)

// servedVolumes are the volume types that the nodes can provide.
var servedVolumes = []string{"configMap", "downwardAPI", "emptyDir", "ephemeral", "hostPath", "image", "nfs", "persistentVolumeClaim", "projected", "secret"}

// WarnPodSpec names the fields of a pod or template that have no effect here.
func WarnPodSpec(s *corev1.PodSpec, path *field.Path) []string {
	var all []string
	for _, n := range podNotices {
		if n.set(s) {
			all = append(all, kind.Unserved(path.Child(n.name), "%s", n.text))
		}
	}
	if sc := s.SecurityContext; sc != nil {
		for _, n := range securityNotices {
			if n.set(sc) {
				all = append(all, kind.Unserved(path.Child("securityContext", n.name), notApplied))
			}
		}
	}
	all = append(all, warnSlips(s, path)...)
	for i := range s.Volumes {
		all = append(all, warnVolume(&s.Volumes[i], path.Child("volumes").Index(i))...)
	}
	for i := range s.InitContainers {
		all = append(all, warnContainer(&s.InitContainers[i], path.Child("initContainers").Index(i))...)
	}
	for i := range s.Containers {
		all = append(all, warnContainer(&s.Containers[i], path.Child("containers").Index(i))...)
	}
	return all
}

func warnContainer(c *corev1.Container, path *field.Path) []string {
	var all []string
	for _, n := range containerNotices {
		if n.set(c) {
			all = append(all, kind.Unserved(path.Child(n.name), "%s", n.text))
		}
	}
	all = append(all, warnFractions(&c.Resources, path.Child("resources"))...)
	names := map[string]bool{}
	for i, e := range c.Env {
		if names[e.Name] {
			all = append(all, kind.Unserved(path.Child("env").Index(i), "hides previous definition of %q, which may be dropped when using apply", e.Name))
		}
		names[e.Name] = true
	}
	return all
}

func warnVolume(v *corev1.Volume, path *field.Path) []string {
	var all []string
	for _, name := range sourceNames(&v.VolumeSource) {
		if !slices.Contains(servedVolumes, name) {
			all = append(all, kind.Unserved(path.Child(name), "the nodes cannot provide this type of volume; the containers will not start"))
		}
	}
	if v.EmptyDir != nil && v.EmptyDir.Medium != corev1.StorageMediumDefault && v.EmptyDir.Medium != corev1.StorageMediumMemory {
		all = append(all, kind.Unserved(path.Child("emptyDir", "medium"), "only disk and memory are served; the containers will not start"))
	}
	if setsFileOwner(v) {
		all = append(all, kind.Unserved(path, "files belong to root or to the pod's fsGroup; user, defaultUser and mode of an emptyDir are not applied"))
	}
	if v.Projected != nil && slices.ContainsFunc(v.Projected.Sources, func(p corev1.VolumeProjection) bool {
		return p.ClusterTrustBundle != nil || p.PodCertificate != nil
	}) {
		all = append(all, kind.Unserved(path.Child("projected"), "trust bundles and pod certificates are not served; the containers will not start"))
	}
	return all
}

// setsFileOwner tells whether a volume says whose its files are, or how a directory may be used.
func setsFileOwner(v *corev1.Volume) bool {
	owned := func(items []corev1.KeyToPath) bool {
		return slices.ContainsFunc(items, func(i corev1.KeyToPath) bool { return i.User != nil })
	}
	switch {
	case v.EmptyDir != nil:
		return v.EmptyDir.Mode != nil
	case v.Secret != nil:
		return v.Secret.DefaultUser != nil || owned(v.Secret.Items)
	case v.ConfigMap != nil:
		return v.ConfigMap.DefaultUser != nil || owned(v.ConfigMap.Items)
	case v.DownwardAPI != nil:
		return v.DownwardAPI.DefaultUser != nil
	case v.Projected != nil:
		return v.Projected.DefaultUser != nil
	}
	return false
}
