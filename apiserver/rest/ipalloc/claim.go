package ipalloc

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Address is a cluster IP, or a node port.
type Address struct {
	IP   netip.Addr
	Port int32
}

// String returns "10.96.0.10" or "node port 30001".
func (a Address) String() string {
	if a.Port != 0 {
		return fmt.Sprintf("node port %d", a.Port)
	}
	return a.IP.String()
}

// Claim is what one write of a Service takes and gives back.
type Claim struct{ Take, Drop []Address }

// Addresses lists what a Service holds, each once. A headless one has no address.
func Addresses(svc *corev1.Service) []Address {
	var all []Address
	add := func(a Address) {
		if !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	for _, text := range append([]string{svc.Spec.ClusterIP}, svc.Spec.ClusterIPs...) {
		if ip, err := netip.ParseAddr(text); err == nil && ip.Is4() {
			add(Address{IP: ip})
		}
	}
	for _, p := range svc.Spec.Ports {
		if p.NodePort != 0 {
			add(Address{Port: p.NodePort})
		}
	}
	if svc.Spec.HealthCheckNodePort != 0 {
		add(Address{Port: svc.Spec.HealthCheckNodePort})
	}
	return all
}

// Assign fills in the addresses of a Service that is about to be stored: cluster IPs, IP
// families and node ports. old is what is stored, nil for a new Service; what is to be kept of it
// is there already: that is the kind's strategy. What taken knows is not chosen; an address that
// the Service names itself is only checked to be one that can be given.
func (r Ranges) Assign(svc, old *corev1.Service, taken func(Address) bool, random func() uint64) (Claim, field.ErrorList) {
	align(svc)
	var had []Address
	if old != nil {
		had = Addresses(old)
	}
	a := &assignment{Ranges: r, svc: svc, had: had, taken: taken, random: random}
	errs := a.ip()
	if errs = append(errs, a.ports()...); len(errs) > 0 {
		return Claim{}, errs
	}
	has := Addresses(svc)
	return Claim{Take: missing(has, had), Drop: missing(had, has)}, nil
}

// missing lists what is in the first list and not in the second.
func missing(from, in []Address) (out []Address) {
	for _, a := range from {
		if !slices.Contains(in, a) {
			out = append(out, a)
		}
	}
	return out
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

// isAPIService: the Service through which pods reach the API has the first address.
func isAPIService(svc *corev1.Service) bool {
	return svc.Name == "kubernetes" && svc.Namespace == metav1.NamespaceDefault
}

// assignment is one Service being given its addresses.
type assignment struct {
	Ranges
	svc    *corev1.Service
	had    []Address
	taken  func(Address) bool
	random func() uint64
	chosen []Address
}

// unavailable: what somebody has, or what this Service has just been given for something else.
func (a *assignment) unavailable(x Address) bool {
	return slices.Contains(a.chosen, x) || slices.Contains(Addresses(a.svc), x) || a.taken(x)
}

// ip checks the Service's cluster IP, choosing one if it names none.
func (a *assignment) ip() field.ErrorList {
	spec, path := &a.svc.Spec, field.NewPath("spec", "clusterIPs")
	if !hasClusterIP(a.svc) || spec.ClusterIP == corev1.ClusterIPNone {
		return nil
	}
	if len(spec.ClusterIPs) > 1 || len(spec.IPFamilies) > 1 || *spec.IPFamilyPolicy == corev1.IPFamilyPolicyRequireDualStack {
		return field.ErrorList{field.Invalid(field.NewPath("spec", "ipFamilyPolicy"), *spec.IPFamilyPolicy, "this cluster is not configured for dual-stack services")}
	}
	if spec.IPFamilies[0] != corev1.IPv4Protocol {
		return field.ErrorList{field.Invalid(field.NewPath("spec", "ipFamilies").Index(0), spec.IPFamilies[0], "not configured on this cluster")}
	}
	if spec.ClusterIP == "" {
		ip, ok := block(a.CIDRs[0]).first(), true
		if !isAPIService(a.svc) {
			ip, ok = a.freeIP(a.unavailable, a.random)
		}
		if !ok {
			return field.ErrorList{field.InternalError(path, fmt.Errorf("failed to allocate a cluster IP: range %s is full", a.Ranges))}
		}
		spec.ClusterIP, spec.ClusterIPs = ip.String(), []string{ip.String()}
	}
	if errs := validation.IsValidIPForLegacyField(path.Index(0), spec.ClusterIP, false, nil); len(errs) > 0 {
		return errs
	}
	if why := a.badIP(spec.ClusterIP); why != "" {
		return field.ErrorList{field.Invalid(path, spec.ClusterIPs, fmt.Sprintf("failed to allocate IP %s: %s", spec.ClusterIP, why))}
	}
	return nil
}

// badIP returns why no Service can have the address, or "".
func (a *assignment) badIP(text string) string {
	ip, err := netip.ParseAddr(text)
	switch {
	case err != nil:
		return "not a valid IP address"
	case slices.Contains(a.had, Address{IP: ip}):
		return "" // it stays, even if its range does not
	case !a.Contains(Address{IP: ip}):
		return fmt.Sprintf("the provided IP (%s) is not in the valid range. The range of valid IPs is %s", ip, a.Ranges)
	case ip == block(a.CIDRs[0]).first() && !isAPIService(a.svc):
		return "provided IP is reserved for the API server"
	}
	return ""
}

// ports checks the Service's node ports, first those that it names, then chooses the others. One
// port number serves TCP and UDP of one Service.
func (a *assignment) ports() field.ErrorList {
	var errs field.ErrorList
	path, health := field.NewPath("spec", "ports"), field.NewPath("spec", "healthCheckNodePort")
	for i, p := range a.svc.Spec.Ports {
		errs = append(errs, a.badPort(p.NodePort, path.Index(i).Child("nodePort"))...)
	}
	needsHealth := needsHealthPort(a.svc)
	if needsHealth {
		errs = append(errs, a.badPort(a.svc.Spec.HealthCheckNodePort, health)...)
	}
	if len(errs) > 0 {
		return errs
	}
	if hasNodePorts(a.svc) {
		for i := range a.svc.Spec.Ports {
			errs = append(errs, a.choosePort(&a.svc.Spec.Ports[i], path.Index(i).Child("nodePort"))...)
		}
	}
	if needsHealth && a.svc.Spec.HealthCheckNodePort == 0 {
		errs = append(errs, a.anyPort(&a.svc.Spec.HealthCheckNodePort, health)...)
	}
	return errs
}

func (a *assignment) badPort(port int32, path *field.Path) field.ErrorList {
	if port == 0 || slices.Contains(a.had, Address{Port: port}) || a.Ports.Contains(port) {
		return nil
	}
	return field.ErrorList{field.Invalid(path, port, "provided port is not in the valid range. The range of valid ports is "+a.Ports.String())}
}

// choosePort gives p the number that the same port has for another protocol, or a free one.
func (a *assignment) choosePort(p *corev1.ServicePort, path *field.Path) field.ErrorList {
	if p.NodePort != 0 {
		return nil
	}
	for _, other := range a.svc.Spec.Ports {
		if other.Port == p.Port && other.Protocol != p.Protocol && other.NodePort != 0 {
			p.NodePort = other.NodePort
			return nil
		}
	}
	return a.anyPort(&p.NodePort, path)
}

func (a *assignment) anyPort(into *int32, path *field.Path) field.ErrorList {
	port, ok := a.Ports.free(a.unavailable, a.random)
	if !ok {
		return field.ErrorList{field.InternalError(path, fmt.Errorf("failed to allocate a nodePort: range %s is full", a.Ports))}
	}
	*into = port
	a.chosen = append(a.chosen, Address{Port: port})
	return nil
}

// Where says which field of a Service names an address, and with what value.
func Where(svc *corev1.Service, a Address) (path *field.Path, value any) {
	if a.Port == 0 {
		return field.NewPath("spec", "clusterIPs"), svc.Spec.ClusterIPs
	}
	for i, p := range svc.Spec.Ports {
		if p.NodePort == a.Port {
			return field.NewPath("spec", "ports").Index(i).Child("nodePort"), a.Port
		}
	}
	return field.NewPath("spec", "healthCheckNodePort"), a.Port
}
