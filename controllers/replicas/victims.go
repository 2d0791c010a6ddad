package replicas

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/pkg/api"
)

// victim is a pod with what is needed to compare it.
type victim struct {
	*corev1.Pod
	neighbours int // active related pods on its node
	now        time.Time
}

// victimOrder is the order in which surplus pods go: the first rule that tells two pods
// apart decides. compare is negative if a is to go first.
var victimOrder = []struct {
	why     string
	compare func(a, b victim) int
}{
	{"pods without a node before pods on one", func(a, b victim) int {
		return order(a.Spec.NodeName == "", b.Spec.NodeName == "")
	}},
	{"pending before unknown before running", func(a, b victim) int {
		return cmp.Compare(phaseRank(a.Status.Phase), phaseRank(b.Status.Phase))
	}},
	{"not ready before ready", func(a, b victim) int {
		return order(!api.IsPodReady(a.Pod), !api.IsPodReady(b.Pod))
	}},
	{"lower deletion cost first", func(a, b victim) int {
		return cmp.Compare(deletionCost(a.Pod), deletionCost(b.Pod))
	}},
	{"pods on crowded nodes first", func(a, b victim) int {
		return cmp.Compare(b.neighbours, a.neighbours)
	}},
	{"ready for a shorter time first", func(a, b victim) int {
		if !api.IsPodReady(a.Pod) || !api.IsPodReady(b.Pod) {
			return 0
		}
		return compareAges(readySince(a.Pod), readySince(b.Pod), a.now)
	}},
	{"more restarts first", func(a, b victim) int {
		return cmp.Compare(restarts(b.Pod), restarts(a.Pod))
	}},
	{"younger first", func(a, b victim) int {
		return compareAges(a.CreationTimestamp.Time, b.CreationTimestamp.Time, a.now)
	}},
	{"any fixed order: two looks at the same pods must pick the same victims", func(a, b victim) int {
		return strings.Compare(string(a.UID), string(b.UID))
	}},
}

// victims returns the count most dispensable of the active pods.
func victims(active []*corev1.Pod, count int, neighbours map[string]int, now time.Time) []*corev1.Pod {
	if neighbours == nil {
		neighbours = countByNode(active)
	}
	ranked := make([]victim, len(active))
	for i, p := range active {
		ranked[i] = victim{Pod: p, now: now}
		if p.Spec.NodeName != "" {
			ranked[i].neighbours = neighbours[p.Spec.NodeName]
		}
	}
	slices.SortStableFunc(ranked, compareVictims)
	out := make([]*corev1.Pod, count)
	for i := range out {
		out[i] = ranked[i].Pod
	}
	return out
}

func compareVictims(a, b victim) int {
	for _, rule := range victimOrder {
		if c := rule.compare(a, b); c != 0 {
			return c
		}
	}
	return 0
}

// countByNode counts active pods per node.
func countByNode(all []*corev1.Pod) map[string]int {
	n := map[string]int{}
	for _, p := range all {
		if api.IsPodActive(p) && p.Spec.NodeName != "" {
			n[p.Spec.NodeName]++
		}
	}
	return n
}

// order sorts true before false.
func order(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

func phaseRank(p corev1.PodPhase) int {
	switch p {
	case corev1.PodRunning:
		return 2
	case corev1.PodUnknown:
		return 1
	}
	return 0
}

func deletionCost(p *corev1.Pod) int64 {
	// A value that does not parse is refused by the API server; here it counts as none.
	cost, err := strconv.ParseInt(p.Annotations[corev1.PodDeletionCost], 10, 32)
	if err != nil {
		return 0
	}
	return cost
}

// compareAges sorts younger first, but treats ages of the same binary order of magnitude as
// equal, so that scaling down does not always hit the newest pods, which may all stand in
// one failure domain.
func compareAges(a, b, now time.Time) int {
	switch {
	case a.IsZero() || b.IsZero():
		return order(a.IsZero(), b.IsZero())
	}
	return cmp.Compare(magnitude(now.Sub(a)), magnitude(now.Sub(b)))
}

func magnitude(age time.Duration) int {
	if age < time.Second {
		return -1
	}
	return int(math.Log2(age.Seconds()))
}

// readySince returns when a ready pod became so.
func readySince(p *corev1.Pod) time.Time {
	return api.PodCondition(p, corev1.PodReady).LastTransitionTime.Time
}

// restarts returns the greatest restart count among the pod's containers.
func restarts(p *corev1.Pod) int32 {
	var n int32
	for _, s := range p.Status.ContainerStatuses {
		n = max(n, s.RestartCount)
	}
	return n
}
