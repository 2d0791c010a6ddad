// Package backends knows which pods stand behind a Service and how they are reached: what
// the endpoints and endpointslice controllers share. It is pure.
package backends

import (
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/miniorch/miniorch/pkg/api"
)

// Labels that the controllers put on what they make for a Service.
const (
	LabelHeadless           = corev1.IsHeadlessService
	LabelEndpointsManagedBy = "endpoints.kubernetes.io/managed-by"
)

// Managed tells whether the controllers make endpoints for svc: it selects pods and is no
// mere alias. What stands behind other Services is somebody else's business.
func Managed(svc *corev1.Service) bool {
	return len(svc.Spec.Selector) > 0 && svc.Spec.Type != corev1.ServiceTypeExternalName
}

// Headless tells whether svc has no virtual address.
func Headless(svc *corev1.Service) bool { return svc.Spec.ClusterIP == corev1.ClusterIPNone }

// Stands tells whether the pod has an address to be reached at and has not ended.
func Stands(p *corev1.Pod) bool {
	return !api.IsPodTerminal(p) && (p.Status.PodIP != "" || len(p.Status.PodIPs) > 0)
}

// Families returns the address families of svc, the preferred one first.
func Families(svc *corev1.Service) []discoveryv1.AddressType {
	var out []discoveryv1.AddressType
	for _, f := range svc.Spec.IPFamilies {
		out = append(out, discoveryv1.AddressType(f))
	}
	if len(out) == 0 {
		out = append(out, familyOf(svc.Spec.ClusterIP))
	}
	return out
}

func familyOf(ip string) discoveryv1.AddressType {
	if addr, err := netip.ParseAddr(ip); err == nil && addr.Is6() && !addr.Is4In6() {
		return discoveryv1.AddressTypeIPv6
	}
	return discoveryv1.AddressTypeIPv4
}

// Address returns the pod's address of a family, empty if it has none.
func Address(p *corev1.Pod, family discoveryv1.AddressType) string {
	for _, ip := range p.Status.PodIPs {
		if familyOf(ip.IP) == family {
			return ip.IP
		}
	}
	if p.Status.PodIP != "" && familyOf(p.Status.PodIP) == family {
		return p.Status.PodIP
	}
	return ""
}

// Hostname returns the name under which DNS serves the pod below svc, empty if it has none.
func Hostname(svc *corev1.Service, p *corev1.Pod) string {
	if p.Spec.Hostname != "" && p.Spec.Subdomain == svc.Name && p.Namespace == svc.Namespace {
		return p.Spec.Hostname
	}
	return ""
}

// Reference names the pod behind an address.
func Reference(p *corev1.Pod) *corev1.ObjectReference {
	return &corev1.ObjectReference{Kind: "Pod", Namespace: p.Namespace, Name: p.Name, UID: p.UID}
}

// TargetPort finds the number that a Service port has on the pod; ok is false if the pod
// has no port of that name and protocol.
func TargetPort(p *corev1.Pod, port *corev1.ServicePort) (number int32, ok bool) {
	switch {
	case port.TargetPort.Type == intstr.Int && port.TargetPort.IntVal == 0:
		return port.Port, true
	case port.TargetPort.Type == intstr.Int:
		return port.TargetPort.IntVal, true
	}
	for i := range p.Spec.Containers {
		if n, ok := namedPort(&p.Spec.Containers[i], port); ok {
			return n, true
		}
	}
	for i := range p.Spec.InitContainers {
		if c := &p.Spec.InitContainers[i]; api.IsSidecar(c) {
			if n, ok := namedPort(c, port); ok {
				return n, true
			}
		}
	}
	return 0, false
}

func namedPort(c *corev1.Container, port *corev1.ServicePort) (int32, bool) {
	for _, cp := range c.Ports {
		if cp.Name == port.TargetPort.StrVal && protocol(cp.Protocol) == protocol(port.Protocol) {
			return cp.ContainerPort, true
		}
	}
	return 0, false
}

func protocol(p corev1.Protocol) corev1.Protocol {
	if p == "" {
		return corev1.ProtocolTCP
	}
	return p
}

// Labels returns svc's labels as its endpoints carry them, without those that the
// controllers set themselves.
func Labels(svc *corev1.Service) map[string]string {
	out := map[string]string{}
	for k, v := range svc.Labels {
		switch k {
		case discoveryv1.LabelServiceName, discoveryv1.LabelManagedBy, LabelHeadless, LabelEndpointsManagedBy:
		default:
			out[k] = v
		}
	}
	if Headless(svc) {
		out[LabelHeadless] = ""
	}
	return out
}

// Matters tells whether the difference between two versions of a pod can matter to any Service.
func Matters(old, p *corev1.Pod) bool {
	return old.UID != p.UID || Stands(old) != Stands(p) || api.IsPodReady(old) != api.IsPodReady(p) ||
		(old.DeletionTimestamp == nil) != (p.DeletionTimestamp == nil) ||
		old.Spec.NodeName != p.Spec.NodeName || old.Status.PodIP != p.Status.PodIP ||
		!slices.Equal(old.Status.PodIPs, p.Status.PodIPs) ||
		!equality.Semantic.DeepEqual(old.Labels, p.Labels)
}

// SortPods orders pods by name, so that what is made from them does not depend on chance.
func SortPods(pods []*corev1.Pod) []*corev1.Pod {
	pods = slices.Clone(pods)
	slices.SortFunc(pods, func(a, b *corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return pods
}
