package resourcequota

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/quota"
)

// settle is how long a quota's usage must have stood still before less is written: between the
// charge for an object and the moment when we see the object, it looks as if too much was charged.
const settle = time.Second

// observed is what is decided from.
type observed struct {
	Quota   *corev1.ResourceQuota
	Counted corev1.ResourceList // what is there, of everything that the quota limits
	Changed time.Time           // when the usage that the status tells was last seen to change
	Now     time.Time
}

// countAll counts, from nothing, what list has of the resources that the quota limits.
func (o *observed) countAll(resources []api.Resource, list func(api.Resource) ([]api.Object, error)) error {
	o.Counted = quota.Zero(o.Quota.Spec.Hard)
	for _, r := range resources {
		if !r.Namespaced || !quota.Concerns(o.Quota.Spec.Hard, r) {
			continue
		}
		objects, err := list(r)
		if err != nil {
			return err
		}
		o.count(r, objects)
	}
	return nil
}

// count adds the objects that the quota tracks.
func (o *observed) count(r api.Resource, objects []api.Object) {
	for _, obj := range objects {
		if !quota.Matches(&o.Quota.Spec, obj) {
			continue
		}
		for name, q := range quota.Usage(r, obj, o.Now) {
			if sum, limited := o.Counted[name]; limited {
				sum.Add(q)
				o.Counted[name] = sum
			}
		}
	}
}

// Plan is a quota's status.
type Plan struct {
	Status  corev1.ResourceQuotaStatus
	Recheck time.Duration
	same    bool
}

// Empty tells whether the status says so already.
func (p Plan) Empty() bool { return p.same }

// lowers tells whether something is to be given back.
func (p Plan) lowers(was corev1.ResourceList) bool {
	for name, used := range p.Status.Used {
		if charged, known := was[name]; known && charged.Cmp(used) > 0 {
			return true
		}
	}
	return false
}

// String prints the plan.
func (p Plan) String() string {
	return "used " + quota.Text(p.Status.Used) + " of " + quota.Text(p.Status.Hard)
}

// decide writes what was counted. More than the status tells is written at once, less only
// when nothing was charged lately.
func decide(o observed) Plan {
	was := o.Quota.Status
	p := Plan{Recheck: recount, Status: corev1.ResourceQuotaStatus{Hard: o.Quota.Spec.Hard.DeepCopy(), Used: corev1.ResourceList{}}}
	quietIn := o.Changed.Add(settle).Sub(o.Now)
	for name, counted := range o.Counted {
		charged, known := was.Used[name]
		if known && charged.Cmp(counted) > 0 && quietIn > 0 {
			counted, p.Recheck = charged, quietIn
		}
		if known && charged.Cmp(counted) == 0 {
			counted = charged // the same in the spelling that stands there
		}
		p.Status.Used[name] = counted
	}
	p.same = quota.Equal(p.Status.Hard, was.Hard) && quota.Equal(p.Status.Used, was.Used)
	return p
}
