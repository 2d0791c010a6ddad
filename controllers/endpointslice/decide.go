package endpointslice

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/controllers/backends"
	"github.com/miniorch/miniorch/controllers/names"
	"github.com/miniorch/miniorch/controllers/ownership"
	"github.com/miniorch/miniorch/pkg/api"
)

const (
	manager     = "endpointslice-controller.k8s.io"
	maxPerSlice = 100
)

var serviceKind = corev1.SchemeGroupVersion.WithKind("Service")

// Change is one slice before and after.
type Change struct {
	Old, New *discoveryv1.EndpointSlice
}

// Plan is what is to be done about the slices of one Service.
type Plan struct {
	Create []*discoveryv1.EndpointSlice // without names: see name
	Update []Change
	Delete []*discoveryv1.EndpointSlice
	// Lost is the number of endpoints that are there before and not after.
	Lost, Had int
	// Unshared is why the zones cannot have their shares of the endpoints, if they were to have them.
	Unshared error
}

// Empty tells whether there is nothing to do.
func (p Plan) Empty() bool { return len(p.Create)+len(p.Update)+len(p.Delete) == 0 }

// String prints the plan.
func (p Plan) String() string {
	return fmt.Sprintf("create %d, update %d, delete %d slices; %d of %d endpoints go", len(p.Create), len(p.Update), len(p.Delete), p.Lost, p.Had)
}

// observed is what is decided from.
type observed struct {
	Service *corev1.Service              // nil: it is gone
	Pods    []*corev1.Pod                // that it selects
	Slices  []*discoveryv1.EndpointSlice // that this controller made for it
	Zones   map[string]string            // node → zone
	Shares  shares                       // of the zones in all CPU
}

// decide compares the slices that a Service should have with those that it has, and changes as
// few of them as possible: every changed slice is sent to every node.
func decide(o observed) Plan {
	d := draft{observed: o}
	if o.Service != nil && o.Service.DeletionTimestamp == nil && backends.Managed(o.Service) {
		d.wanted = wanted(o)
		var unshared error
		for _, g := range d.wanted {
			if followsTopology(o.Service) {
				unshared = cmp.Or(unshared, g.share(o.Shares))
			}
		}
		for _, family := range backends.Families(o.Service) {
			d.family(family)
		}
		plan := d.finish()
		plan.Unshared = unshared
		return plan
	}
	return d.finish()
}

// group is the endpoints of one family that share ports: they may share slices.
type group struct {
	family    discoveryv1.AddressType
	ports     []discoveryv1.EndpointPort
	endpoints []discoveryv1.Endpoint // in the order of pod names
}

func wanted(o observed) []*group {
	var groups []*group
	for _, p := range backends.SortPods(o.Pods) {
		if !backends.Stands(p) {
			continue
		}
		ports := portsOf(o.Service, p)
		for _, family := range backends.Families(o.Service) {
			address := backends.Address(p, family)
			if address == "" {
				continue
			}
			at := slices.IndexFunc(groups, func(g *group) bool { return g.family == family && samePorts(g.ports, ports) })
			if at < 0 {
				groups = append(groups, &group{family: family, ports: ports})
				at = len(groups) - 1
			}
			groups[at].endpoints = append(groups[at].endpoints, endpoint(o, p, address))
		}
	}
	return groups
}

func portsOf(svc *corev1.Service, p *corev1.Pod) []discoveryv1.EndpointPort {
	ports := []discoveryv1.EndpointPort{}
	for i := range svc.Spec.Ports {
		sp := &svc.Spec.Ports[i]
		if number, ok := backends.TargetPort(p, sp); ok {
			protocol := cmp.Or(sp.Protocol, corev1.ProtocolTCP)
			ports = append(ports, discoveryv1.EndpointPort{Name: ptr.To(sp.Name), Port: ptr.To(number), Protocol: &protocol, AppProtocol: sp.AppProtocol})
		}
	}
	slices.SortFunc(ports, func(a, b discoveryv1.EndpointPort) int { return strings.Compare(*a.Name, *b.Name) })
	return ports
}

func samePorts(a, b []discoveryv1.EndpointPort) bool {
	return len(a) == len(b) && (len(a) == 0 || equality.Semantic.DeepEqual(a, b))
}

func endpoint(o observed, p *corev1.Pod, address string) discoveryv1.Endpoint {
	serving, terminating := api.IsPodReady(p), p.DeletionTimestamp != nil
	ep := discoveryv1.Endpoint{
		Addresses: []string{address},
		Conditions: discoveryv1.EndpointConditions{
			Ready:       ptr.To(o.Service.Spec.PublishNotReadyAddresses || serving && !terminating),
			Serving:     &serving,
			Terminating: &terminating,
		},
		TargetRef: backends.Reference(p),
	}
	if p.Spec.NodeName != "" {
		ep.NodeName = ptr.To(p.Spec.NodeName)
	}
	if zone := o.Zones[p.Spec.NodeName]; zone != "" {
		ep.Zone = &zone
	}
	if hostname := backends.Hostname(o.Service, p); hostname != "" {
		ep.Hostname = &hostname
	}
	if *ep.Conditions.Ready && !followsTopology(o.Service) {
		ep.Hints = hints(ptr.Deref(o.Service.Spec.TrafficDistribution, ""), ep)
	}
	return ep
}

// hints tell the nodes for whom an endpoint is meant: those of its own zone, or its own node
// first, if the Service prefers its traffic to stay near. A node without an endpoint that is meant for
// it uses all.
func hints(distribution string, ep discoveryv1.Endpoint) *discoveryv1.EndpointHints {
	h := &discoveryv1.EndpointHints{}
	switch distribution {
	case corev1.ServiceTrafficDistributionPreferSameNode:
		if ep.NodeName != nil {
			h.ForNodes = []discoveryv1.ForNode{{Name: *ep.NodeName}}
		}
	case corev1.ServiceTrafficDistributionPreferClose, corev1.ServiceTrafficDistributionPreferSameZone:
	default:
		return nil
	}
	if ep.Zone != nil {
		h.ForZones = []discoveryv1.ForZone{{Name: *ep.Zone}}
	}
	if len(h.ForNodes)+len(h.ForZones) == 0 {
		return nil
	}
	return h
}

// newSlice makes a slice without name and endpoints.
func newSlice(svc *corev1.Service, family discoveryv1.AddressType, ports []discoveryv1.EndpointPort) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{AddressType: family, Ports: ports, Endpoints: []discoveryv1.Endpoint{}}
	s.Namespace = svc.Namespace
	s.GenerateName = svc.Name + "-"
	brand(s, svc)
	return s
}

// brand sets the labels and the owner that tell whose slice it is.
func brand(s *discoveryv1.EndpointSlice, svc *corev1.Service) {
	s.Labels = backends.Labels(svc)
	s.Labels[discoveryv1.LabelServiceName] = svc.Name
	s.Labels[discoveryv1.LabelManagedBy] = manager
	s.OwnerReferences = []metav1.OwnerReference{ownership.Reference(svc, serviceKind)}
}

func sequence(svc *corev1.Service) names.Sequence { return names.For(svc.Name+"-", svc.UID) }
