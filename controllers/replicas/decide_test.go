package replicas

import (
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
)

var now = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func set(replicas int32) *appsv1.ReplicaSet {
	return &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: "rs-uid", Generation: 3},
		Spec: appsv1.ReplicaSetSpec{
			Replicas: ptr.To(replicas),
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web", "tier": "front"}}},
		},
	}
}

// pod makes a running, ready pod; edits change what a case is about.
func pod(name string, edits ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "default", Name: name, UID: types.UID(name), CreationTimestamp: metav1.NewTime(now.Add(-time.Hour)),
			Labels: map[string]string{"app": "web", "tier": "front"},
		},
		Spec:   corev1.PodSpec{NodeName: "n-" + name},
		Status: corev1.PodStatus{Phase: corev1.PodRunning},
	}
	ready(time.Hour)(p)
	for _, e := range edits {
		e(p)
	}
	return p
}

func ready(since time.Duration) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(now.Add(-since))}}
	}
}
func unready(p *corev1.Pod)    { p.Status.Conditions = nil }
func unassigned(p *corev1.Pod) { p.Spec.NodeName = "" }
func going(p *corev1.Pod)      { p.DeletionTimestamp = ptr.To(metav1.NewTime(now)) }
func phase(f corev1.PodPhase) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Status.Phase = f }
}
func cost(c string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Annotations = map[string]string{corev1.PodDeletionCost: c} }
}
func on(node string) func(*corev1.Pod) { return func(p *corev1.Pod) { p.Spec.NodeName = node } }
func restarted(n int32) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Status.ContainerStatuses = []corev1.ContainerStatus{{RestartCount: n}} }
}
func born(age time.Duration) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.CreationTimestamp = metav1.NewTime(now.Add(-age)) }
}

func TestDecide(t *testing.T) {
	many := make([]*corev1.Pod, 600)
	for i := range many {
		many[i] = pod(fmt.Sprint("p", i))
	}
	deleted := set(3)
	deleted.DeletionTimestamp = ptr.To(metav1.NewTime(now))
	defaulted := set(0)
	defaulted.Spec.Replicas = nil
	cases := []struct {
		reason string
		set    *appsv1.ReplicaSet
		pods   []*corev1.Pod
		want   string
	}{
		{"a new set gets all its pods", set(3), nil, "create 3, delete 0"},
		{"enough is enough", set(2), []*corev1.Pod{pod("a"), pod("b")}, "create 0, delete 0"},
		{"a finished pod is no replica", set(2), []*corev1.Pod{pod("a"), pod("b", phase(corev1.PodFailed))}, "create 1, delete 0"},
		{"a terminating pod is replaced at once", set(2), []*corev1.Pod{pod("a"), pod("b", going)}, "create 1, delete 0"},
		{"a pod that is not ready is a replica", set(1), []*corev1.Pod{pod("a", unready)}, "create 0, delete 0"},
		{"surplus goes", set(1), []*corev1.Pod{pod("a"), pod("b"), pod("c")}, "create 0, delete 2"},
		{"zero is a number", set(0), []*corev1.Pod{pod("a")}, "create 0, delete 1"},
		{"no number is one", defaulted, nil, "create 1, delete 0"},
		{"creation is bounded", set(2000), nil, "create 500, delete 0"},
		{"deletion is bounded", set(0), many, "create 0, delete 500"},
		{"a set on its way out does nothing", deleted, nil, "create 0, delete 0"},
	}
	for _, tc := range cases {
		t.Run(tc.reason, func(t *testing.T) {
			if got := decide(observed{Set: tc.set, Pods: tc.pods, Free: free(0, 700), Now: now}).String(); got != tc.want {
				t.Errorf("decide = %s, want %s", got, tc.want)
			}
		})
	}
}

// free returns names of the set's sequence.
func free(from, to uint64) []string {
	var out []string
	for n := from; n < to; n++ {
		out = append(out, sequence(set(1)).Name(n))
	}
	return out
}

// A view that lacks pods that exist must ask for the names they have.
func TestStaleViewAsksForNamesThatExist(t *testing.T) {
	full := decide(observed{Set: set(3), Free: free(0, 9), Now: now}).Create
	for missed := range 3 {
		var pods []*corev1.Pod
		for n, name := range full {
			if n != missed {
				pods = append(pods, pod(name))
			}
		}
		p := decide(observed{Set: set(3), Pods: pods, Free: free(0, 9), Now: now})
		if len(p.Create) != 1 || p.Create[0] != full[missed] {
			t.Errorf("without a sight of %s, create %v", full[missed], p.Create)
		}
	}
}

