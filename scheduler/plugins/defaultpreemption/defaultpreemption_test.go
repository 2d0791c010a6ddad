package defaultpreemption

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"github.com/miniorch/miniorch/scheduler/framework"
	"github.com/miniorch/miniorch/scheduler/framework/sample"
	"github.com/miniorch/miniorch/scheduler/plugins/noderesources"
)

// runs makes a pod that uses CPU, is of a priority and runs for so many seconds.
func runs(name, cpu string, priority int32, seconds int, change ...func(*corev1.Pod)) *corev1.Pod {
	p := sample.Pod(name, "cpu", cpu)
	p.Spec.Priority = &priority
	p.Labels = map[string]string{"app": name}
	p.Status.StartTime = &metav1.Time{Time: time.Unix(1_000_000-int64(seconds), 0)}
	for _, f := range change {
		f(p)
	}
	return p
}

// budget lets so many pods of an app be disrupted.
func budgetOf(app string, allowed int32) *policyv1.PodDisruptionBudget {
	return &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: app},
		Spec:       policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}},
		Status:     policyv1.PodDisruptionBudgetStatus{DisruptionsAllowed: allowed},
	}
}

// attempt is a failed one, in a world where only resources count.
func attempt(pod *corev1.Pod, nodes ...*framework.NodeInfo) *framework.Attempt {
	info, fit := framework.NewPodInfo(pod), noderesources.New(noderesources.Args{})
	a := &framework.Attempt{Pod: info, Nodes: framework.NewSnapshot(nodes), Rand: func() float64 { return 0 }}
	a.Try = func(_ int, n *framework.NodeInfo) *framework.Status { return fit.Filter(nil, info, n) }
	for i := range a.Nodes.Len() {
		a.Refusals = append(a.Refusals, a.Try(i, a.Nodes.At(i)))
	}
	return a
}

func plugin(budgets ...*policyv1.PodDisruptionBudget) Plugin {
	return New(Args{}, nil, func(string) []*policyv1.PodDisruptionBudget { return budgets }, nil, clock.RealClock{})
}

func TestChoice(t *testing.T) {
	node := func(name string, pods ...*corev1.Pod) *framework.NodeInfo {
		return sample.Info(sample.Node(name, "cpu", "2"), pods...)
	}
	pod := runs("p", "1", 100, 0)
	going := func(p *corev1.Pod) {
		now := metav1.Now()
		p.DeletionTimestamp = &now
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: corev1.PodReasonPreemptionByScheduler}}
	}
	tests := []struct {
		name, reason string
		pod          *corev1.Pod
		nodes        []*framework.NodeInfo
		budgets      []*policyv1.PodDisruptionBudget
		want         string // node: victims
	}{
		{"the only one", "it is less important", pod, []*framework.NodeInfo{node("a", runs("x", "2", 1, 0))}, nil, "a: d/x"},
		{"no more than needed", "the more important stays", pod, []*framework.NodeInfo{node("a", runs("x", "1", 5, 0), runs("y", "1", 1, 0))}, nil, "a: d/y"},
		{"who runs shorter goes", "of equal importance", pod, []*framework.NodeInfo{node("a", runs("x", "1", 1, 5), runs("y", "1", 1, 9))}, nil, "a: d/x"},
		{"equals stay", "only lower priorities go", pod, []*framework.NodeInfo{node("a", runs("x", "2", 100, 0))}, nil, ""},
		{"hopeless", "the node is too small", runs("p", "3", 100, 0), []*framework.NodeInfo{node("a", runs("x", "2", 1, 0))}, nil, ""},
		{"not enough", "what is left is too much", pod, []*framework.NodeInfo{node("a", runs("x", "1500m", 200, 0), runs("y", "500m", 1, 0))}, nil, ""},
		{"lower victims", "the least important of the most important victims", pod,
			[]*framework.NodeInfo{node("a", runs("x", "2", 5, 0)), node("b", runs("y", "2", 1, 0))}, nil, "b: d/y"},
		{"smaller sum", "the most important victims are equal", runs("p", "2", 100, 0),
			[]*framework.NodeInfo{node("a", runs("x", "1", 5, 0), runs("y", "1", 3, 0)), node("b", runs("v", "1", 5, 0), runs("w", "1", 1, 0))}, nil, "b: d/v d/w"},
		{"fewer", "one instead of two", runs("p", "2", 100, 0),
			[]*framework.NodeInfo{node("a", runs("x", "1", 1, 0), runs("y", "1", 1, 0)), node("b", runs("v", "2", 1, 0))}, nil, "b: d/v"},
		{"youngest", "who runs shortest loses least", pod,
			[]*framework.NodeInfo{node("a", runs("x", "2", 1, 90)), node("b", runs("y", "2", 1, 5)), node("c", runs("z", "2", 1, 50))}, nil, "b: d/y"},
		{"evicted already", "it goes anyway", pod,
			[]*framework.NodeInfo{node("a", runs("x", "2", 1, 5)), node("b", runs("y", "2", 50, 50, going))}, nil, "b: d/y"},
		{"half evicted", "one more, not two", runs("p", "2", 100, 0),
			[]*framework.NodeInfo{node("a", runs("x", "1", 1, 5), runs("w", "1", 1, 5)), node("b", runs("y", "1", 1, 50, going), runs("z", "1", 1, 50))}, nil, "b: d/z d/y"},
		{"evicted beside another", "who stays need not go too", pod,
			[]*framework.NodeInfo{node("a", runs("x", "1", 50, 50, going), runs("y", "1", 1, 5))}, nil, "a: d/x"},
		{"budget, another node", "violations count most", pod,
			[]*framework.NodeInfo{node("a", runs("x", "2", 1, 0)), node("b", runs("y", "2", 50, 0))}, []*policyv1.PodDisruptionBudget{budgetOf("x", 0)}, "b: d/y"},
		{"budget, same node", "the protected pod stays", pod,
			[]*framework.NodeInfo{node("a", runs("x", "1", 1, 0), runs("y", "1", 50, 0))}, []*policyv1.PodDisruptionBudget{budgetOf("x", 0)}, "a: d/y"},
		{"budget that allows one", "is no protection for one", pod,
			[]*framework.NodeInfo{node("a", runs("x", "1", 1, 0), runs("y", "1", 50, 0))}, []*policyv1.PodDisruptionBudget{budgetOf("x", 1)}, "a: d/x"},
		{"budget, no way round", "it is a wish", pod, []*framework.NodeInfo{node("a", runs("x", "2", 1, 0))}, []*policyv1.PodDisruptionBudget{budgetOf("x", 0)}, "a: d/x"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n, st := plugin(tt.budgets...).PostFilter(attempt(tt.pod, tt.nodes...))
			got := ""
			if n != nil {
				got = n.Node + ": " + strings.Join(n.Candidates[0].Victims, " ")
			}
			if diff := cmp.Diff(tt.want, got); diff != "" || (n == nil) == st.OK() {
				t.Errorf("%s: %s (%v)", tt.reason, diff, st)
			}
		})
	}
}

