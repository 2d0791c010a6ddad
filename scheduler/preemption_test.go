package scheduler

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/scheduler/framework/sample"
)

// classes makes the priority classes low (10), middle (50), high (100) and polite (100, but
// nobody must go for it).
func (w *world) classes() {
	w.Helper()
	never := corev1.PreemptNever
	for _, c := range []schedulingv1.PriorityClass{
		{ObjectMeta: metav1.ObjectMeta{Name: "low"}, Value: 10},
		{ObjectMeta: metav1.ObjectMeta{Name: "middle"}, Value: 50},
		{ObjectMeta: metav1.ObjectMeta{Name: "high"}, Value: 100},
		{ObjectMeta: metav1.ObjectMeta{Name: "polite"}, Value: 100, PreemptionPolicy: &never},
	} {
		if _, err := client.Of[*schedulingv1.PriorityClass](w.admin).Create(w.Context(), &c); err != nil {
			w.Fatal(err)
		}
	}
}

func classed(p *corev1.Pod, class string) *corev1.Pod {
	p.Spec.PriorityClassName = class
	return p
}

// going reports whether a pod has been evicted by the scheduler.
func (w *world) going(name string) bool {
	w.Helper()
	p := w.get(name)
	c := api.PodCondition(p, corev1.DisruptionTarget)
	if p.DeletionTimestamp != nil && (c == nil || c.Reason != corev1.PodReasonPreemptionByScheduler) {
		w.Errorf("%s does not know why it has to go: %v", name, p.Status.Conditions)
	}
	return p.DeletionTimestamp != nil
}

func TestPreemption(t *testing.T) {
	inWorld(t, func(w *world) {
		w.classes()
		w.node(sample.Node("n1", "cpu", "1"))
		w.pod(classed(sample.Pod("victim", "cpu", "800m"), "low"))
		w.expectOn("victim", "n1")
		w.pod(classed(sample.Pod("p", "cpu", "800m"), "high"))
		if !w.going("victim") {
			t.Error("nobody made room")
		}
		if got := w.events("Preempted"); len(got) != 1 || !strings.HasPrefix(got[0], "victim: Preempted by pod ") {
			t.Errorf("events: %q", got)
		}
		w.expectOn("p", "")
		if got := w.get("p").Status.NominatedNodeName; got != "n1" {
			t.Errorf("p is nominated to %q", got)
		}
		w.pod(classed(sample.Pod("thief", "cpu", "800m"), "middle"))
		time.Sleep(20 * time.Second)
		w.expectOn("p", "")
		w.delete("victim") // its node says that it has ended
		time.Sleep(20 * time.Second)
		w.expectOn("p", "n1")
		w.expectOn("thief", "")
		if got := w.get("thief").Status.NominatedNodeName; got != "" {
			t.Errorf("the thief is nominated to %q", got)
		}
		if w.going("p") {
			t.Error("p has to go for a less important pod")
		}
	})
}

func TestPreemptionNever(t *testing.T) {
	inWorld(t, func(w *world) {
		w.classes()
		w.node(sample.Node("n1", "cpu", "1"))
		w.pod(classed(sample.Pod("low", "cpu", "800m"), "low"))
		w.expectOn("low", "n1")
		w.pod(classed(sample.Pod("p", "cpu", "800m"), "polite"))
		time.Sleep(time.Minute)
		if w.going("low") {
			t.Error("a polite pod preempts")
		}
		c := api.PodCondition(w.get("p"), corev1.PodScheduled)
		if c == nil || !strings.Contains(c.Message, "preemptionPolicy=Never") {
			t.Errorf("condition: %v", c)
		}
		w.delete("low")
		w.expectOn("p", "n1")
	})
}

