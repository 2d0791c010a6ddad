package defaultpreemption

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/miniorch/miniorch/scheduler/framework"
)

// candidates tries nodes from a random one on, until there is enough to choose from; first the one
// where room was made before. Without any it says why.
func (p Plugin) candidates(a *framework.Attempt) (found []*framework.Candidate, why string) {
	n := a.Nodes.Len()
	enough := max(int(p.args.MinCandidateNodesAbsolute), n*int(p.args.MinCandidateNodesPercentage)/100)
	budgets := p.parsedBudgets(a)
	hopeless, helpless, first := 0, 0, int(a.Rand()*float64(n))
	if begun := a.Nodes.Position(a.Nominated); begun >= 0 {
		first = begun
	}
	for k := range n {
		i := (first + k) % n
		if a.Refusals[i] == nil || a.Refusals[i].Code == framework.Unresolvable {
			hopeless++
			continue
		}
		c := try(a, i, budgets)
		if c == nil {
			helpless++
			continue
		}
		if found = append(found, c); len(found) >= enough {
			break
		}
	}
	return found, refusal(n, hopeless, helpless)
}

// refusal says why no node is a candidate, in the words that people know.
func refusal(n, hopeless, helpless int) string {
	out := fmt.Sprintf("0/%d nodes are available: ", n)
	switch {
	case hopeless == 0:
		return out + fmt.Sprintf("%d No preemption victims found for incoming pod.", helpless)
	case helpless == 0:
		return out + fmt.Sprintf("%d Preemption is not helpful for scheduling.", hopeless)
	}
	return out + fmt.Sprintf("%d No preemption victims found for incoming pod, %d Preemption is not helpful for scheduling.", helpless, hopeless)
}

// try takes all less important pods off the node at i, and if the pod fits then, puts back as
// many as can stay: those first that a budget protects, and among them the most important.
func try(a *framework.Attempt, i int, budgets []*budget) *framework.Candidate {
	node := a.Nodes.At(i)
	var lower []*framework.PodInfo
	for _, q := range node.Pods {
		if q.Priority < a.Pod.Priority {
			lower = append(lower, q)
		}
	}
	if len(lower) == 0 {
		return nil
	}
	without := node.WithoutPods(lower)
	if !a.Try(i, without).OK() {
		return nil
	}
	slices.SortStableFunc(lower, moreImportant)
	protected, others := protect(lower, budgets)
	c := &framework.Candidate{Node: node}
	reprieve := func(q *framework.PodInfo) (victim bool) {
		if with := without.WithPod(q); a.Try(i, with).OK() {
			without = with
			return false
		}
		c.Victims = append(c.Victims, q)
		return true
	}
	for _, q := range protected {
		if reprieve(q) {
			c.Violations++
		}
	}
	for _, q := range others {
		reprieve(q)
	}
	slices.SortStableFunc(c.Victims, moreImportant)
	return c
}

// moreImportant orders pods: a higher priority, then who runs longer. Who has been evicted already
// comes last: nothing is lost by its going.
func moreImportant(a, b *framework.PodInfo) int {
	if x, y := evicted(a), evicted(b); x != y {
		if x {
			return 1
		}
		return -1
	}
	if a.Priority != b.Priority {
		return cmp.Compare(b.Priority, a.Priority)
	}
	return started(a).Compare(started(b))
}

// started returns since when a pod runs; one that does not yet is the youngest.
func started(p *framework.PodInfo) time.Time {
	if p.Pod.Status.StartTime == nil {
		return time.Unix(1<<40, 0)
	}
	return p.Pod.Status.StartTime.Time
}

// choose returns the candidate that harms least: the fewest violations of budgets; the lowest
// most important victim; the lowest sum of priorities; the fewest victims; and the most
// important victims that run shortest. Victims that have been evicted already do not count: a
// scheduler that was interrupted goes on where it began.
func choose(all []*framework.Candidate) *framework.Candidate {
	return slices.MinFunc(all, func(x, y *framework.Candidate) int {
		a, b := staying(x), staying(y)
		if len(a) == 0 || len(b) == 0 {
			return cmp.Compare(len(a), len(b))
		}
		return cmp.Or(
			cmp.Compare(x.Violations, y.Violations),
			cmp.Compare(a[0].Priority, b[0].Priority),
			cmp.Compare(sum(a), sum(b)),
			cmp.Compare(len(a), len(b)),
			oldest(b).Compare(oldest(a)),
		)
	})
}

// staying returns the victims who would stay otherwise. Those who would not are the last.
func staying(c *framework.Candidate) []*framework.PodInfo {
	if at := slices.IndexFunc(c.Victims, evicted); at >= 0 {
		return c.Victims[:at]
	}
	return c.Victims
}

// sum adds up priorities, lifted above zero so that more victims never look like less.
func sum(victims []*framework.PodInfo) (sum int64) {
	for _, v := range victims {
		sum += int64(v.Priority) + 1<<31
	}
	return sum
}

// oldest returns when the first of the most important victims started.
func oldest(victims []*framework.PodInfo) time.Time {
	at := started(victims[0])
	for _, v := range victims {
		if t := started(v); v.Priority == victims[0].Priority && t.Before(at) {
			at = t
		}
	}
	return at
}

// budget is a disruption budget, parsed.
type budget struct {
	*policyv1.PodDisruptionBudget
	selector labels.Selector
}

// parsedBudgets returns the budgets of all namespaces that have pods less important than the pod.
func (p Plugin) parsedBudgets(a *framework.Attempt) (out []*budget) {
	if p.budgets == nil {
		return nil
	}
	for _, b := range p.budgets(metav1.NamespaceAll) {
		if s, err := metav1.LabelSelectorAsSelector(b.Spec.Selector); err == nil && !s.Empty() {
			out = append(out, &budget{b, s})
		}
	}
	return out
}

// protect splits pods into those that a budget would spare and the others: each that may be
// disrupted uses up one of what the budget allows.
func protect(pods []*framework.PodInfo, budgets []*budget) (protected, others []*framework.PodInfo) {
	allowed := make([]int32, len(budgets))
	for k, b := range budgets {
		allowed[k] = b.Status.DisruptionsAllowed
	}
	for _, q := range pods {
		spared := false
		for k, b := range budgets {
			if !b.covers(q.Pod) {
				continue
			}
			if allowed[k]--; allowed[k] < 0 {
				spared = true
			}
		}
		if spared {
			protected = append(protected, q)
		} else {
			others = append(others, q)
		}
	}
	return protected, others
}

// covers reports whether disrupting the pod would use up the budget. One that is being disrupted
// already has been counted.
func (b *budget) covers(pod *corev1.Pod) bool {
	if b.Namespace != pod.Namespace || len(pod.Labels) == 0 || !b.selector.Matches(labels.Set(pod.Labels)) {
		return false
	}
	_, counted := b.Status.DisruptedPods[pod.Name]
	return !counted
}
