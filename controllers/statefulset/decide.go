package statefulset

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/controllers/history"
	"github.com/miniorch/miniorch/pkg/api"
)

// burst is how many pods one reconcile creates or deletes at most.
const burst = 500

// observed is what is decided from.
type observed struct {
	Set       *appsv1.StatefulSet
	Pods      []*corev1.Pod                            // all that the set controls
	Claims    map[string]*corev1.PersistentVolumeClaim // those of its ordinals that are there
	Revisions []*appsv1.ControllerRevision
	Now       time.Time
	// Wait tells how long a failed pod is to be left because its like have failed again and again.
	Wait func(set types.UID, pod string, now time.Time) time.Duration
}

// Deletion is a pod that is to go.
type Deletion struct {
	Pod *corev1.Pod
	Why string
}

// Plan is what is to be done about one set: in the order of its fields.
type Plan struct {
	History    history.Plan
	NewClaims  []*corev1.PersistentVolumeClaim
	HandClaims []*corev1.PersistentVolumeClaim // with other owners than before
	Label      []*corev1.Pod                   // pods that lack what tells which one they are
	Delete     []Deletion
	Create     []*corev1.Pod
	Status     appsv1.StatefulSetStatus
	After      time.Duration // when to look again although nothing happens
}

// matters tells whether more than the status and old revisions would change.
func (p Plan) matters() bool {
	return p.History.Create || p.History.Change || len(p.NewClaims)+len(p.HandClaims)+len(p.Label)+len(p.Delete)+len(p.Create) > 0
}

// Empty tells whether there is nothing to do, the status aside.
func (p Plan) Empty() bool { return p.History.Empty() && !p.matters() }

// String prints the plan.
func (p Plan) String() string {
	var parts []string
	if h := p.History.String(); h != "" {
		parts = append(parts, h)
	}
	for _, c := range p.NewClaims {
		parts = append(parts, "claim "+c.Name)
	}
	for _, c := range p.HandClaims {
		parts = append(parts, "hand claim "+c.Name)
	}
	for _, l := range p.Label {
		parts = append(parts, "label "+l.Name)
	}
	for _, d := range p.Delete {
		parts = append(parts, fmt.Sprintf("delete %s (%s)", d.Pod.Name, d.Why))
	}
	for _, c := range p.Create {
		parts = append(parts, "create "+c.Name)
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

// decide walks one step: fill the ordinals from below, drop from above what is too many, replace
// from above what is of another revision. A set in order takes the next step only when
// every pod before is available.
func decide(o observed) Plan {
	s := newStep(o)
	s.countStatus()
	if o.Set.DeletionTimestamp != nil {
		s.plan.History = history.Plan{}
		return s.plan
	}
	if s.fill() && s.shrink() {
		s.roll()
	}
	return s.plan
}

// step is a look at one set with the plan that grows out of it.
type step struct {
	observed
	ordered   bool
	slots     []*corev1.Pod // by ordinal from the start on; nil: none
	condemned []*corev1.Pod // beyond the slots, highest ordinal first
	current   *appsv1.ControllerRevision
	plan      Plan
}

func newStep(o observed) *step {
	s := &step{observed: o, ordered: o.Set.Spec.PodManagementPolicy != appsv1.ParallelPodManagement}
	s.slots = make([]*corev1.Pod, desired(o.Set))
	for _, p := range o.Pods {
		n, ok := ordinalOf(o.Set, p.Name)
		if !ok {
			continue
		}
		if at := n - start(o.Set); at >= 0 && at < len(s.slots) {
			s.slots[at] = p
		} else {
			s.condemned = append(s.condemned, p)
		}
	}
	slices.SortFunc(s.condemned, func(a, b *corev1.Pod) int { return cmp.Compare(s.ordinal(b), s.ordinal(a)) })
	s.plan.History = history.Decide(historyOf(o.Set), o.Revisions, s.isLive)
	s.current = s.plan.History.Update
	for _, r := range o.Revisions {
		if r.Name == o.Set.Status.CurrentRevision {
			s.current = r
		}
	}
	return s
}

func historyOf(set *appsv1.StatefulSet) history.Owner {
	return history.Owner{
		Object: set, Kind: kind, Template: &set.Spec.Template,
		Collisions: set.Status.CollisionCount, Limit: int(ptr.Deref(set.Spec.RevisionHistoryLimit, 10)), HashLabel: "controller.kubernetes.io/hash",
	}
}

// isLive tells whether a pod or the status is of a revision.
func (s *step) isLive(r *appsv1.ControllerRevision) bool {
	return r.Name == s.Set.Status.CurrentRevision || r.Name == s.Set.Status.UpdateRevision ||
		slices.ContainsFunc(s.Pods, func(p *corev1.Pod) bool { return revisionOf(p) == r.Name })
}

func (s *step) ordinal(p *corev1.Pod) int { n, _ := ordinalOf(s.Set, p.Name); return n }

func (s *step) update() *appsv1.ControllerRevision { return s.plan.History.Update }

func revisionOf(p *corev1.Pod) string { return p.Labels[appsv1.StatefulSetRevisionLabel] }

func desired(set *appsv1.StatefulSet) int { return int(ptr.Deref(set.Spec.Replicas, 1)) }

func start(set *appsv1.StatefulSet) int {
	if set.Spec.Ordinals == nil {
		return 0
	}
	return int(set.Spec.Ordinals.Start)
}

// partition is the first ordinal that gets the newest template.
func partition(set *appsv1.StatefulSet) int {
	r := set.Spec.UpdateStrategy.RollingUpdate
	if set.Spec.UpdateStrategy.Type != appsv1.RollingUpdateStatefulSetStrategyType || r == nil {
		return start(set)
	}
	return start(set) + int(ptr.Deref(r.Partition, 0))
}

// maxUnavailable is how many pods a rolling update may make do without, at least one.
func maxUnavailable(set *appsv1.StatefulSet) int {
	r := set.Spec.UpdateStrategy.RollingUpdate
	if r == nil || r.MaxUnavailable == nil {
		return 1
	}
	n, err := intstr.GetScaledValueFromIntOrPercent(r.MaxUnavailable, desired(set), true)
	if err != nil { // refused by the API server
		return 1
	}
	return max(n, 1)
}

// again asks for another look after d.
func (s *step) again(d time.Duration) {
	if d > 0 && (s.plan.After == 0 || d < s.plan.After) {
		s.plan.After = d
	}
}

// isAvailable tells whether a pod is ready for long enough and stays.
func (s *step) isAvailable(p *corev1.Pod) bool {
	if p == nil || !api.IsPodActive(p) || p.Status.Phase != corev1.PodRunning {
		return false
	}
	available, _ := api.IsPodAvailable(p, s.Set.Spec.MinReadySeconds, s.Now)
	return available
}
