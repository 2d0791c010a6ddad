package framework

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Resources is an amount of everything that nodes have and pods ask for, as plain numbers.
// It is a value; Others is never changed in place.
type Resources struct {
	MilliCPU, Memory, EphemeralStorage, Pods int64
	Others                                   []Amount // extended resources and huge pages, by name
}

// Amount is how much of one resource.
type Amount struct {
	Name  corev1.ResourceName
	Value int64
}

// ResourcesOf reads a resource list.
func ResourcesOf(list corev1.ResourceList) Resources {
	var r Resources
	for name, q := range list {
		switch name {
		case corev1.ResourceCPU:
			r.MilliCPU = q.MilliValue()
		case corev1.ResourceMemory:
			r.Memory = q.Value()
		case corev1.ResourceEphemeralStorage:
			r.EphemeralStorage = q.Value()
		case corev1.ResourcePods:
			r.Pods = q.Value()
		default:
			r.Others = append(r.Others, Amount{name, q.Value()})
		}
	}
	slices.SortFunc(r.Others, func(a, b Amount) int { return strings.Compare(string(a.Name), string(b.Name)) })
	return r
}

// Other returns how much there is of a resource that has no field of its own.
func (r *Resources) Other(name corev1.ResourceName) int64 {
	for i := range r.Others {
		if r.Others[i].Name == name {
			return r.Others[i].Value
		}
	}
	return 0
}

// Plus returns r + sign*o.
func (r Resources) Plus(o *Resources, sign int64) Resources {
	r.MilliCPU += sign * o.MilliCPU
	r.Memory += sign * o.Memory
	r.EphemeralStorage += sign * o.EphemeralStorage
	r.Pods += sign * o.Pods
	if len(o.Others) > 0 {
		r.Others = slices.Clone(r.Others)
		for _, a := range o.Others {
			at, found := slices.BinarySearchFunc(r.Others, a.Name, func(x Amount, n corev1.ResourceName) int {
				return strings.Compare(string(x.Name), string(n))
			})
			if !found {
				r.Others = slices.Insert(r.Others, at, Amount{Name: a.Name})
			}
			r.Others[at].Value += sign * a.Value
		}
	}
	return r
}
