package endpointslicemirroring

//lint:file-ignore SA1019 Endpoints made by hand are what this is about.

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/controllers/names"
	"github.com/miniorch/miniorch/controllers/ownership"
)

const (
	manager = "endpointslicemirroring-controller.k8s.io"
	// maxPerSubset is how many addresses of a subset are mirrored; it is also what fits into a slice.
	maxPerSubset = 1000
	// leaderKey marks Endpoints that are no addresses but a lock of an old client.
	leaderKey = "control-plane.alpha.kubernetes.io/leader"
)

var endpointsKind = corev1.SchemeGroupVersion.WithKind("Endpoints")

// observed is what is decided from.
type observed struct {
	Endpoints *corev1.Endpoints            // nil: there are none
	Service   *corev1.Service              // of the same name; nil: there is none
	Slices    []*discoveryv1.EndpointSlice // that this controller made for them
}

// Plan is what is to be done about the slices of one Endpoints.
type Plan struct {
	Create, Update, Delete []*discoveryv1.EndpointSlice
	Dropped                int // addresses that are too many
}

// Empty tells whether there is nothing to do.
func (p Plan) Empty() bool { return len(p.Create)+len(p.Update)+len(p.Delete) == 0 }

// lost counts the addresses of the slices that there are, and those of them that go.
func (p Plan) lost(before []*discoveryv1.EndpointSlice) (lost, had int) {
	after := map[string]int{}
	for _, s := range before {
		had += len(s.Endpoints)
		after[s.Name] = len(s.Endpoints)
	}
	for _, s := range p.Delete {
		delete(after, s.Name)
	}
	for _, s := range append(slices.Clone(p.Update), p.Create...) {
		after[s.Name] = len(s.Endpoints)
	}
	for _, n := range after {
		lost -= n
	}
	return max(0, lost+had), had
}

// String prints the plan.
func (p Plan) String() string {
	return fmt.Sprintf("create %d, update %d, delete %d slices", len(p.Create), len(p.Update), len(p.Delete))
}

// mirrored tells whether the Endpoints are somebody's hand-made list behind a Service: the
// other controllers make slices for Services that select pods.
func (o observed) mirrored() bool {
	e, svc := o.Endpoints, o.Service
	if e == nil || svc == nil || e.DeletionTimestamp != nil || svc.DeletionTimestamp != nil || len(svc.Spec.Selector) > 0 {
		return false
	}
	_, lock := e.Annotations[leaderKey]
	return !lock && e.Labels[discoveryv1.LabelSkipMirror] != "true"
}

// decide compares the slices that the Endpoints should have with those that they have.
func decide(o observed) Plan {
	var p Plan
	wanted := map[string]*discoveryv1.EndpointSlice{}
	if o.mirrored() {
		for _, subset := range o.Endpoints.Subsets {
			p.Dropped += addSubset(wanted, o.Endpoints, subset)
		}
	}
	for _, s := range o.Slices {
		w, ok := wanted[s.Name]
		delete(wanted, s.Name)
		switch {
		case !ok:
			p.Delete = append(p.Delete, s)
		case !same(s, w):
			w.ObjectMeta.UID, w.ObjectMeta.ResourceVersion = s.UID, s.ResourceVersion
			p.Update = append(p.Update, w)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		p.Create = append(p.Create, wanted[name])
	}
	return p
}

func same(a, b *discoveryv1.EndpointSlice) bool {
	return maps.Equal(a.Labels, b.Labels) && maps.Equal(a.Annotations, b.Annotations) &&
		equality.Semantic.DeepEqual(a.Endpoints, b.Endpoints) && equality.Semantic.DeepEqual(a.Ports, b.Ports)
}

// addSubset puts the addresses of one subset into the slice of its ports and their family, and
// returns how many did not fit.
func addSubset(wanted map[string]*discoveryv1.EndpointSlice, e *corev1.Endpoints, subset corev1.EndpointSubset) (dropped int) {
	ports := portsOf(subset.Ports)
	for _, group := range []struct {
		all   []corev1.EndpointAddress
		ready bool
	}{{subset.Addresses, true}, {subset.NotReadyAddresses, false}} {
		for _, a := range group.all {
			family := discoveryv1.AddressTypeIPv4
			ip, err := netip.ParseAddr(a.IP)
			if err != nil {
				continue // the API server has refused it
			}
			if ip.Is6() && !ip.Is4In6() {
				family = discoveryv1.AddressTypeIPv6
			}
			name := nameOf(e, family, ports)
			s := wanted[name]
			if s == nil {
				s = newSlice(e, name, family, ports)
				wanted[name] = s
			}
			if len(s.Endpoints) == maxPerSubset {
				dropped++
				continue
			}
			s.Endpoints = append(s.Endpoints, endpoint(a, group.ready))
		}
	}
	return dropped
}

func endpoint(a corev1.EndpointAddress, ready bool) discoveryv1.Endpoint {
	ep := discoveryv1.Endpoint{Addresses: []string{a.IP}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}, NodeName: a.NodeName}
	if a.TargetRef != nil {
		ep.TargetRef = a.TargetRef.DeepCopy()
	}
	if a.Hostname != "" {
		ep.Hostname = &a.Hostname
	}
	return ep
}

func portsOf(ports []corev1.EndpointPort) []discoveryv1.EndpointPort {
	out := make([]discoveryv1.EndpointPort, len(ports))
	for i, p := range ports {
		out[i] = discoveryv1.EndpointPort{Name: ptr.To(p.Name), Port: ptr.To(p.Port), Protocol: ptr.To(p.Protocol), AppProtocol: p.AppProtocol}
	}
	return out
}

// nameOf names the slice of one family and set of ports.
func nameOf(e *corev1.Endpoints, family discoveryv1.AddressType, ports []discoveryv1.EndpointPort) string {
	text, err := json.Marshal(ports)
	if err != nil {
		panic(err) // API types always encode
	}
	return names.For(e.Name+"-", types.UID(fmt.Sprintf("%s/%s/%s", e.UID, family, text))).Name(0)
}

func newSlice(e *corev1.Endpoints, name string, family discoveryv1.AddressType, ports []discoveryv1.EndpointPort) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: e.Namespace, Name: name, GenerateName: e.Name + "-", Labels: maps.Clone(e.Labels),
			OwnerReferences: []metav1.OwnerReference{ownership.Reference(e, endpointsKind)},
		},
		AddressType: family, Ports: ports,
	}
	if s.Labels == nil {
		s.Labels = map[string]string{}
	}
	s.Labels[discoveryv1.LabelServiceName], s.Labels[discoveryv1.LabelManagedBy] = e.Name, manager
	for k, v := range e.Annotations {
		if k == corev1.LastAppliedConfigAnnotation || k == corev1.EndpointsLastChangeTriggerTime {
			continue
		}
		if s.Annotations == nil {
			s.Annotations = map[string]string{}
		}
		s.Annotations[k] = v
	}
	return s
}
