package core

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
)

func prepareServiceCreate(s *corev1.Service) { s.Status = corev1.ServiceStatus{} }

// prepareServiceUpdate lets a client leave out what the cluster filled in, and change the
// type without first clearing the fields that only the old type had.
func prepareServiceUpdate(s, old *corev1.Service) {
	s.Status = old.Status
	keepAllocated(&s.Spec, &old.Spec)
	dropByType(&s.Spec, &old.Spec)
}

func hasClusterIP(spec *corev1.ServiceSpec) bool { return spec.Type != corev1.ServiceTypeExternalName }

func hasNodePorts(spec *corev1.ServiceSpec) bool {
	return spec.Type == corev1.ServiceTypeNodePort ||
		(spec.Type == corev1.ServiceTypeLoadBalancer &&
			(spec.AllocateLoadBalancerNodePorts == nil || *spec.AllocateLoadBalancerNodePorts))
}

func hasHealthCheckPort(spec *corev1.ServiceSpec) bool {
	return spec.Type == corev1.ServiceTypeLoadBalancer &&
		spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
}

// keepAllocated carries addresses and ports over that an update does not mention.
func keepAllocated(spec, old *corev1.ServiceSpec) {
	if hasClusterIP(spec) && hasClusterIP(old) {
		if spec.ClusterIP == "" {
			spec.ClusterIP = old.ClusterIP
		}
		if len(spec.ClusterIPs) == 0 && spec.ClusterIP == old.ClusterIP {
			spec.ClusterIPs = slices.Clone(old.ClusterIPs)
		}
	}
	if hasNodePorts(spec) && hasNodePorts(old) {
		keepNodePorts(spec.Ports, old.Ports)
	}
	if hasHealthCheckPort(spec) && hasHealthCheckPort(old) && spec.HealthCheckNodePort == 0 {
		spec.HealthCheckNodePort = old.HealthCheckNodePort
	}
}

// keepNodePorts gives a port the node port that the same port had, unless another took it.
func keepNodePorts(ports, old []corev1.ServicePort) {
	type key struct {
		protocol corev1.Protocol
		port     int32
	}
	was, taken := map[key]int32{}, map[int32]bool{}
	for _, p := range old {
		was[key{p.Protocol, p.Port}] = p.NodePort
	}
	for _, p := range ports {
		taken[p.NodePort] = true
	}
	for i := range ports {
		p := &ports[i]
		if n := was[key{p.Protocol, p.Port}]; p.NodePort == 0 && n != 0 && !taken[n] {
			p.NodePort, taken[n] = n, true
		}
	}
}

// dropByType clears what the new type does not have. A field that the client changed as
// well stays, so that validation can say what is wrong.
func dropByType(spec, old *corev1.ServiceSpec) {
	if hasClusterIP(old) && !hasClusterIP(spec) {
		dropClusterIP(spec, old)
	}
	if hasNodePorts(old) && !hasNodePorts(spec) && spec.Type != corev1.ServiceTypeLoadBalancer && sameNodePorts(spec, old) {
		for i := range spec.Ports {
			spec.Ports[i].NodePort = 0
		}
	}
	if hasHealthCheckPort(old) && !hasHealthCheckPort(spec) && spec.HealthCheckNodePort == old.HealthCheckNodePort {
		spec.HealthCheckNodePort = 0
	}
	if old.Type == corev1.ServiceTypeLoadBalancer && spec.Type != corev1.ServiceTypeLoadBalancer {
		dropLoadBalancer(spec, old)
	}
	if !facesOutside(spec) && facesOutside(old) && spec.ExternalTrafficPolicy == old.ExternalTrafficPolicy {
		spec.ExternalTrafficPolicy = ""
	}
}

// dropClusterIP clears the address, also when the client cleared only the old one of its two
// fields.
func dropClusterIP(spec, old *corev1.ServiceSpec) {
	if (spec.ClusterIP == "" || spec.ClusterIP == old.ClusterIP) && slices.Equal(spec.ClusterIPs, old.ClusterIPs) {
		spec.ClusterIP, spec.ClusterIPs = "", nil
	}
	if slices.Equal(spec.IPFamilies, old.IPFamilies) {
		spec.IPFamilies = nil
	}
	if equality.Semantic.DeepEqual(spec.IPFamilyPolicy, old.IPFamilyPolicy) {
		spec.IPFamilyPolicy = nil
	}
}

func dropLoadBalancer(spec, old *corev1.ServiceSpec) {
	if equality.Semantic.DeepEqual(spec.AllocateLoadBalancerNodePorts, old.AllocateLoadBalancerNodePorts) {
		spec.AllocateLoadBalancerNodePorts = nil
	}
	if equality.Semantic.DeepEqual(spec.LoadBalancerClass, old.LoadBalancerClass) {
		spec.LoadBalancerClass = nil
	}
}

// sameNodePorts tells whether the client left the node ports alone.
func sameNodePorts(spec, old *corev1.ServiceSpec) bool {
	ports := func(all []corev1.ServicePort) []int32 {
		var ns []int32
		for _, p := range all {
			if p.NodePort != 0 {
				ns = append(ns, p.NodePort)
			}
		}
		slices.Sort(ns)
		return ns
	}
	was := ports(old.Ports)
	return !slices.ContainsFunc(ports(spec.Ports), func(n int32) bool {
		_, ok := slices.BinarySearch(was, n)
		return !ok
	})
}
