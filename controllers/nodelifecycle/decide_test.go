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
	for _, tc := range []struct {
		reason    string
		zone, all census
		want      outage
	}{
		{"no nodes, no outage", census{}, census{}, calm},
		{"one of two", census{2, 1}, census{2, 1}, calm},
		{"the only one", census{1, 1}, census{1, 1}, full},
		{"the only one of its zone is no zone", census{1, 1}, census{3, 1}, calm},
		{"two of three are too few to suspect ourselves", census{3, 2}, census{3, 2}, calm},
		{"three of five", census{5, 3}, census{5, 3}, partial},
		{"three of six are half only", census{6, 3}, census{6, 3}, calm},
		{"all", census{6, 6}, census{6, 6}, full},
		{"all of a zone", census{3, 3}, census{9, 3}, full},
		{"most of a zone, few of all", census{5, 4}, census{50, 4}, partial},
		{"much of a large zone", census{60, 40}, census{60, 40}, slow},
		{"few of a zone, all others", census{10, 1}, census{20, 11}, calm},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			if got := assess(tc.zone, tc.all); got != tc.want {
				t.Errorf("assess(%v, %v) = %s, want %s", tc.zone, tc.all, got, tc.want)
			}
		})
	}
}

func TestOneNodeOfAZoneAfterTheOther(t *testing.T) {
	dead := node("Ready=Unknown", "MemoryPressure=Unknown", "DiskPressure=Unknown", "PIDPressure=Unknown")
	o := observed{Node: dead, Seen: now.Add(-time.Hour), Now: now, Wait: 7 * time.Second, Grace: time.Minute, StartupGrace: time.Minute}
	if p := decide(o); p.String() != "+node.kubernetes.io/unreachable:NoSchedule" || p.Evicts || p.Recheck != 7*time.Second {
		t.Errorf("not its turn: %s, evicts %v, recheck %v", p, p.Evicts, p.Recheck)
	}
	o.Wait = 0
	if p := decide(o); !p.Evicts || p.Recheck != 0 {
		t.Errorf("its turn: %s, evicts %v", p, p.Evicts)
	}
	o.Wait, o.Seen, o.Node = time.Second, now, node("Ready=False", "taint=node.kubernetes.io/unreachable:NoExecute")
	if p := decide(o); p.Evicts || !strings.Contains(p.String(), "+node.kubernetes.io/not-ready:NoExecute") {
		t.Errorf("it had its turn, for another reason: %s", p)
	}
}

func TestZonesHaveTurnsOfTheirOwn(t *testing.T) {
	h := heartbeats{nodes: map[string]*beat{}, zones: map[string]*zone{}}
	for _, w := range []string{"a1", "a2", "a3", "a4", "b1", "b2", "b3", "b4"} {
		n := node("Ready=True")
		n.Name, n.Labels = w, map[string]string{corev1.LabelTopologyZone: w[:1]}
		h.node(n, now)
	}
	if h.evict("a1", now) != 0 || h.evict("a2", now.Add(4*time.Second)) != 6*time.Second || h.evict("b1", now) != 0 || h.evict("a2", now.Add(10*time.Second)) != 0 {
		t.Error("want one eviction of each zone in ten seconds")
	}
	for i, w := range []string{"a1", "a2", "a3", "a4"} {
		state, _, changed := h.judge(w, true, now)
		if want := []outage{calm, calm, partial, full}[i]; state != want || (len(changed) > 0) != (i > 1) {
			t.Errorf("%d sick: %s, changed %v", i+1, state, changed)
		}
	}
	if state, _, _ := h.judge("b1", true, now); state != calm {
		t.Errorf("the other zone is %s", state)
	}
	moved := node("Ready=True")
	moved.Name, moved.Labels = "a4", map[string]string{corev1.LabelTopologyZone: "b"}
	h.node(moved, now)
	if got := h.in("/b"); len(got) != 5 || h.zones["/b"].census != (census{5, 2}) || h.zones["/a"].census != (census{3, 3}) || h.all != (census{8, 5}) {
		t.Errorf("after a move: %v, %+v, %+v, %+v", got, h.zones["/a"], h.zones["/b"], h.all)
	}
}

func TestHeartbeatsTrustOurClockOnly(t *testing.T) {
	h := heartbeats{nodes: map[string]*beat{}, zones: map[string]*zone{}}
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
	if got, _, _ := h.judge("n", true, now); got != full {
		t.Errorf("the only node is sick: %s, want full", got)
	}
	h.forget("n")
	if h.all != (census{}) || len(h.zones) != 0 {
		t.Errorf("%+v and %d zones after the only node is gone", h.all, len(h.zones))
	}
}