func TestSaysWhyNobodyCanGo(t *testing.T) {
	full := sample.Info(sample.Node("a", "cpu", "2"), runs("x", "2", 500, 0))
	small := sample.Info(sample.Node("b", "cpu", "500m"))
	_, st := plugin().PostFilter(attempt(runs("p", "1", 100, 0), full, small))
	want := "0/2 nodes are available: 1 No preemption victims found for incoming pod, 1 Preemption is not helpful for scheduling."
	if st.OK() || st.Reasons[0] != want {
		t.Errorf("%v", st)
	}
	never := runs("p", "1", 100, 0, func(p *corev1.Pod) { policy := corev1.PreemptNever; p.Spec.PreemptionPolicy = &policy })
	if _, st := plugin().PostFilter(attempt(never, full)); st.OK() || !strings.Contains(st.Reasons[0], "Never") {
		t.Errorf("%v", st)
	}
}

// TestWaitsForVictims nominates a pod again without evicting anybody while those that were evicted
// for it are on their way out.
func TestWaitsForVictims(t *testing.T) {
	now := metav1.Now()
	leaving := func(p *corev1.Pod) {
		p.DeletionTimestamp = &now
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: corev1.PodReasonPreemptionByScheduler}}
	}
	a := attempt(runs("p", "1", 100, 0), sample.Info(sample.Node("a", "cpu", "2"), runs("x", "2", 1, 0, leaving)), sample.Info(sample.Node("b", "cpu", "2"), runs("y", "2", 1, 0)))
	a.Nominated = "a"
	n, st := plugin().PostFilter(a)
	if !st.OK() || n.Node != "a" || n.Work != nil {
		t.Errorf("%+v, %v", n, st)
	}
	b := attempt(runs("p", "1", 100, 0), sample.Info(sample.Node("a", "cpu", "2"), runs("x", "2", 9, 0)), sample.Info(sample.Node("b", "cpu", "2"), runs("y", "2", 1, 0)))
	b.Nominated = "a"
	if n, _ := plugin().PostFilter(b); n == nil || n.Node != "a" || n.Work == nil {
		t.Errorf("what was begun is not gone on with: %+v", n)
	}
	a.Refusals[0] = framework.RefuseForGood("node(s) were unschedulable")
	if n, _ := plugin().PostFilter(a); n == nil || n.Node != "b" || n.Work == nil {
		t.Errorf("the node will not do any more: %+v", n)
	}
}

func TestComparesEnough(t *testing.T) {
	var nodes []*framework.NodeInfo
	for i := range 50 {
		nodes = append(nodes, sample.Info(sample.Node(string(rune('A'+i)), "cpu", "2"), runs("x", "2", int32(i), 0)))
	}
	p := New(Args{MinCandidateNodesPercentage: 10, MinCandidateNodesAbsolute: 3}, nil, nil, nil, clock.RealClock{})
	n, _ := p.PostFilter(attempt(runs("p", "1", 100, 0), nodes...))
	if len(n.Candidates) != 5 {
		t.Errorf("%d candidates of 50 nodes", len(n.Candidates))
	}
}
