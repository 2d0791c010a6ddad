package endpoints

//lint:file-ignore SA1019 Endpoints are deprecated, and served.

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/controllers/backends"
	"github.com/miniorch/miniorch/pkg/api"
)

const (
	manager      = "endpoint-controller"
	maxAddresses = 1000 // what does not fit is cut off: EndpointSlices are the API for large Services
)

// Plan is what is to be done about the Endpoints of one Service: at most one field is set.
type Plan struct {
	Create, Update, Delete *corev1.Endpoints
	// Lost is the number of addresses that are there before and not after, of Had.
	Lost, Had int
}

// Empty tells whether there is nothing to do.
func (p Plan) Empty() bool { return p.Create == nil && p.Update == nil && p.Delete == nil }

// String prints the plan.
func (p Plan) String() string {
	verb := "nothing"
	switch {
	case p.Create != nil:
		verb = "create"
	case p.Update != nil:
		verb = "update"
	case p.Delete != nil:
		verb = "delete"
	}
	return fmt.Sprintf("%s; %d of %d addresses go", verb, p.Lost, p.Had)
}

// observed is what is decided from.
type observed struct {
	Service  *corev1.Service // nil: it is gone
	Pods     []*corev1.Pod   // that it selects
	Existing *corev1.Endpoints
}

// decide compares the Endpoints that a Service should have with those that it has. Endpoints that
// somebody else made, for a Service without selector or for none, are left alone.
func decide(o observed) Plan {
	managed := o.Service != nil && backends.Managed(o.Service)
	switch {
	case o.Service != nil && o.Service.DeletionTimestamp != nil:
		return Plan{}
	case !managed && o.Existing != nil && o.Existing.Labels[backends.LabelEndpointsManagedBy] == manager:
		lost, had := lost(o.Existing, nil)
		return Plan{Delete: o.Existing, Lost: lost, Had: had}
	case !managed:
		return Plan{}
	}
	want := render(o)
	if o.Existing == nil {
		return Plan{Create: want}
	}
	n, had := lost(o.Existing, want.Subsets)
	changed := o.Existing.DeepCopy()
	changed.Labels, changed.Subsets = want.Labels, want.Subsets
	changed.Annotations = overCapacity(changed.Annotations, want.Annotations)
	if equality.Semantic.DeepEqual(changed, o.Existing) {
		return Plan{}
	}
	return Plan{Update: changed, Lost: n, Had: had}
}

func render(o observed) *corev1.Endpoints {
	ep := &corev1.Endpoints{ObjectMeta: metav1.ObjectMeta{Namespace: o.Service.Namespace, Name: o.Service.Name, Labels: backends.Labels(o.Service)}}
	ep.Labels[backends.LabelEndpointsManagedBy] = manager
	subsets, cut := subsets(o)
	ep.Subsets = subsets
	if cut {
		ep.Annotations = map[string]string{corev1.EndpointsOverCapacity: "truncated"}
	}
	return ep
}

// overCapacity carries the one annotation that is ours into the annotations of others.
func overCapacity(have, want map[string]string) map[string]string {
	delete(have, corev1.EndpointsOverCapacity)
	for k, v := range want {
		if have == nil {
			have = map[string]string{}
		}
		have[k] = v
	}
	return have
}

// target is one pod's address, as it goes into a subset.
type target struct {
	corev1.EndpointAddress
	ready bool
}

func targets(o observed) (out []target, cut bool) {
	var ready, unready []target
	byPod := backends.SortPods(o.Pods)
	family := backends.Families(o.Service)[0]
	for _, p := range byPod {
		address := backends.Address(p, family)
		if !backends.Stands(p) || address == "" || p.DeletionTimestamp != nil && !o.Service.Spec.PublishNotReadyAddresses {
			continue
		}
		t := target{ready: api.IsPodReady(p) || o.Service.Spec.PublishNotReadyAddresses}
		t.IP, t.Hostname, t.TargetRef = address, backends.Hostname(o.Service, p), backends.Reference(p)
		if p.Spec.NodeName != "" {
			t.NodeName = &p.Spec.NodeName
		}
		if t.ready {
			ready = append(ready, t)
		} else {
			unready = append(unready, t)
		}
	}
	all := append(ready, unready...)
	return all[:min(len(all), maxAddresses)], len(all) > maxAddresses
}

// subsets groups ports that lead to the same addresses: mostly that is one subset.
func subsets(o observed) (out []corev1.EndpointSubset, cut bool) {
	all, cut := targets(o)
	pods := map[string]*corev1.Pod{}
	for _, p := range o.Pods {
		pods[string(p.UID)] = p
	}
	byPort := map[corev1.EndpointPort][]target{}
	for _, t := range all {
		for _, port := range portsOf(o.Service, pods[string(t.TargetRef.UID)]) {
			byPort[port] = append(byPort[port], t)
		}
	}
	if len(o.Service.Spec.Ports) == 0 && len(all) > 0 {
		return []corev1.EndpointSubset{subset(all, nil)}, cut
	}
	byTargets := map[string]*corev1.EndpointSubset{}
	for port, ts := range byPort {
		key := identity(ts)
		if byTargets[key] == nil {
			s := subset(ts, nil)
			byTargets[key] = &s
		}
		byTargets[key].Ports = append(byTargets[key].Ports, port)
	}
	for _, s := range byTargets {
		slices.SortFunc(s.Ports, comparePorts)
		out = append(out, *s)
	}
	slices.SortFunc(out, func(a, b corev1.EndpointSubset) int { return comparePorts(a.Ports[0], b.Ports[0]) })
	return out, cut
}

func portsOf(svc *corev1.Service, p *corev1.Pod) []corev1.EndpointPort {
	var ports []corev1.EndpointPort
	for i := range svc.Spec.Ports {
		sp := &svc.Spec.Ports[i]
		if number, ok := backends.TargetPort(p, sp); ok {
			// AppProtocol is a pointer: the Service's own makes ports of one Service comparable.
			ports = append(ports, corev1.EndpointPort{Name: sp.Name, Port: number, Protocol: cmp.Or(sp.Protocol, corev1.ProtocolTCP), AppProtocol: sp.AppProtocol})
		}
	}
	return ports
}

func comparePorts(a, b corev1.EndpointPort) int {
	return cmp.Or(strings.Compare(a.Name, b.Name), cmp.Compare(a.Port, b.Port), strings.Compare(string(a.Protocol), string(b.Protocol)))
}

func identity(ts []target) string {
	var b strings.Builder
	for _, t := range ts {
		fmt.Fprintf(&b, "%s/%s;", t.IP, t.TargetRef.UID)
	}
	return b.String()
}

func subset(ts []target, ports []corev1.EndpointPort) corev1.EndpointSubset {
	s := corev1.EndpointSubset{Ports: ports}
	for _, t := range ts {
		if t.ready {
			s.Addresses = append(s.Addresses, t.EndpointAddress)
		} else {
			s.NotReadyAddresses = append(s.NotReadyAddresses, t.EndpointAddress)
		}
	}
	return s
}

// lost counts the addresses of ep that are not in after.
func lost(ep *corev1.Endpoints, after []corev1.EndpointSubset) (n, had int) {
	stays := map[string]bool{}
	each := func(all []corev1.EndpointSubset, f func(ip string)) {
		for _, s := range all {
			for _, a := range append(slices.Clone(s.Addresses), s.NotReadyAddresses...) {
				f(a.IP)
			}
		}
	}
	each(after, func(ip string) { stays[ip] = true })
	each(ep.Subsets, func(ip string) {
		had++
		if !stays[ip] {
			n++
		}
	})
	return n, had
}
