package registry

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/pkg/api"
)

// defaultTerminationGracePeriod is how many seconds a pod gets to end by itself.
const defaultTerminationGracePeriod = corev1.DefaultTerminationGracePeriodSeconds

// setDefault points an unset field at its default.
func setDefault[T any](p **T, value T) {
	if *p == nil {
		*p = ptr.To(value)
	}
}

// defaultPod fills a pod's own fields. Requests, host ports and service links are filled
// here and not in defaultPodSpec, because a template stays as its author wrote it.
func defaultPod(p *corev1.Pod) {
	defaultPodSpec(&p.Spec)
	for _, containers := range [][]corev1.Container{p.Spec.InitContainers, p.Spec.Containers} {
		for i := range containers {
			defaultRequests(&containers[i].Resources)
		}
		if p.Spec.HostNetwork {
			defaultHostPorts(containers)
		}
	}
	defaultPodLevelRequests(p)
	setDefault(&p.Spec.EnableServiceLinks, corev1.DefaultEnableServiceLinks)
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

// defaultPodSpec fills what pods and pod templates have in common.
func defaultPodSpec(s *corev1.PodSpec) {
	if s.DNSPolicy == "" {
		s.DNSPolicy = corev1.DNSClusterFirst
	}
	if s.RestartPolicy == "" {
		s.RestartPolicy = corev1.RestartPolicyAlways
	}
	if s.SchedulerName == "" {
		s.SchedulerName = corev1.DefaultSchedulerName
	}
	tidyQuantities(s.Overhead)
	if s.Resources != nil {
		tidyQuantities(s.Resources.Limits, s.Resources.Requests)
	}
	setDefault(&s.SecurityContext, corev1.PodSecurityContext{})
	setDefault(&s.TerminationGracePeriodSeconds, defaultTerminationGracePeriod)
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
	for i := range s.TopologySpreadConstraints {
		setDefault(&s.TopologySpreadConstraints[i].NodeAffinityPolicy, corev1.NodeInclusionPolicyHonor)
		setDefault(&s.TopologySpreadConstraints[i].NodeTaintsPolicy, corev1.NodeInclusionPolicyIgnore)
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
