package rest_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/pkg/api"
)

// webPod makes a running pod that is ready, or not.
func webPod(e *engine, name string, ready bool, edits ...func(*corev1.Pod)) {
	e.Helper()
	e.mustCreate("default", &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Labels: map[string]string{"app": "web"}},
		Spec:       corev1.PodSpec{NodeName: "n", Containers: []corev1.Container{{Name: "c", Image: "i"}}},
	})
	if _, err := update(e, "default", name, "status", func(p *corev1.Pod) {
		p.Status.Phase = corev1.PodRunning
		status := corev1.ConditionFalse
		if ready {
			status = corev1.ConditionTrue
		}
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: corev1.PodReady, Status: status})
		for _, edit := range edits {
			edit(p)
		}
	}); err != nil {
		e.Fatal(err)
	}
}

// budget makes a budget of the web pods with this status.
func budget(e *engine, name string, s policyv1.PodDisruptionBudgetStatus, edits ...func(*policyv1.PodDisruptionBudget)) {
	e.Helper()
	b := &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec:       policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}},
	}
	for _, edit := range edits {
		edit(b)
	}
	e.mustCreate("default", b)
	if _, err := update(e, "default", name, "status", func(b *policyv1.PodDisruptionBudget) { b.Status = s }); err != nil {
		e.Fatal(err)
	}
}

func evict(e *engine, name string, opts *metav1.DeleteOptions, dryRun ...string) error {
	_, err := of[*corev1.Pod](e).CreateSubresource(e.ctx, "default", name, "eviction",
		&policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, DeleteOptions: opts}, metav1.CreateOptions{DryRun: dryRun})
	return err
}

func TestEviction(t *testing.T) {
	room := func(n int32) policyv1.PodDisruptionBudgetStatus {
		return policyv1.PodDisruptionBudgetStatus{ObservedGeneration: 1, DisruptionsAllowed: n, DesiredHealthy: 2, CurrentHealthy: 2 + n, ExpectedPods: 3}
	}
	type setup = func(e *engine)
	ready := func(e *engine) { webPod(e, "p", true) }
	unready := func(e *engine) { webPod(e, "p", false) }
	guarded := func(n int32, edits ...func(*policyv1.PodDisruptionBudget)) setup {
		return func(e *engine) { budget(e, "b", room(n), edits...) }
	}
	always := func(b *policyv1.PodDisruptionBudget) {
		b.Spec.UnhealthyPodEvictionPolicy = ptr(policyv1.AlwaysAllow)
	}
	for _, tc := range []struct {
		name, reason string
		do           []setup
		refused      string // part of the cause or message; empty: it goes
		left         int32  // disruptions that are allowed afterwards
	}{
		{"no budget", "nothing guards the pod", []setup{ready}, "", 0},
		{"room", "the budget is charged", []setup{ready, guarded(2)}, "", 1},
		{"none", "the cause says what is needed", []setup{ready, guarded(0)}, "The disruption budget b needs 2 healthy pods and has 2 currently", 0},
		{"another's budget", "its selector does not match", []setup{ready, guarded(0, func(b *policyv1.PodDisruptionBudget) { b.Spec.Selector.MatchLabels["app"] = "db" })}, "", 0},
		{"empty selector", "in policy/v1 it matches all", []setup{ready, guarded(0, func(b *policyv1.PodDisruptionBudget) { b.Spec.Selector = &metav1.LabelSelector{} })}, "needs 2 healthy", 0},
		{"no selector", "matches none", []setup{ready, guarded(0, func(b *policyv1.PodDisruptionBudget) { b.Spec.Selector = nil })}, "", 0},
		{"two budgets", "which one counts is not defined", []setup{ready, guarded(1), func(e *engine) { budget(e, "c", room(1)) }}, "more than one PodDisruptionBudget", 1},
		{"not ready, enough others", "it is not one of the healthy ones", []setup{unready, guarded(0)}, "", 0},
		{"not ready, too few others", "it may become one of them", []setup{unready, func(e *engine) {
			budget(e, "b", policyv1.PodDisruptionBudgetStatus{ObservedGeneration: 1, DesiredHealthy: 2, CurrentHealthy: 1})
		}}, "needs 2 healthy pods and has 1", 0},
		{"not ready, AlwaysAllow", "the policy says so", []setup{unready, func(e *engine) {
			budget(e, "b", policyv1.PodDisruptionBudgetStatus{ObservedGeneration: 1, DesiredHealthy: 2, CurrentHealthy: 1}, always)
		}}, "", 0},
		{"finished", "it serves nobody", []setup{func(e *engine) { webPod(e, "p", false, func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }) }, guarded(0)}, "", 0},
		{"pending", "it does not serve yet", []setup{func(e *engine) { webPod(e, "p", false, func(p *corev1.Pod) { p.Status.Phase = corev1.PodPending }) }, guarded(0)}, "", 0},
		{"a new budget", "its status says nothing yet", []setup{ready, func(e *engine) { budget(e, "b", policyv1.PodDisruptionBudgetStatus{DisruptionsAllowed: 5}) }}, "still being processed", 5},
		{"a failed one", "the cause says why", []setup{ready, func(e *engine) {
			budget(e, "b", policyv1.PodDisruptionBudgetStatus{ObservedGeneration: 1, Conditions: []metav1.Condition{{
				Type: policyv1.DisruptionAllowedCondition, Status: metav1.ConditionFalse, Reason: policyv1.SyncFailedReason, Message: "no controllers", LastTransitionTime: metav1.Now()}}})
		}}, "failed sync: no controllers", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			builtin(t, func(t *testing.T, e *engine) {
				for _, do := range tc.do {
					do(e)
				}
				if err := evict(e, "p", nil, metav1.DryRunAll); (err == nil) != (tc.refused == "") {
					t.Errorf("dry run: %v", err)
				}
				if p := mustGet[*corev1.Pod](e, "default", "p"); p.DeletionTimestamp != nil || api.PodCondition(p, corev1.DisruptionTarget) != nil {
					t.Fatalf("a dry run touched the pod: %+v", p)
				}
				err := evict(e, "p", nil)
				checkRefusal(t, err, tc.refused)
				gone := true
				if p, err := get[*corev1.Pod](e, "default", "p"); err == nil && p.DeletionTimestamp == nil {
					gone = false
				} else if err == nil && api.PodCondition(p, corev1.DisruptionTarget) == nil {
					t.Error("the pod does not say that it was evicted")
				}
				if gone != (tc.refused == "") {
					t.Errorf("%s: gone is %v", tc.reason, gone)
				}
				if b, err := get[*policyv1.PodDisruptionBudget](e, "default", "b"); err == nil && b.Status.DisruptionsAllowed != tc.left {
					t.Errorf("%d disruptions left, want %d", b.Status.DisruptionsAllowed, tc.left)
				}
			})
		})
	}
}

