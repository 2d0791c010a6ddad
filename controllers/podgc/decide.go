package podgc

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/pkg/api"
)

// Plan is what becomes of one pod: the zero Plan leaves it.
type Plan struct {
	Why  string        // delete it at once, for this reason
	Wait time.Duration // look again after this long
}

// String prints the plan.
func (p Plan) String() string {
	switch {
	case p.Why != "":
		return "delete: " + p.Why
	case p.Wait > 0:
		return fmt.Sprintf("wait %s", p.Wait)
	}
	return "keep"
}

const (
	orphaned    = "its node is gone"
	unscheduled = "it is terminating and was never on a node"
	outOfOrder  = "it is terminating on a node that is out of service"
)

// observed is what is decided from.
type observed struct {
	Pod        *corev1.Pod
	Node       *corev1.Node  // nil: there is none by that name
	Missing    time.Duration // how long the node has been missed
	Quarantine time.Duration // how long it must have been
}

// decide finds pods that no node agent will ever finish.
func decide(o observed) Plan {
	p := o.Pod
	terminating := p.DeletionTimestamp != nil
	switch {
	case p.Spec.NodeName == "" && terminating && (len(p.Finalizers) == 0 || !api.IsPodTerminal(p)): // who holds it wants to know how it ended
		return Plan{Why: unscheduled}
	case p.Spec.NodeName == "":
		return Plan{}
	case o.Node == nil && o.Missing < o.Quarantine:
		return Plan{Wait: o.Quarantine - o.Missing}
	case o.Node == nil:
		return Plan{Why: orphaned}
	case terminating && api.IsOutOfService(o.Node) && !api.IsNodeReady(o.Node):
		return Plan{Why: outOfOrder}
	}
	return Plan{}
}

// surplus returns the finished pods beyond the threshold, evicted ones and then the oldest first.
func surplus(finished []*corev1.Pod, threshold int) []*corev1.Pod {
	n := len(finished) - threshold
	if n <= 0 {
		return nil
	}
	sorted := slices.Clone(finished)
	slices.SortFunc(sorted, func(a, b *corev1.Pod) int {
		if c := cmp.Compare(rank(a), rank(b)); c != 0 {
			return c
		}
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	return sorted[:n]
}

func rank(p *corev1.Pod) int {
	if p.Status.Reason == "Evicted" {
		return 0
	}
	return 1
}
