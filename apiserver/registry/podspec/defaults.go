package podspec

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/pkg/api"
)

// DefaultTerminationGracePeriod is how many seconds a pod gets to end by itself.
const DefaultTerminationGracePeriod = corev1.DefaultTerminationGracePeriodSeconds

// DefaultPod fills a pod's own fields. Requests, host ports and service links are filled
// here and not in defaultPodSpec, because a template stays as its author wrote it.
func DefaultPod(p *corev1.Pod) {
	DefaultPodSpec(&p.Spec)
	for _, containers := range [][]corev1.Container{p.Spec.InitContainers, p.Spec.Containers} {
		for i := range containers {
			defaultRequests(&containers[i].Resources)
		}
		if p.Spec.HostNetwork {
			defaultHostPorts(containers)
		}
	}
	defaultPodLevelRequests(p)
	kind.SetDefault(&p.Spec.EnableServiceLinks, corev1.DefaultEnableServiceLinks)
}

// defaultRequests asks for as much as the limit of each resource that was not asked for.
func defaultRequests(r *corev1.ResourceRequirements) {
	for name, limit := range r.Limits {
		setRequest(r, name, limit)
	}
}

// defaultPodLevelRequests completes resources of the pod as a whole: what its containers
// ask for together, else its own limit.
func defaultPodLevelRequests(p *corev1.Pod) {
	r := p.Spec.Resources
	if r == nil || len(r.Limits) == 0 {
		return
	}
	containers := corev1.Pod{Spec: corev1.PodSpec{InitContainers: p.Spec.InitContainers, Containers: p.Spec.Containers}}
	for name, sum := range api.PodRequests(&containers) {
		if isPodLevelResource(name) {
			setRequest(r, name, sum)
		}
	}
	defaultRequests(r)
}

func setRequest(r *corev1.ResourceRequirements, name corev1.ResourceName, q resource.Quantity) {
	if _, ok := r.Requests[name]; ok {
		return
	}
	if r.Requests == nil {
		r.Requests = corev1.ResourceList{}
	}
	r.Requests[name] = q.DeepCopy()
}

// isPodLevelResource tells which resources a pod may ask for as a whole.
func isPodLevelResource(name corev1.ResourceName) bool {
	return name == corev1.ResourceCPU || name == corev1.ResourceMemory ||
		strings.HasPrefix(string(name), corev1.ResourceHugePagesPrefix)
}

// DefaultPodSpec fills what pods and pod templates have in common.
func DefaultPodSpec(s *corev1.PodSpec) {
	if s.DNSPolicy == "" {
		s.DNSPolicy = corev1.DNSClusterFirst
	}
	if s.RestartPolicy == "" {
		s.RestartPolicy = corev1.RestartPolicyAlways
	}
	if s.SchedulerName == "" {
		s.SchedulerName = corev1.DefaultSchedulerName
	}
	kind.TidyQuantities(s.Overhead)
	if s.Resources != nil {
		kind.TidyQuantities(s.Resources.Limits, s.Resources.Requests)
	}
	kind.SetDefault(&s.SecurityContext, corev1.PodSecurityContext{})
	kind.SetDefault(&s.TerminationGracePeriodSeconds, DefaultTerminationGracePeriod)
	defaultServiceAccount(s)
	for i := range s.Volumes {
		defaultVolume(&s.Volumes[i])
	}
	for i := range s.InitContainers {
		defaultContainer(&s.InitContainers[i])
	}
	for i := range s.Containers {
		defaultContainer(&s.Containers[i])
	}
	for i := range s.EphemeralContainers {
		defaultContainer(asContainer(&s.EphemeralContainers[i]))
	}
}

// defaultServiceAccount keeps the field and its old name the same.
func defaultServiceAccount(s *corev1.PodSpec) {
	if s.ServiceAccountName == "" {
		s.ServiceAccountName = s.DeprecatedServiceAccount
	}
	s.DeprecatedServiceAccount = s.ServiceAccountName
}

// defaultHostPorts says what is so anyway: on the host's network, a container's port is the host's.
func defaultHostPorts(containers []corev1.Container) {
	for i := range containers {
		for j := range containers[i].Ports {
			if p := &containers[i].Ports[j]; p.HostPort == 0 {
				p.HostPort = p.ContainerPort
			}
		}
	}
}
