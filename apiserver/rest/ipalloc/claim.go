package ipalloc

import (
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Claim is what one write of a Service takes and gives back. It stands from Assign on;
// Commit makes it final once the Service is stored, Rollback undoes it otherwise. After
// either, both do nothing.
type Claim struct {
	services *Services
	owner    types.UID
	done     bool
	// taken were free before; dropped are no longer needed.
	taken, dropped holding
}

type holding struct {
	ips   []netip.Addr
	ports []int32
}

// Commit frees what the Service no longer has.
func (c *Claim) Commit() { c.finish(&c.dropped) }

// Rollback frees what the Service would have had.
func (c *Claim) Rollback() { c.finish(&c.taken) }

func (c *Claim) finish(h *holding) {
	c.services.mu.Lock()
	defer c.services.mu.Unlock()
	if !c.done {
		c.done = true
		c.services.release(c.owner, h.ips, h.ports)
	}
}

// Assign fills in the addresses of a Service that is about to be stored: cluster IPs, IP
// families and node ports. old is what is stored, nil for a new Service. svc must have its
// UID, and whatever it is to keep from old: that is the kind's strategy.
func (s *Services) Assign(svc, old *corev1.Service) (*Claim, field.ErrorList) {
	align(svc)
	c := &Claim{services: s, owner: svc.UID}
	s.mu.Lock()
	errs := s.assignIP(c, svc)
	errs = append(errs, s.assignPorts(c, svc)...)
	s.mu.Unlock()
	if len(errs) > 0 {
		c.Rollback()
		return nil, errs
	}
	if old != nil {
		c.dropped = holding{missing(clusterIPs(old), clusterIPs(svc)), missing(nodePorts(old), nodePorts(svc))}
	}
	return c, nil
}

func missing[T comparable](before, after []T) []T {
	kept := make(map[T]bool, len(after))
	for _, v := range after {
		kept[v] = true
	}
	var gone []T
	for _, v := range before {
		if !kept[v] {
			gone = append(gone, v)
		}
	}
	return gone
}

// align brings fields in line that say the same or follow from one another.
func align(svc *corev1.Service) {
	spec := &svc.Spec
	if !hasClusterIP(svc) {
		return
	}
	if spec.ClusterIP == "" && len(spec.ClusterIPs) > 0 {
		spec.ClusterIP = spec.ClusterIPs[0]
	}
	if spec.ClusterIP != "" && len(spec.ClusterIPs) == 0 {
		spec.ClusterIPs = []string{spec.ClusterIP}
	}
	if len(spec.IPFamilies) == 0 {
		spec.IPFamilies = []corev1.IPFamily{corev1.IPv4Protocol}
	}
	if spec.IPFamilyPolicy == nil {
		single := corev1.IPFamilyPolicySingleStack
		spec.IPFamilyPolicy = &single
	}
}

func hasClusterIP(svc *corev1.Service) bool { return svc.Spec.Type != corev1.ServiceTypeExternalName }

func hasNodePorts(svc *corev1.Service) bool {
	switch svc.Spec.Type {
	case corev1.ServiceTypeNodePort:
		return true
	case corev1.ServiceTypeLoadBalancer:
		return svc.Spec.AllocateLoadBalancerNodePorts == nil || *svc.Spec.AllocateLoadBalancerNodePorts
	}
	return false
}

func needsHealthPort(svc *corev1.Service) bool {
	return svc.Spec.Type == corev1.ServiceTypeLoadBalancer && svc.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
}

// assignIP takes the Service's cluster IP, choosing one if it names none. The caller holds mu.
func (s *Services) assignIP(c *Claim, svc *corev1.Service) field.ErrorList {
	spec, path := &svc.Spec, field.NewPath("spec", "clusterIPs")
	if !hasClusterIP(svc) || spec.ClusterIP == corev1.ClusterIPNone {
		return nil
	}
	if len(spec.ClusterIPs) > 1 || len(spec.IPFamilies) > 1 || *spec.IPFamilyPolicy == corev1.IPFamilyPolicyRequireDualStack {
		return field.ErrorList{field.Invalid(path, spec.ClusterIPs, "this cluster is single-stack IPv4")}
	}
	if spec.IPFamilies[0] != corev1.IPv4Protocol {
		return field.ErrorList{field.Invalid(field.NewPath("spec", "ipFamilies").Index(0), spec.IPFamilies[0], "not configured on this cluster")}
	}
	if spec.ClusterIP == "" {
		ip, ok := s.first(), true
		if !isAPIService(svc) {
			ip, ok = s.freeIP()
		}
		if !ok {
			return field.ErrorList{field.InternalError(path, fmt.Errorf("failed to allocate a cluster IP: range %s is full", s.cidr))}
		}
		spec.ClusterIP, spec.ClusterIPs = ip.String(), []string{ip.String()}
	}
	if why := s.takeIP(c, svc); why != "" {
		return field.ErrorList{field.Invalid(path, spec.ClusterIPs, fmt.Sprintf("failed to allocate IP %s: %s", spec.ClusterIP, why))}
	}
	return nil
}

// takeIP returns why the named address cannot be had, or "". The caller holds mu.
func (s *Services) takeIP(c *Claim, svc *corev1.Service) string {
	ip, err := netip.ParseAddr(svc.Spec.ClusterIP)
	switch {
	case err != nil:
		return "not a valid IP address"
	case s.ips[ip] == c.owner && c.owner != "":
		return ""
	case !s.cidr.Contains(ip) || ip == s.cidr.Addr() || ip == s.nth(s.hosts()):
		return fmt.Sprintf("the provided IP (%s) is not in the valid range. The range of valid IPs is %s", ip, s.cidr)
	case s.ips[ip] != "":
		return "provided IP is already allocated"
	case ip == s.first() && !isAPIService(svc):
		return "provided IP is reserved for the API server"
	}
	s.ips[ip] = c.owner
	c.taken.ips = append(c.taken.ips, ip)
	return ""
}

// isAPIService: the Service through which pods reach the API has the first address.
func isAPIService(svc *corev1.Service) bool {
	return svc.Name == "kubernetes" && svc.Namespace == metav1.NamespaceDefault
}

// assignPorts takes the Service's node ports: first those that it names, then free
// ones. One port number serves TCP and UDP of one Service. The caller holds mu.
func (s *Services) assignPorts(c *Claim, svc *corev1.Service) field.ErrorList {
	var errs field.ErrorList
	path := field.NewPath("spec", "ports")
	for i, p := range svc.Spec.Ports {
		if p.NodePort != 0 {
			errs = append(errs, s.takePort(c, p.NodePort, path.Index(i).Child("nodePort"))...)
		}
	}
	if needsHealthPort(svc) && svc.Spec.HealthCheckNodePort != 0 {
		errs = append(errs, s.takePort(c, svc.Spec.HealthCheckNodePort, field.NewPath("spec", "healthCheckNodePort"))...)
	}
	if len(errs) > 0 {
		return errs
	}
	if hasNodePorts(svc) {
		for i := range svc.Spec.Ports {
			if p := &svc.Spec.Ports[i]; p.NodePort == 0 {
				errs = append(errs, s.choosePort(c, svc, p, path.Index(i).Child("nodePort"))...)
			}
		}
	}
	if needsHealthPort(svc) && svc.Spec.HealthCheckNodePort == 0 {
		errs = append(errs, s.takeAnyPort(c, &svc.Spec.HealthCheckNodePort, field.NewPath("spec", "healthCheckNodePort"))...)
	}
	return errs
}

func (s *Services) takePort(c *Claim, port int32, path *field.Path) field.ErrorList {
	switch owner := s.nodePorts[port]; {
	case owner == c.owner && c.owner != "":
		return nil
	case owner != "":
		return field.ErrorList{field.Invalid(path, port, "provided port is already allocated")}
	case !s.ports.contains(port):
		return field.ErrorList{field.Invalid(path, port, "provided port is not in the valid range. The range of valid ports is "+s.ports.String())}
	}
	s.nodePorts[port] = c.owner
	c.taken.ports = append(c.taken.ports, port)
	return nil
}

// choosePort gives p the number that the same port has for another protocol, or a free one.
func (s *Services) choosePort(c *Claim, svc *corev1.Service, p *corev1.ServicePort, path *field.Path) field.ErrorList {
	for _, other := range svc.Spec.Ports {
		if other.Port == p.Port && other.Protocol != p.Protocol && other.NodePort != 0 {
			p.NodePort = other.NodePort
			return nil
		}
	}
	return s.takeAnyPort(c, &p.NodePort, path)
}

func (s *Services) takeAnyPort(c *Claim, into *int32, path *field.Path) field.ErrorList {
	port, ok := s.freePort()
	if !ok {
		return field.ErrorList{field.InternalError(path, fmt.Errorf("failed to allocate a nodePort: range %s is full", s.ports))}
	}
	*into = port
	return s.takePort(c, port, path)
}