// checkRefusal wants an answer that drainers understand: 429 with a cause, unless it is not a matter of waiting.
func checkRefusal(t *testing.T, err error, want string) {
	t.Helper()
	if want == "" {
		if err != nil {
			t.Errorf("refused: %v", err)
		}
		return
	}
	if err == nil {
		t.Fatalf("not refused, want %q", want)
	}
	if cause, ok := apierrors.StatusCause(err, policyv1.DisruptionBudgetCause); apierrors.IsTooManyRequests(err) && (!ok || !strings.Contains(cause.Message, want)) {
		t.Errorf("cause %q, want %q", cause.Message, want)
	} else if !apierrors.IsTooManyRequests(err) && !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
}

func TestEvictionHonoursPreconditions(t *testing.T) {
	builtin(t, func(t *testing.T, e *engine) {
		webPod(e, "p", true)
		other := evict(e, "p", &metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions("another")})
		wantReason(t, other, metav1.StatusReasonConflict)
		old := evict(e, "p", &metav1.DeleteOptions{Preconditions: metav1.NewRVDeletionPrecondition("1").Preconditions})
		wantReason(t, old, metav1.StatusReasonConflict)
		if err := evict(e, "p", &metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}}); err != nil {
			t.Error(err)
		}
		if p := mustGet[*corev1.Pod](e, "default", "p"); p.DeletionTimestamp != nil {
			t.Error("the dry run in the options was not honoured")
		}
		wantReason(t, evict(e, "q", nil), metav1.StatusReasonNotFound)
	})
}

// However many evict at once, no more pods go than the budget has room for.
func TestEvictionsAtOnce(t *testing.T) {
	builtin(t, func(t *testing.T, e *engine) {
		for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
			webPod(e, name, true)
		}
		budget(e, "limit", policyv1.PodDisruptionBudgetStatus{ObservedGeneration: 1, DisruptionsAllowed: 2, DesiredHealthy: 4, CurrentHealthy: 6})
		var went atomic.Int32
		var running sync.WaitGroup
		for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
			running.Go(func() {
				if err := evict(e, name, nil); err == nil {
					went.Add(1)
				} else if !apierrors.IsTooManyRequests(err) {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
		running.Wait()
		b := mustGet[*policyv1.PodDisruptionBudget](e, "default", "limit")
		if went.Load() != 2 || b.Status.DisruptionsAllowed != 0 || len(b.Status.DisruptedPods) != 2 {
			t.Errorf("%d went, %d left, %d noted; want 2, 0, 2", went.Load(), b.Status.DisruptionsAllowed, len(b.Status.DisruptedPods))
		}
		if c := b.Status.Conditions; len(c) != 1 || c[0].Reason != policyv1.InsufficientPodsReason {
			t.Errorf("conditions %+v", c)
		}
	})
}
