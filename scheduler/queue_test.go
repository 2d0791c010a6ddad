package scheduler

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
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

	wantsCPU := func(w *waiter) bool { return w.Requests.MilliCPU > 0 }
	q.wakeUp(wantsCPU)
	for _, w := range q.expect("large large2", "the event helped these, and their back-off is over") {
		q.refuse(w, nil)
	}
	q.wakeUp(wantsCPU)
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

func TestQueueRefusers(t *testing.T) {
	q := newQueueTest(t)
	q.set(sample.Pod("a"))
	q.set(sample.Pod("b"))
	for _, w := range q.expect("a b", "both are new") {
		q.refuse(w, []string{"X", w.Pod.Name})
	}
	if got := q.refused; got["X"] != 2 || got["a"] != 1 {
		t.Errorf("refused: %v", got)
	}
	q.remove("a")
	q.wakeUp(func(*waiter) bool { return true })
	if len(q.refused) != 0 {
		t.Errorf("left over: %v", q.refused)
	}
}
