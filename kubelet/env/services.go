package env

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// visible selects the Services whose variables a pod gets: those of its namespace unless it
// declines, and always the API's own.
func visible(pod *corev1.Pod, services []*corev1.Service) []*corev1.Service {
	links := pod.Spec.EnableServiceLinks == nil || *pod.Spec.EnableServiceLinks
	var out []*corev1.Service
	for _, s := range services {
		master := s.Namespace == apiNamespace && s.Name == "kubernetes"
		if s.Namespace == pod.Namespace && links || master && !(links && hasOwn(pod, services)) {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b *corev1.Service) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// apiNamespace holds the Service of the API itself.
const apiNamespace = corev1.NamespaceDefault

// hasOwn: a Service named kubernetes in the pod's namespace hides the API's.
func hasOwn(pod *corev1.Pod, services []*corev1.Service) bool {
	return slices.ContainsFunc(services, func(s *corev1.Service) bool {
		return s.Name == "kubernetes" && s.Namespace == pod.Namespace && s.Namespace != apiNamespace
	})
}

// ServiceVariables returns the variables that tell of Services: FOO_SERVICE_HOST and the
// rest of the Docker links convention.
func ServiceVariables(services []*corev1.Service) []corev1.EnvVar {
	var out []corev1.EnvVar
	add := func(name, value string) { out = append(out, corev1.EnvVar{Name: name, Value: value}) }
	for _, s := range services {
		ip := s.Spec.ClusterIP
		if ip == "" || ip == corev1.ClusterIPNone || len(s.Spec.Ports) == 0 {
			continue
		}
		prefix := variableName(s.Name)
		add(prefix+"_SERVICE_HOST", ip)
		add(prefix+"_SERVICE_PORT", strconv.Itoa(int(s.Spec.Ports[0].Port)))
		for _, p := range s.Spec.Ports {
			if p.Name != "" {
				add(prefix+"_SERVICE_PORT_"+variableName(p.Name), strconv.Itoa(int(p.Port)))
			}
		}
		for i, p := range s.Spec.Ports {
			protocol := string(p.Protocol)
			if protocol == "" {
				protocol = string(corev1.ProtocolTCP)
			}
			url := strings.ToLower(protocol) + "://" + net.JoinHostPort(ip, strconv.Itoa(int(p.Port)))
			if i == 0 {
				add(prefix+"_PORT", url)
			}
			port := fmt.Sprintf("%s_PORT_%d_%s", prefix, p.Port, strings.ToUpper(protocol))
			add(port, url)
			add(port+"_PROTO", strings.ToLower(protocol))
			add(port+"_PORT", strconv.Itoa(int(p.Port)))
			add(port+"_ADDR", ip)
		}
	}
	return out
}

func variableName(s string) string { return strings.ToUpper(strings.ReplaceAll(s, "-", "_")) }
