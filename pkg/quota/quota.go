// Package quota knows what an object counts for in a namespace's ResourceQuotas: pure functions
// from an object to quantities, and from a quota's scopes to the objects that it tracks. The API
// server charges with it when something is created, the quota controller counts with it what is there.
package quota

import (
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/miniorch/miniorch/pkg/api"
)

// countPrefix begins the names that count objects of any kind: count/deployments.apps.
const countPrefix = "count/"

// named are the kinds that can also be counted by a name without the prefix.
var named = map[string]corev1.ResourceName{
	"services":               corev1.ResourceServices,
	"secrets":                corev1.ResourceSecrets,
	"configmaps":             corev1.ResourceConfigMaps,
	"resourcequotas":         corev1.ResourceQuotas,
	"replicationcontrollers": corev1.ResourceReplicationControllers,
	"persistentvolumeclaims": corev1.ResourcePersistentVolumeClaims,
}

// CountName is the name under which objects of r are counted, whatever they are.
func CountName(r api.Resource) corev1.ResourceName {
	return corev1.ResourceName(countPrefix + r.String())
}

// Usage returns all that an object of r counts for at this time.
func Usage(r api.Resource, obj api.Object, now time.Time) corev1.ResourceList {
	use := corev1.ResourceList{CountName(r): one()}
	if name, ok := named[r.String()]; ok {
		use[name] = one()
	}
	switch o := obj.(type) {
	case *corev1.Pod:
		addPod(use, o, now)
	case *corev1.Service:
		addService(use, o)
	case *corev1.PersistentVolumeClaim:
		addClaim(use, o)
	case *resourcev1.ResourceClaim:
		addDevices(use, o)
	}
	return use
}

func one() resource.Quantity { return *resource.NewQuantity(1, resource.DecimalSI) }

func addService(use corev1.ResourceList, s *corev1.Service) {
	ports := int64(len(s.Spec.Ports))
	switch s.Spec.Type {
	case corev1.ServiceTypeNodePort:
	case corev1.ServiceTypeLoadBalancer:
		use[corev1.ResourceServicesLoadBalancers] = one()
		if a := s.Spec.AllocateLoadBalancerNodePorts; a != nil && !*a {
			ports = 0
			for _, p := range s.Spec.Ports {
				if p.NodePort != 0 {
					ports++
				}
			}
		}
	default:
		return
	}
	use[corev1.ResourceServicesNodePorts] = *resource.NewQuantity(ports, resource.DecimalSI)
}

// storageClassInfix stands between a class and what is limited of it.
const storageClassInfix = ".storageclass.storage.k8s.io/"

func addClaim(use corev1.ResourceList, c *corev1.PersistentVolumeClaim) {
	class := ""
	if c.Spec.StorageClassName != nil {
		class = *c.Spec.StorageClassName
	}
	if class != "" {
		use[corev1.ResourceName(class+storageClassInfix+string(corev1.ResourcePersistentVolumeClaims))] = one()
	}
	size, ok := c.Spec.Resources.Requests[corev1.ResourceStorage]
	if !ok {
		return
	}
	use[corev1.ResourceRequestsStorage] = size
	if class != "" {
		use[corev1.ResourceName(class+storageClassInfix+string(corev1.ResourceRequestsStorage))] = size
	}
}

// deviceClassSuffix ends the names that count devices of a class.
const deviceClassSuffix = ".deviceclass.resource.k8s.io/devices"

// addDevices counts devices per class. Of alternatives the largest counts, since any may be taken.
func addDevices(use corev1.ResourceList, c *resourcev1.ResourceClaim) {
	for _, request := range c.Spec.Devices.Requests {
		if e := request.Exactly; e != nil {
			addDevice(use, e.DeviceClassName, devices(e.AllocationMode, e.Count))
		}
		most := map[string]int64{}
		for _, alternative := range request.FirstAvailable {
			most[alternative.DeviceClassName] = max(most[alternative.DeviceClassName], devices(alternative.AllocationMode, alternative.Count))
		}
		for class, n := range most {
			addDevice(use, class, n)
		}
	}
}

func devices(mode resourcev1.DeviceAllocationMode, count int64) int64 {
	if mode == resourcev1.DeviceAllocationModeAll {
		return resourcev1.AllocationResultsMaxSize // how many there are is not known before they are given
	}
	return count
}

func addDevice(use corev1.ResourceList, class string, n int64) {
	name := corev1.ResourceName(class + deviceClassSuffix)
	sum := use[name]
	sum.Add(*resource.NewQuantity(n, resource.DecimalSI))
	use[name] = sum
}

// Limited returns what of use is named in hard: all that a quota cares about.
func Limited(use, hard corev1.ResourceList) corev1.ResourceList {
	out := corev1.ResourceList{}
	for name, q := range use {
		if _, ok := hard[name]; ok {
			out[name] = q
		}
	}
	return out
}

// Add returns the sum of two lists.
func Add(a, b corev1.ResourceList) corev1.ResourceList {
	return combine(a, b, (*resource.Quantity).Add)
}

// Subtract returns a less b.
func Subtract(a, b corev1.ResourceList) corev1.ResourceList {
	return combine(a, b, (*resource.Quantity).Sub)
}

func combine(a, b corev1.ResourceList, op func(*resource.Quantity, resource.Quantity)) corev1.ResourceList {
	out := make(corev1.ResourceList, len(a)+len(b))
	for name, q := range a {
		out[name] = q.DeepCopy()
	}
	for name, q := range b {
		sum := out[name]
		op(&sum, q)
		out[name] = sum
	}
	return out
}

// Equal tells whether two lists have the same names with the same values.
func Equal(a, b corev1.ResourceList) bool {
	if len(a) != len(b) {
		return false
	}
	for name, q := range a {
		if other, ok := b[name]; !ok || q.Cmp(other) != 0 {
			return false
		}
	}
	return true
}

// Zero returns the names of hard, all at nothing.
func Zero(hard corev1.ResourceList) corev1.ResourceList {
	out := make(corev1.ResourceList, len(hard))
	for name := range hard {
		out[name] = resource.Quantity{Format: resource.DecimalSI}
	}
	return out
}

// Concerns tells whether one of the names in hard says something about objects of r.
func Concerns(hard corev1.ResourceList, r api.Resource) bool {
	for name := range hard {
		if name == CountName(r) || name == named[r.String()] || slices.ContainsFunc(detailed[r.String()], func(is func(string) bool) bool { return is(string(name)) }) {
			return true
		}
	}
	return false
}

// detailed tells, for kinds of which more than the number counts, which names those are.
var detailed = map[string][]func(string) bool{
	"pods":     {isPodName},
	"services": {func(n string) bool { return strings.HasPrefix(n, "services.") }},
	"persistentvolumeclaims": {func(n string) bool {
		return n == string(corev1.ResourceRequestsStorage) || strings.Contains(n, storageClassInfix)
	}},
	"resourceclaims.resource.k8s.io": {func(n string) bool { return strings.HasSuffix(n, deviceClassSuffix) }},
}

// Text prints a list as messages show it: "cpu=1,memory=2Gi", in the order of names.
func Text(l corev1.ResourceList) string {
	parts := make([]string, 0, len(l))
	for _, name := range slices.Sorted(maps.Keys(l)) {
		q := l[name]
		parts = append(parts, string(name)+"="+q.String())
	}
	return strings.Join(parts, ",")
}
