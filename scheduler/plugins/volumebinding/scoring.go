package volumebinding

import (
	"math"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/pkg/claims"
	"github.com/miniorch/miniorch/scheduler/framework"
)

// Scoring is the plugin when it scores nodes too: by how much of their storage the pod's claims
// would use, as a shape says.
type Scoring struct {
	*Plugin
	Shape framework.Shape
}

// PreScore skips pods whose volumes are there already.
func (Scoring) PreScore(cycle *framework.CycleState, _ *framework.PodInfo, _ framework.Snapshot) *framework.Status {
	if s := framework.Value[*state](cycle, name); s == nil || len(s.open) == 0 {
		return framework.Skipped
	}
	return nil
}

// Score rates a node by the volumes that would be bound there or, if all are to be provisioned, by
// what drivers have published about the storage that is left. Each class counts the same.
func (p Scoring) Score(cycle *framework.CycleState, _ *framework.PodInfo, node *framework.NodeInfo) int64 {
	s := framework.Value[*state](cycle, name)
	plan, st := p.planOn(s, node.Node)
	if !st.OK() {
		return 0
	}
	classes := boundUse(plan)
	if len(classes) == 0 {
		classes = provisionedUse(s, plan, node.Node)
	}
	if len(classes) == 0 {
		return 0
	}
	var sum int64
	for _, u := range classes {
		sum += p.Shape.At(u.utilization())
	}
	return int64(math.Round(float64(sum) / float64(len(classes))))
}

// use is how much of a class's storage is asked for, of how much there is.
type use struct{ requested, capacity int64 }

func (u *use) utilization() int64 {
	if u.capacity == 0 || u.requested > u.capacity {
		return 100
	}
	return int64(float64(u.requested) * 100 / float64(u.capacity))
}

// boundUse is about volumes that are there: what is asked for of what they hold, by class.
func boundUse(p *plan) map[string]*use {
	classes := map[string]*use{}
	for _, b := range p.bind {
		request := claims.Request(b.claim)
		u := of(classes, claims.ClassOfVolume(b.volume))
		u.requested += request.Value()
		u.capacity += b.volume.Spec.Capacity.Storage().Value()
	}
	return classes
}

// provisionedUse is about volumes that are to be made: what is asked for of what is left, by class.
// Of storage about which nobody says how much is left nothing is known.
func provisionedUse(s *state, p *plan, node *corev1.Node) map[string]*use {
	classes := map[string]*use{}
	for _, o := range s.open {
		if !slices.Contains(p.provision, o.claim) {
			continue
		}
		for _, c := range o.room {
			if c.Capacity != nil && reachable(c, node) {
				u := of(classes, o.class.Name)
				u.capacity = max(u.capacity, c.Capacity.Value())
			}
		}
		if u := classes[o.class.Name]; u != nil {
			request := claims.Request(o.claim)
			u.requested += request.Value()
		}
	}
	return classes
}

func of(classes map[string]*use, class string) *use {
	if classes[class] == nil {
		classes[class] = &use{}
	}
	return classes[class]
}
