package daemonset

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/controllers/history"
	"github.com/miniorch/miniorch/pkg/api"
)

// burst is how many pods one reconcile creates or deletes at most.
const burst = 250

// observed is what is decided from.
type observed struct {
	Set       *appsv1.DaemonSet
	Pods      []*corev1.Pod // all that the set controls
	Nodes     []*corev1.Node
	Revisions []*appsv1.ControllerRevision
	Now       time.Time
	// Wait tells how long a node must be left alone because the set's pods fail there.
	Wait func(set types.UID, node string, now time.Time) time.Duration
	// Name returns the name of the next pod for a node.
	Name func(node string) string
}

// Creation is a pod that is to come.
type Creation struct{ Node, Name string }

// Deletion is a pod that is to go.
type Deletion struct {
	Pod *corev1.Pod
	Why string
}

// Plan is what is to be done about one set.
type Plan struct {
	History history.Plan
	Relabel []*corev1.Pod // that are up to date and do not say so
	Delete  []Deletion
	Create  []Creation
	Status  appsv1.DaemonSetStatus
	After   time.Duration // when to look again although nothing happens
}

// matters tells whether more than the status and old revisions would change.
func (p Plan) matters() bool {
	return p.History.Create || p.History.Change || len(p.Relabel)+len(p.Delete)+len(p.Create) > 0
}

// Empty tells whether there is nothing to do, the status aside.
func (p Plan) Empty() bool { return p.History.Empty() && !p.matters() }

// String prints the plan.
func (p Plan) String() string {
	var parts []string
	if h := p.History.String(); h != "" {
		parts = append(parts, h)
	}
	if n := len(p.Relabel); n > 0 {
		parts = append(parts, fmt.Sprintf("relabel %d", n))
	}
	for i, d := range p.Delete {
		if i == few {
			parts = append(parts, fmt.Sprintf("delete %d more", len(p.Delete)-few))
			break
		}
		parts = append(parts, fmt.Sprintf("delete %s (%s)", d.Pod.Name, d.Why))
	}
	for i, c := range p.Create {
		if i == few {
			parts = append(parts, fmt.Sprintf("create on %d more", len(p.Create)-few))
			break
		}
		parts = append(parts, "create on "+c.Node)
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

// few is how many pods a plan lists by name.
const few = 10

// decide gives every node that should have one its pod, takes pods from where they should not be,
// and takes a step of the rollout.
func decide(o observed) Plan {
	s := newStep(o)
	s.countStatus()
	if o.Set.DeletionTimestamp != nil {
		s.plan.History = history.Plan{}
		return s.plan
	}
	for _, n := range s.Nodes {
		s.tend(n)
	}
	s.removeHomeless()
	if s.Set.Spec.UpdateStrategy.Type == appsv1.RollingUpdateDaemonSetStrategyType {
		s.roll()
	}
	s.relabel()
	s.plan.Delete, s.plan.Create = s.plan.Delete[:min(burst, len(s.plan.Delete))], s.plan.Create[:min(burst, len(s.plan.Create))]
	return s.plan
}

// step is a look at one set with the plan that grows out of it.
type step struct {
	observed
	on     map[string][]*corev1.Pod // by the node that they are on or for, oldest first
	fits   map[string]fitness       // by node
	hash   string                   // of the newest template
	goes   map[*corev1.Pod]bool     // planned to
	comes  map[string]bool          // nodes that get a pod by plan
	wanted []*corev1.Node           // those that should have a pod
	plan   Plan
}

func newStep(o observed) *step {
	s := &step{observed: o, on: map[string][]*corev1.Pod{}, fits: map[string]fitness{}, goes: map[*corev1.Pod]bool{}, comes: map[string]bool{}}
	s.Nodes = slices.SortedFunc(slices.Values(o.Nodes), func(a, b *corev1.Node) int { return strings.Compare(a.Name, b.Name) })
	s.plan.History = history.Decide(historyOf(o.Set), o.Revisions, s.isLive)
	s.hash = s.plan.History.Update.Labels[appsv1.DefaultDaemonSetUniqueLabelKey]
	for _, p := range o.Pods {
		s.on[targetOf(p)] = append(s.on[targetOf(p)], p)
	}
	for _, pods := range s.on {
		slices.SortFunc(pods, func(a, b *corev1.Pod) int {
			return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), strings.Compare(a.Name, b.Name))
		})
	}
	c := choiceOf(o.Set)
	for _, n := range s.Nodes {
		s.fits[n.Name] = c.of(n)
		if s.fits[n.Name] == fit {
			s.wanted = append(s.wanted, n)
		}
	}
	return s
}

func historyOf(set *appsv1.DaemonSet) history.Owner {
	return history.Owner{
		Object: set, Kind: kind, Template: &set.Spec.Template, Collisions: set.Status.CollisionCount,
		Limit: int(ptr.Deref(set.Spec.RevisionHistoryLimit, 10)), HashLabel: appsv1.DefaultDaemonSetUniqueLabelKey,
	}
}

// isLive tells whether a pod is of a revision.
func (s *step) isLive(r *appsv1.ControllerRevision) bool {
	return slices.ContainsFunc(s.Pods, func(p *corev1.Pod) bool { return hashOf(p) == r.Labels[appsv1.DefaultDaemonSetUniqueLabelKey] })
}

func hashOf(p *corev1.Pod) string { return p.Labels[appsv1.DefaultDaemonSetUniqueLabelKey] }

// isUpdated tells whether a pod is of the newest template, by whichever revision it was made.
func (s *step) isUpdated(p *corev1.Pod) bool {
	return hashOf(p) == s.hash || slices.ContainsFunc(s.plan.History.Twins, func(r *appsv1.ControllerRevision) bool {
		return r.Labels[appsv1.DefaultDaemonSetUniqueLabelKey] == hashOf(p)
	})
}

func (s *step) isAvailable(p *corev1.Pod) bool {
	available, _ := api.IsPodAvailable(p, s.Set.Spec.MinReadySeconds, s.Now)
	return available && api.IsPodActive(p)
}

func (s *step) remove(p *corev1.Pod, why string) {
	if p.DeletionTimestamp == nil && !s.goes[p] {
		s.goes[p] = true
		s.plan.Delete = append(s.plan.Delete, Deletion{p, why})
	}
}

func (s *step) create(node string) {
	if !s.comes[node] {
		s.comes[node] = true
		s.plan.Create = append(s.plan.Create, Creation{node, s.Name(node)})
	}
}

// again asks for another look after d.
func (s *step) again(d time.Duration) {
	if d > 0 && (s.plan.After == 0 || d < s.plan.After) {
		s.plan.After = d
	}
}

// relabel finds the pods that are up to date and that stay.
func (s *step) relabel() {
	for _, p := range s.Pods {
		if api.IsPodActive(p) && !s.goes[p] && hashOf(p) != s.hash && s.isUpdated(p) {
			s.plan.Relabel = append(s.plan.Relabel, p)
		}
	}
}