// TestPreemptionSparesBudgets lets the scheduler choose between two nodes on which the victim is
// of equal worth, and one is protected by a budget.
func TestPreemptionSparesBudgets(t *testing.T) {
	inWorld(t, func(w *world) {
		w.classes()
		for i := range 2 {
			name := fmt.Sprint("n", i)
			w.node(sample.Node(name, "cpu", "1"))
			w.pod(classed(sample.With(sample.Pod("on-"+name, "cpu", "800m"), func(p *corev1.Pod) {
				p.Labels = map[string]string{"on": name}
				p.Spec.NodeSelector = map[string]string{corev1.LabelHostname: name}
			}), "low"))
		}
		one := intstr.FromInt32(1)
		pdb := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "b"}, Spec: policyv1.PodDisruptionBudgetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"on": "n0"}},
		}}
		pdb.Spec.MinAvailable = &one
		if _, err := client.Of[*policyv1.PodDisruptionBudget](w.admin).Create(w.Context(), pdb); err != nil {
			t.Fatal(err)
		}
		w.expectOn("on-n1", "n1")
		w.pod(classed(sample.Pod("p", "cpu", "800m"), "high"))
		if w.going("on-n0") || !w.going("on-n1") {
			t.Error("the protected pod has to go")
		}
		w.delete("on-n1")
		time.Sleep(10 * time.Second)
		w.expectOn("p", "n1")
		w.pod(classed(sample.Pod("q", "cpu", "800m"), "high"))
		if !w.going("on-n0") {
			t.Error("a budget is a wish: there is no other room")
		}
	})
}

// TestPreemptorGoesElsewhere gives a nominated pod room on another node: it takes it, and the
// node that was kept for it is free again.
func TestPreemptorGoesElsewhere(t *testing.T) {
	inWorld(t, func(w *world) {
		w.classes()
		w.node(sample.Node("n1", "cpu", "1"))
		w.pod(classed(sample.Pod("victim", "cpu", "800m"), "low"))
		w.expectOn("victim", "n1")
		w.pod(classed(sample.Pod("p", "cpu", "800m"), "high"))
		if !w.going("victim") {
			t.Fatal("nobody made room")
		}
		time.Sleep(5 * time.Second)
		w.node(sample.Node("n2", "cpu", "1"))
		w.expectOn("p", "n2")
		w.pod(classed(sample.Pod("q", "cpu", "800m"), "low"))
		w.expectOn("q", "")
		time.Sleep(5 * time.Second)
		w.delete("victim")
		w.expectOn("q", "n1")
	})
}

// TestNominationSurvivesRestarts reads where room was made from the pod's status.
func TestNominationSurvivesRestarts(t *testing.T) {
	inWorld(t, func(w *world) {
		w.classes()
		w.pod(sample.With(classed(sample.Pod("p", "cpu", "800m"), "high"), func(p *corev1.Pod) {
			p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "example.com/g"}}
		}))
		p := w.get("p").DeepCopy()
		p.Status.NominatedNodeName = "n1"
		if _, err := client.Of[*corev1.Pod](w.admin).UpdateStatus(w.Context(), p); err != nil {
			t.Fatal(err)
		}
		w.get("p")
		w.node(sample.Node("n1", "cpu", "1"))
		w.pod(classed(sample.Pod("q", "cpu", "800m"), "low"))
		w.expectOn("q", "")
		w.patch(types.MergePatchType, w.get("p"), `{"spec":{"schedulingGates":null}}`)
		w.expectOn("p", "n1")
	})
}

// halting holds deletions back until it is let go.
type halting struct {
	client.Transport
	held chan struct{}
}

func (h *halting) Delete(ctx context.Context, req client.Request, opts metav1.DeleteOptions) error {
	select {
	case <-h.held:
	case <-ctx.Done():
		return ctx.Err()
	}
	return h.Transport.Delete(ctx, req, opts)
}

// TestPreemptionIsAsynchronous: while victims are being evicted, however long the API takes, others
// are scheduled, and the preemptor is not tried in vain.
func TestPreemptionIsAsynchronous(t *testing.T) {
	h := &halting{}
	between := func(tr client.Transport) client.Transport {
		h.Transport, h.held = tr, make(chan struct{}) // in the bubble
		return h
	}
	inWorldWith(t, between, Config{}, func(w *world) {
		w.classes()
		w.node(sample.Node("n1", "cpu", "1"))
		w.pod(classed(sample.Pod("victim", "cpu", "800m"), "low"))
		w.expectOn("victim", "n1")
		w.pod(classed(sample.Pod("p", "cpu", "800m"), "high"))
		time.Sleep(time.Minute)
		w.expectOn("p", "")
		if n := w.attempts("p"); n != 1 {
			t.Errorf("%d attempts while room is being made", n)
		}
		w.node(sample.Node("n2", "cpu", "200m"))
		w.pod(classed(sample.Pod("other", "cpu", "100m"), "low"))
		w.expectOn("other", "n2")
		close(h.held)
		if !w.going("victim") {
			t.Error("the victim stays")
		}
		w.delete("victim")
		time.Sleep(10 * time.Second)
		w.expectOn("p", "n1")
	})
}
