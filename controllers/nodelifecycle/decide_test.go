package nodelifecycle

import (
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

var now = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// node makes a Node from words: "Ready=True", "cordoned", "taint=<key>:<effect>".
func node(words ...string) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		switch {
		case w == "cordoned":
			n.Spec.Unschedulable = true
		case key == "taint":
			k, effect, _ := strings.Cut(value, ":")
			n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: k, Effect: corev1.TaintEffect(effect)})
		default:
			n.Status.Conditions = append(n.Status.Conditions, corev1.NodeCondition{Type: corev1.NodeConditionType(key), Status: corev1.ConditionStatus(value)})
		}
	}
	return n
}

func pod(ready corev1.ConditionStatus) *corev1.Pod {
	return &corev1.Pod{Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}}}
}

func TestDecide(t *testing.T) {
	const nk = "node.kubernetes.io/"
	dead := []string{"Ready=Unknown", "MemoryPressure=Unknown", "DiskPressure=Unknown", "PIDPressure=Unknown"}
	tainted := append([]string{"taint=" + nk + "unreachable:NoSchedule", "taint=" + nk + "unreachable:NoExecute"}, dead...)
	cases := []struct {
		reason  string
		node    *corev1.Node
		pods    []*corev1.Pod
		silence time.Duration
		outage  outage
		want    string
	}{
		{"a node that speaks is left alone", node("Ready=True"), []*corev1.Pod{pod("True")}, 39 * time.Second, calm, "nothing"},
		{"silence for the grace period", node("Ready=True"), []*corev1.Pod{pod("True"), pod("False")}, 40 * time.Second, calm,
			"Ready=Unknown, +" + nk + "unreachable:NoSchedule, +" + nk + "unreachable:NoExecute, mark 1 pods not ready"},
		{"it is said once", node(tainted...), []*corev1.Pod{pod("False")}, time.Hour, calm, "nothing"},
		{"a pod that was overlooked", node(tainted...), []*corev1.Pod{pod("True")}, time.Hour, calm, "mark 1 pods not ready"},
		{"a node that came back", node(append([]string{"Ready=True"}, tainted[:2]...)...), nil, 0, calm, "-" + nk + "unreachable:NoSchedule, -" + nk + "unreachable:NoExecute"},
		{"a node that says that it is not ready", node("Ready=False"), []*corev1.Pod{pod("True")}, 0, calm, "+" + nk + "not-ready:NoSchedule, +" + nk + "not-ready:NoExecute"},
		{"a node that has said nothing yet takes no pods, and loses none", node(), nil, 59 * time.Second, calm, "+" + nk + "not-ready:NoSchedule"},
		{"nor after the startup grace", node(), nil, 60 * time.Second, calm, "Ready=Unknown, +" + nk + "unreachable:NoSchedule, +" + nk + "unreachable:NoExecute"},
		{"pressures", node("Ready=True", "MemoryPressure=True", "DiskPressure=True", "PIDPressure=True", "NetworkUnavailable=True"), nil, 0, calm,
			"+" + nk + "memory-pressure:NoSchedule, +" + nk + "disk-pressure:NoSchedule, +" + nk + "pid-pressure:NoSchedule, +" + nk + "network-unavailable:NoSchedule"},
		{"cordon", node("Ready=True", "cordoned"), nil, 0, calm, "+" + nk + "unschedulable:NoSchedule"},
		{"uncordon", node("Ready=True", "taint="+nk+"unschedulable:NoSchedule"), nil, 0, calm, "-" + nk + "unschedulable:NoSchedule"},
		{"other people's taints stay", node("Ready=True", "taint=mine:NoExecute"), nil, 0, calm, "nothing"},
		{"all nodes dead: nobody is evicted", node("Ready=True"), nil, time.Hour, full, "Ready=Unknown, +" + nk + "unreachable:NoSchedule"},
		{"all nodes dead: evictions are cancelled", node(tainted...), nil, time.Hour, full, "-" + nk + "unreachable:NoExecute"},
		{"most nodes dead: no new evictions", node("Ready=True"), nil, time.Hour, partial, "Ready=Unknown, +" + nk + "unreachable:NoSchedule"},
		{"most nodes dead: those that run go on", node(tainted...), nil, time.Hour, partial, "nothing"},
	}
	for _, tc := range cases {
		t.Run(tc.reason, func(t *testing.T) {
			p := decide(observed{Node: tc.node, Pods: tc.pods, Seen: now.Add(-tc.silence), Now: now, Outage: tc.outage, Grace: 40 * time.Second, StartupGrace: 60 * time.Second})
			if got := p.String(); got != tc.want {
				t.Errorf("decide = %s, want %s", got, tc.want)
			}
			if p.Empty() != (tc.want == "nothing") {
				t.Errorf("Empty is %v of %s", p.Empty(), p)
			}
		})
	}
}

func TestRecheckIsTheEndOfGrace(t *testing.T) {
	p := decide(observed{Node: node("Ready=True"), Seen: now.Add(-30 * time.Second), Now: now, Grace: 40 * time.Second})
	if p.Recheck != 10*time.Second {
		t.Errorf("recheck after %v, want 10s", p.Recheck)
	}
}

func TestAssess(t *testing.T) {
	cases := []struct {
		reason      string
		nodes, sick int
		want        outage
	}{
		{"no nodes, no outage", 0, 0, calm},
		{"one of two", 2, 1, calm},
		{"the only one", 1, 1, full},
		{"two of three are too few to suspect ourselves", 3, 2, calm},
		{"three of five", 5, 3, partial},
		{"three of six are half only", 6, 3, calm},
		{"all", 6, 6, full},
	}
	for _, tc := range cases {
		t.Run(tc.reason, func(t *testing.T) {
			if got := assess(tc.nodes, tc.sick); got != tc.want {
				t.Errorf("assess(%d, %d) = %s, want %s", tc.nodes, tc.sick, got, tc.want)
			}
		})
	}
}

func TestHeartbeatsTrustOurClockOnly(t *testing.T) {
	h := heartbeats{nodes: map[string]*beat{}}
	h.node(node("Ready=True"), now)
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "n"}}
	renew := func(stamp, at time.Time) {
		lease.Spec.RenewTime = ptr.To(metav1.NewMicroTime(stamp))
		h.lease(lease, at)
	}
	renew(now.Add(-time.Hour), now.Add(10*time.Second)) // a node whose clock is an hour behind
	if seen, _ := h.seen("n"); !seen.Equal(now.Add(10 * time.Second)) {
		t.Errorf("seen at %v, want when the lease changed", seen)
	}
	renew(now.Add(-time.Hour), now.Add(20*time.Second)) // the same lease again says nothing
	if seen, _ := h.seen("n"); !seen.Equal(now.Add(10 * time.Second)) {
		t.Errorf("seen at %v although the lease did not change", seen)
	}
	if got := h.judge("n", true); got != full {
		t.Errorf("the only node is sick: %s, want full", got)
	}
	h.forget("n")
	if h.sick != 0 {
		t.Errorf("%d sick nodes after the only one is gone", h.sick)
	}
}
