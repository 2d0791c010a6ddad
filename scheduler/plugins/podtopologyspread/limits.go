package podtopologyspread

import (
	"math"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/miniorch/miniorch/scheduler/framework"
)

// limits is how full a domain may be, for each hard constraint.
type limits []limit

type limit struct {
	*framework.Counter
	most int32 // pods in a domain that takes one more
}

// limits works out how many pods a domain may have before the pod: no more than maxSkew above
// the emptiest domain, the pod itself included if it counts.
func (cs constraints) limits(t *framework.Topology) limits {
	var out limits
	for _, c := range cs.list {
		counter := cs.count(t, c)
		lowest, domains := counter.Lowest()
		switch {
		case c.MinDomains != nil && domains < int(*c.MinDomains):
			lowest = 0
		case domains == 0: // no node counts: nothing can be uneven
			lowest = math.MaxInt32 - c.MaxSkew
		}
		most := lowest + c.MaxSkew
		if c.selector.Matches(labels.Set(cs.pod.Pod.Labels)) {
			most--
		}
		out = append(out, limit{counter, most})
	}
	return out
}

func (l limits) filter(i int) *framework.Status {
	for k := range l {
		n, ok := l[k].At(i)
		if !ok {
			return nowhere
		}
		if n > l[k].most {
			return uneven
		}
	}
	return nil
}
