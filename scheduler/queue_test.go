package scheduler

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/miniorch/miniorch/scheduler/framework"
	"github.com/miniorch/miniorch/scheduler/framework/sample"
)

type queueTest struct {
	*testing.T
	*queue
	clock *clocktesting.FakeClock
}

func newQueueTest(t *testing.T) *queueTest {
	t.Helper()
	p, err := newProfiles([]framework.Profile{DefaultProfile(Parts{})})
	if err != nil {
		t.Fatal(err)
	}
	c := clocktesting.NewFakeClock(time.Unix(1000, 0))
	return &queueTest{T: t, queue: newQueue(p, c, backOff{time.Second, 10 * time.Second}), clock: c}
}

// step turns the clock and lets the queue act on it.
func (q *queueTest) step(d time.Duration) {
	q.clock.Step(d)
	q.tick()
}

// expect pops all that can be tried, and puts nothing back.
func (q *queueTest) expect(want, reason string) []*waiter {
	q.Helper()
	var names []string
	var out []*waiter
	for w := q.pop(); w != nil; w = q.pop() {
		names = append(names, w.Pod.Name)
		out = append(out, w)
	}
	if got := strings.Join(names, " "); got != want {
		q.Errorf("popped %q, want %q: %s", got, want, reason)
	}
	return out
}

func TestQueueOrder(t *testing.T) {
	q := newQueueTest(t)
	urgent := func(p *corev1.Pod) { n := int32(10); p.Spec.Priority = &n }
	q.set(sample.Pod("b"))
	q.set(sample.Pod("a"))
	q.step(time.Second)
	q.set(sample.Pod("c"))
	q.set(sample.With(sample.Pod("u"), urgent))
	q.expect("u b a c", "by priority, then age, then order of arrival")
}

func TestQueueBackoff(t *testing.T) {
	q := newQueueTest(t)
	q.set(sample.Pod("a"))
	for i, pause := range []time.Duration{1, 2, 4, 8, 10, 10} {
		w := q.expect("a", "its time has come")
		if len(w) != 1 {
			t.FailNow()
		}
		q.retry(w[0])
		q.step(pause*time.Second - 1)
		q.expect("", "its back-off is not over")
		if got, want := q.next(), q.clock.Now().Add(1); !got.Equal(want) {
			t.Errorf("attempt %d: next is %v, want %v", i, got, want)
		}
		q.step(1)
	}
}

func TestQueueParks(t *testing.T) {
	q := newQueueTest(t)
	q.set(sample.Pod("small"))
	q.set(sample.Pod("large", "cpu", "2"))
	q.set(sample.Pod("large2", "cpu", "2"))
	for _, w := range q.expect("small large large2", "all are new") {
		q.refuse(w, nil)
	}
	q.step(time.Minute)
	q.expect("", "nothing happened")

	wake := func(names ...types.UID) {
		woken := map[*waiter]bool{}
		for _, name := range names {
			woken[q.all[name]] = true
		}
		q.again(woken)
	}
	wake("large2", "large")
	for _, w := range q.expect("large large2", "the event helped these, and their back-off is over") {
		q.refuse(w, nil)
	}
	wake("large", "large2")
	q.expect("", "they failed just now: an event does not shorten the back-off")
	q.step(2 * time.Second)
	q.expect("large large2", "their second back-off is over")
	q.step(parkedMax)
	q.expect("small", "the safety net")
}

func TestQueueUpdates(t *testing.T) {
	q := newQueueTest(t)
	q.set(sample.Pod("a", "cpu", "2"))
	w := q.expect("a", "it is new")
	q.refuse(w[0], nil)
	q.step(time.Minute)

	status := sample.With(sample.Pod("a", "cpu", "2"), func(p *corev1.Pod) { p.Status.Reason = "x" })
	q.set(status)
	q.expect("", "our own status write changes nothing")
	if q.all["a"].Pod != status {
		t.Error("the queue keeps an old version of the pod")
	}
	q.set(sample.With(sample.Pod("a", "cpu", "2"), func(p *corev1.Pod) {
		p.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
	}))
	q.expect("a", "another spec is another chance")

	q.set(sample.Pod("b"))
	q.remove("b")
	q.expect("", "it was deleted")
}

func TestQueueGates(t *testing.T) {
	q := newQueueTest(t)
	q.set(sample.With(sample.Pod("a"), func(p *corev1.Pod) { p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "g"}} }))
	q.step(time.Hour)
	q.expect("", "it is gated")
	q.set(sample.Pod("a"))
	q.expect("a", "the gate is gone")
}

func TestQueueIsFair(t *testing.T) {
	q := newQueueTest(t)
	in := func(ns, name string, priority int32) *corev1.Pod {
		return sample.With(sample.Pod(name), func(p *corev1.Pod) { p.Namespace, p.Spec.Priority = ns, &priority })
	}
	for _, name := range []string{"a1", "a2", "a3", "a4"} {
		q.set(in("busy", name, 0))
	}
	q.step(time.Second)
	q.set(in("quiet", "b1", 0))
	q.set(in("quiet", "b2", 0))
	q.set(in("busy", "urgent", 5))
	if w := q.pop(); w.Pod.Name != "urgent" {
		t.Errorf("%s goes before a more urgent pod", w.Pod.Name)
	}
	if w := q.pop(); w.Pod.Name != "a1" {
		t.Errorf("%s is first", w.Pod.Name)
	}
	q.set(in("late", "c1", 0))
	q.expect("b1 a2 b2 c1 a3 a4", "namespaces take turns; who comes late does not go first, and does not wait for all others")
	if len(q.lanes.byKey)+len(q.lanes.served) != 0 {
		t.Errorf("left over: %+v", q.lanes)
	}
}

// TestQueueGroups: parked pods are found by who refused them, and by what they have in common.
func TestQueueGroups(t *testing.T) {
	q := newQueueTest(t)
	for _, name := range []string{"a", "b", "c", "d"} {
		q.set(sample.With(sample.Pod(name), func(p *corev1.Pod) {
			if name == "c" {
				p.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
			}
		}))
	}
	for _, w := range q.expect("a b c d", "all are new") {
		refuser := "NodeResourcesFit"
		if w.Pod.Name == "d" {
			refuser = "PodTopologySpread"
		}
		q.refuse(w, []string{refuser})
	}
	if fit, spread := len(q.refused["NodeResourcesFit"]), len(q.refused["PodTopologySpread"]); fit != 3 || spread != 1 {
		t.Errorf("%d and %d are refused", fit, spread)
	}
	if a, c, d := q.all["a"], q.all["c"], q.all["d"]; len(q.alike) != 2 || len(q.alike[a.kin]) != 2 || len(q.alike[c.kin]) != 1 || d.kin != "" {
		t.Errorf("alike: %v; a node that changes cannot help d: %q", q.alike, d.kin)
	}
	q.set(sample.With(sample.Pod("g"), func(p *corev1.Pod) { p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "g"}} }))
	if len(q.gated["SchedulingGates"]) != 1 {
		t.Errorf("gated: %v", q.gated)
	}
	q.remove("a")
	q.step(parkedMax)
	q.set(sample.Pod("g"))
	if len(q.refused)+len(q.alike)+len(q.gated) != 0 {
		t.Errorf("left over: %v, %v, %v", q.refused, q.alike, q.gated)
	}
}