func TestVictims(t *testing.T) {
	cases := []struct {
		reason    string
		pods      []*corev1.Pod // the first is the expected victim
		neighbour map[string]int
	}{
		{"no node before a node", []*corev1.Pod{pod("b", unassigned), pod("a", unready, cost("-5"))}, nil},
		{"pending before running", []*corev1.Pod{pod("b", phase(corev1.PodPending)), pod("a", unready)}, nil},
		{"unknown before running", []*corev1.Pod{pod("b", phase(corev1.PodUnknown)), pod("a", unready)}, nil},
		{"not ready before ready", []*corev1.Pod{pod("b", unready, cost("9")), pod("a", cost("1"))}, nil},
		{"cheap before dear", []*corev1.Pod{pod("b", cost("-1")), pod("a", ready(time.Second))}, nil},
		{"bad cost counts as none", []*corev1.Pod{pod("b", cost("much")), pod("a", cost("1"))}, nil},
		{"crowded node first", []*corev1.Pod{pod("b", on("x")), pod("a", on("y"), ready(time.Second))}, map[string]int{"x": 3, "y": 1}},
		{"ready for a shorter time first", []*corev1.Pod{pod("b", ready(time.Minute)), pod("a", restarted(9))}, nil},
		{"same magnitude of readiness: restarts decide", []*corev1.Pod{pod("b", ready(40*time.Minute), restarted(2)), pod("a", ready(35*time.Minute))}, nil},
		{"more restarts first", []*corev1.Pod{pod("b", restarted(2)), pod("a", restarted(1), born(time.Minute))}, nil},
		{"younger first", []*corev1.Pod{pod("b", born(time.Minute)), pod("a", born(2*time.Hour))}, nil},
		{"else by UID", []*corev1.Pod{pod("a"), pod("b")}, nil},
	}
	for _, tc := range cases {
		t.Run(tc.reason, func(t *testing.T) {
			for _, pods := range [][]*corev1.Pod{tc.pods, {tc.pods[1], tc.pods[0]}} {
				if got := victims(pods, 1, tc.neighbour, now)[0]; got != tc.pods[0] {
					t.Errorf("victim is %s, want %s", got.Name, tc.pods[0].Name)
				}
			}
		})
	}
}

func TestNewStatus(t *testing.T) {
	rs := set(3)
	rs.Spec.MinReadySeconds = 10
	unlabeled := pod("c")
	delete(unlabeled.Labels, "tier")
	status, recheck := newStatus(rs, []*corev1.Pod{
		pod("a"), pod("b", ready(4*time.Second)), unlabeled, pod("d", unready), pod("e", going), pod("f", phase(corev1.PodSucceeded)),
	}, nil, now)
	got := fmt.Sprintf("replicas %d labeled %d ready %d available %d terminating %d generation %d recheck %v", status.Replicas, status.FullyLabeledReplicas,
		status.ReadyReplicas, status.AvailableReplicas, *status.TerminatingReplicas, status.ObservedGeneration, recheck)
	if want := "replicas 4 labeled 3 ready 3 available 2 terminating 1 generation 3 recheck 6s"; got != want {
		t.Errorf("status is\n%s, want\n%s", got, want)
	}
}

func TestReplicaFailureDoesNotFlap(t *testing.T) {
	rs := set(1)
	fail := func(msg string, at time.Time) {
		rs.Status, _ = newStatus(rs, nil, &failure{"FailedCreate", fmt.Errorf("%s", msg)}, at)
	}
	fail("quota is 3", now)
	fail("quota is 4", now.Add(time.Minute))
	if c := rs.Status.Conditions; len(c) != 1 || c[0].Message != "quota is 3" || !c[0].LastTransitionTime.Time.Equal(now) {
		t.Errorf("conditions are %v, want the first failure", c)
	}
	if s, _ := newStatus(rs, nil, nil, now); len(s.Conditions) != 0 {
		t.Errorf("conditions are %v after success, want none", s.Conditions)
	}
}
