package controllers

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/pkg/client"
)

// newJob makes a job; edits change what a case is about.
func newJob(name string, edits ...func(*batchv1.JobSpec)) *batchv1.Job {
	t := template("v1")
	t.Spec.RestartPolicy = corev1.RestartPolicyNever
	j := &batchv1.Job{ObjectMeta: meta("default", name), Spec: batchv1.JobSpec{Template: t}}
	for _, e := range edits {
		e(&j.Spec)
	}
	return j
}

func times(completions, parallelism int32) func(*batchv1.JobSpec) {
	return func(s *batchv1.JobSpec) { s.Completions, s.Parallelism = &completions, &parallelism }
}

func indexed(completions, parallelism int32) func(*batchv1.JobSpec) {
	return func(s *batchv1.JobSpec) {
		times(completions, parallelism)(s)
		s.CompletionMode = ptr.To(batchv1.IndexedCompletion)
	}
}

func isTracked(p *corev1.Pod) bool {
	return slices.Contains(p.Finalizers, batchv1.JobTrackingFinalizer)
}

func indexOf(p *corev1.Pod) int {
	n, err := strconv.Atoi(p.Annotations[batchv1.JobCompletionIndexAnnotation])
	if err != nil {
		return -1
	}
	return n
}

// succeed ends every pod well.
func succeed(*corev1.Pod) (int32, bool) { return 0, true }

// failFirst ends the first n pods with a code, and all others well.
func failFirst(n int, code int32) func(*corev1.Pod) (int32, bool) {
	failed := map[string]bool{}
	var mu sync.Mutex
	return func(p *corev1.Pod) (int32, bool) {
		mu.Lock()
		defer mu.Unlock()
		if failed[string(p.UID)] || len(failed) < n {
			failed[string(p.UID)] = true
			return code, true
		}
		return 0, true
	}
}

// describe tells a job's status in a line.
func describe(j *batchv1.Job) string {
	s := j.Status
	var conditions []string
	for _, c := range s.Conditions {
		if c.Status == corev1.ConditionTrue {
			conditions = append(conditions, string(c.Type)+"/"+c.Reason)
		}
	}
	out := fmt.Sprintf("active %d, succeeded %d, failed %d, [%s]", s.Active, s.Succeeded, s.Failed, strings.Join(conditions, " "))
	if s.CompletedIndexes != "" {
		out += " done " + s.CompletedIndexes
	}
	if lost := ptr.Deref(s.FailedIndexes, ""); lost != "" {
		out += " lost " + lost
	}
	return out
}

func (w *world) jobPods(name string) []*corev1.Pod {
	return list[*corev1.Pod](w, "default", "job-name="+name)
}

// expectJob wants a job's status, and of a finished one that nothing is left to be counted.
func (w *world) expectJob(name, want string) *batchv1.Job {
	w.Helper()
	j := get[*batchv1.Job](w, "default", name)
	if got := describe(j); got != want {
		w.Errorf("job %s: %s; want %s", name, got, want)
	}
	if left := leftovers(w, j); left != "" {
		w.Errorf("job %s is finished%s", name, left)
	}
	return j
}

// What https://kubernetes.io/docs/concepts/workloads/controllers/job/ says of how jobs end.
func TestJobsEnd(t *testing.T) {
	exit := func(action batchv1.PodFailurePolicyAction, code int32) func(*batchv1.JobSpec) {
		return func(s *batchv1.JobSpec) {
			s.PodFailurePolicy = &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{{
				Action: action, OnExitCodes: &batchv1.PodFailurePolicyOnExitCodesRequirement{Operator: batchv1.PodFailurePolicyOnExitCodesOpIn, Values: []int32{code}},
			}}}
		}
	}
	limit := func(n int32) func(*batchv1.JobSpec) { return func(s *batchv1.JobSpec) { s.BackoffLimit = &n } }
	perIndex := func(n int32) func(*batchv1.JobSpec) { return func(s *batchv1.JobSpec) { s.BackoffLimitPerIndex = &n } }
	odd := func(p *corev1.Pod) (int32, bool) { return int32(indexOf(p) % 2), true }
	onlyFirst := func(p *corev1.Pod) (int32, bool) { return 0, indexOf(p) == 0 }
	rule := func(r batchv1.SuccessPolicyRule) func(*batchv1.JobSpec) {
		return func(s *batchv1.JobSpec) {
			s.SuccessPolicy = &batchv1.SuccessPolicy{Rules: []batchv1.SuccessPolicyRule{r}}
		}
	}
	complete := "[SuccessCriteriaMet/CompletionsReached Complete/CompletionsReached]"
	cases := []struct {
		name, reason string
		job          *batchv1.Job
		ends         func(*corev1.Pod) (int32, bool)
		wait         time.Duration
		want         string
	}{
		{"one", "the usual", newJob("j"), succeed, 10 * time.Second, "active 0, succeeded 1, failed 0, " + complete},
		{"many", "in parallel", newJob("j", times(7, 3)), succeed, 30 * time.Second, "active 0, succeeded 7, failed 0, " + complete},
		{"none", "zero completions are reached at once", newJob("j", times(0, 1)), succeed, 5 * time.Second, "active 0, succeeded 0, failed 0, " + complete},
		{"queue", "without completions the first success ends it", newJob("j", func(s *batchv1.JobSpec) { s.Parallelism = ptr.To[int32](3) }), succeed, 10 * time.Second,
			"active 0, succeeded 3, failed 0, " + complete},
		{"retry", "failed pods are replaced", newJob("j", times(2, 2)), failFirst(3, 1), 3 * time.Minute, "active 0, succeeded 2, failed 3, " + complete},
		{"limit", "up to the limit", newJob("j", limit(2)), failFirst(99, 1), 10 * time.Minute,
			"active 0, succeeded 0, failed 3, [FailureTarget/BackoffLimitExceeded Failed/BackoffLimitExceeded]"},
		{"deadline", "and not for ever", newJob("j", func(s *batchv1.JobSpec) { s.ActiveDeadlineSeconds = ptr.To[int64](20) }), nil, 30 * time.Second,
			"active 0, succeeded 0, failed 1, [FailureTarget/DeadlineExceeded Failed/DeadlineExceeded]"},
		{"indexed", "each index once", newJob("j", indexed(5, 2)), succeed, 30 * time.Second, "active 0, succeeded 5, failed 0, " + complete + " done 0-4"},
		{"indexed retry", "each index once well", newJob("j", indexed(3, 3)), failFirst(2, 1), 3 * time.Minute, "active 0, succeeded 3, failed 2, " + complete + " done 0-2"},
		{"per index", "conformance: all indexes are executed despite some failing", newJob("j", indexed(4, 2), perIndex(1)), odd, 3 * time.Minute,
			"active 0, succeeded 2, failed 4, [FailureTarget/FailedIndexes Failed/FailedIndexes] done 0,2 lost 1,3"},
		{"max failed", "conformance: terminate when maxFailedIndexes is exceeded", newJob("j", indexed(4, 4), perIndex(0), func(s *batchv1.JobSpec) { s.MaxFailedIndexes = ptr.To[int32](0) }),
			func(p *corev1.Pod) (int32, bool) { return 1, indexOf(p) == 0 }, time.Minute,
			"active 0, succeeded 0, failed 4, [FailureTarget/MaxFailedIndexesExceeded Failed/MaxFailedIndexesExceeded] lost 0"},
		{"fail index", "conformance: FailIndex ends an index without restarts", newJob("j", indexed(2, 2), perIndex(3), exit(batchv1.PodFailurePolicyActionFailIndex, 1)), odd, time.Minute,
			"active 0, succeeded 1, failed 1, [FailureTarget/FailedIndexes Failed/FailedIndexes] done 0 lost 1"},
		{"fail job", "conformance: FailJob ends the job at the first such code", newJob("j", times(4, 2), exit(batchv1.PodFailurePolicyActionFailJob, 42)), failFirst(1, 42), time.Minute,
			"active 0, succeeded 1, failed 1, [FailureTarget/PodFailurePolicy Failed/PodFailurePolicy]"},
		{"ignore", "what is ignored does not count", newJob("j", limit(0), exit(batchv1.PodFailurePolicyActionIgnore, 7)), failFirst(1, 7), time.Minute, "active 0, succeeded 1, failed 0, " + complete},
		{"count", "what counts counts", newJob("j", limit(0), exit(batchv1.PodFailurePolicyActionCount, 7)), failFirst(1, 7), time.Minute,
			"active 0, succeeded 0, failed 1, [FailureTarget/BackoffLimitExceeded Failed/BackoffLimitExceeded]"},
		{"success of all", "conformance: successPolicy when all indexes succeed", newJob("j", indexed(2, 2), rule(batchv1.SuccessPolicyRule{SucceededCount: ptr.To[int32](2)})), succeed, 30 * time.Second,
			"active 0, succeeded 2, failed 0, [SuccessCriteriaMet/SuccessPolicy Complete/SuccessPolicy] done 0,1"},
		{"success by index", "conformance: succeededIndexes while others are pending", newJob("j", indexed(3, 3), rule(batchv1.SuccessPolicyRule{SucceededIndexes: ptr.To("0")})), onlyFirst, time.Minute,
			"active 0, succeeded 1, failed 2, [SuccessCriteriaMet/SuccessPolicy Complete/SuccessPolicy] done 0"},
		{"success by count", "conformance: succeededCount while others are pending", newJob("j", indexed(3, 3), rule(batchv1.SuccessPolicyRule{SucceededCount: ptr.To[int32](1)})), onlyFirst, time.Minute,
			"active 0, succeeded 1, failed 2, [SuccessCriteriaMet/SuccessPolicy Complete/SuccessPolicy] done 0"},
		{"managed", "somebody else's", newJob("j", func(s *batchv1.JobSpec) { s.ManagedBy = ptr.To("example.com/queue") }), succeed, 30 * time.Second, "active 0, succeeded 0, failed 0, []"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Log(tc.reason)
			inWorld(t, 2, nil, func(w *world) {
				w.Machines.Ends = tc.ends
				create(w, tc.job.DeepCopy())
				w.Tick(tc.wait)
				w.expectJob("j", tc.want)
				if t.Failed() {
					for _, r := range w.Decisions.Since(0) {
						if r.Component == "controller/job" {
							t.Log(r.Time.Format("04:05.000"), r.Plan, r.Error)
						}
					}
				}
			})
		})
	}
}

// Conformance "Ensure Pods of an Indexed Job get a unique index".
func TestPodsOfAnIndexedJob(t *testing.T) {
	inWorld(t, 1, nil, func(w *world) {
		create(w, newJob("j", indexed(2, 2)))
		w.Tick(3 * time.Second)
		pods := w.jobPods("j")
		slices.SortFunc(pods, func(a, b *corev1.Pod) int { return indexOf(a) - indexOf(b) })
		for i, p := range pods {
			env := p.Spec.Containers[0].Env
			if indexOf(p) != i || p.Labels[batchv1.JobCompletionIndexAnnotation] != strconv.Itoa(i) || p.Spec.Hostname != fmt.Sprintf("j-%d", i) ||
				!strings.HasPrefix(p.Name, fmt.Sprintf("j-%d-", i)) || len(env) != 1 || env[0].Name != "JOB_COMPLETION_INDEX" {
				t.Errorf("pod %d is %s with %v, %v, hostname %q, %v", i, p.Name, p.Annotations, p.Labels, p.Spec.Hostname, env)
			}
		}
		if s := get[*batchv1.Job](w, "default", "j").Status; len(pods) != 2 || s.Active != 2 || *s.Ready != 2 || s.StartTime == nil {
			t.Errorf("%d pods, status %+v; want two that are active and ready", len(pods), s)
		}
	})
}

// Conformance "Jobs, orphan pods, re-adoption".
func TestJobAdoptsAndReleases(t *testing.T) {
	inWorld(t, 1, nil, func(w *world) {
		j := create(w, newJob("j", times(3, 2)))
		w.Tick(3 * time.Second)
		name := w.jobPods("j")[0].Name
		edit(w, "default", name, func(p *corev1.Pod) { p.OwnerReferences = nil })
		w.Tick(3 * time.Second)
		if p := get[*corev1.Pod](w, "default", name); !metav1.IsControlledBy(p, j) || !slices.Contains(p.Finalizers, batchv1.JobTrackingFinalizer) {
			t.Errorf("the orphan has owners %v and finalizers %v, want the job's", p.OwnerReferences, p.Finalizers)
		}
		edit(w, "default", name, func(p *corev1.Pod) { p.Labels = nil })
		w.Tick(3 * time.Second)
		if p := get[*corev1.Pod](w, "default", name); metav1.GetControllerOf(p) != nil || len(p.Finalizers) > 0 {
			t.Errorf("the pod that matches no longer has owners %v and finalizers %v", p.OwnerReferences, p.Finalizers)
		}
		if got := len(w.jobPods("j")); got != 2 {
			t.Errorf("%d pods match, want two", got)
		}
	})
}

func TestJobSuspendsAndResumes(t *testing.T) {
	inWorld(t, 1, nil, func(w *world) {
		create(w, newJob("j", times(4, 2), func(s *batchv1.JobSpec) { s.Suspend = ptr.To(true) }))
		w.Tick(3 * time.Second)
		w.expectJob("j", "active 0, succeeded 0, failed 0, [Suspended/JobSuspended]")
		suspend := func(yes bool) { edit(w, "default", "j", func(j *batchv1.Job) { j.Spec.Suspend = &yes }) }
		suspend(false)
		w.Tick(3 * time.Second)
		if j := w.expectJob("j", "active 2, succeeded 0, failed 0, []"); j.Status.StartTime == nil || len(j.Status.Conditions) != 1 || j.Status.Conditions[0].Reason != "JobResumed" {
			t.Errorf("a resumed job has started, and says why; its status is %+v", j.Status)
		}
		suspend(true)
		w.Tick(5 * time.Second)
		if j := w.expectJob("j", "active 0, succeeded 0, failed 0, [Suspended/JobSuspended]"); j.Status.StartTime != nil || len(w.jobPods("j")) > 0 {
			t.Errorf("a suspended job has no pods and no start; its status is %+v", j.Status)
		}
		w.Machines.Ends = succeed
		suspend(false)
		w.Tick(20 * time.Second)
		w.expectJob("j", "active 0, succeeded 4, failed 0, [SuccessCriteriaMet/CompletionsReached Complete/CompletionsReached]")
		for _, reason := range []string{"Suspended", "Resumed", "Completed", "SuccessfulCreate", "SuccessfulDelete"} {
			if len(w.Events(reason)) == 0 {
				t.Errorf("no event %s", reason)
			}
		}
	})
}

// A finished job goes when its time is up, and takes its pods with it.
func TestFinishedJobsGo(t *testing.T) {
	inWorld(t, 1, nil, func(w *world) {
		w.Machines.Ends = succeed
		create(w, newJob("j", times(2, 2), func(s *batchv1.JobSpec) { s.TTLSecondsAfterFinished = ptr.To[int32](60) }))
		w.Tick(30 * time.Second)
		w.expectJob("j", "active 0, succeeded 2, failed 0, [SuccessCriteriaMet/CompletionsReached Complete/CompletionsReached]")
		w.Tick(time.Minute)
		if exists[*batchv1.Job](w, "default", "j") || len(w.jobPods("j")) > 0 {
			t.Errorf("a minute later the job (%v) or its pods (%d) are still there", exists[*batchv1.Job](w, "default", "j"), len(w.jobPods("j")))
		}
	})
}

// Pods that nobody counts any more are held by nobody.
func TestDeletedJobsHoldNoPods(t *testing.T) {
	for _, how := range []metav1.DeletionPropagation{metav1.DeletePropagationBackground, metav1.DeletePropagationForeground, metav1.DeletePropagationOrphan} {
		t.Run(string(how), func(t *testing.T) {
			inWorld(t, 1, nil, func(w *world) {
				create(w, newJob("j", times(3, 3)))
				w.Tick(5 * time.Second)
				remove[*batchv1.Job](w, "default", "j", how)
				w.Tick(20 * time.Second)
				if exists[*batchv1.Job](w, "default", "j") {
					t.Error("the job is still there")
				}
				pods := w.jobPods("j")
				if want := map[bool]int{true: 3}[how == metav1.DeletePropagationOrphan]; len(pods) != want {
					t.Errorf("%d pods are left, want %d", len(pods), want)
				}
				for _, p := range pods {
					if len(p.Finalizers) > 0 || len(p.OwnerReferences) > 0 {
						t.Errorf("pod %s has finalizers %v and owners %v", p.Name, p.Finalizers, p.OwnerReferences)
					}
				}
			})
		})
	}
}

// Failed pods are replaced after 10s, 20s, 40s: the documented back-off.
func TestJobBacksOff(t *testing.T) {
	inWorld(t, 1, nil, func(w *world) {
		w.Machines.Ends = failFirst(3, 1)
		create(w, newJob("j"))
		w.Tick(10 * time.Minute)
		pods := w.jobPods("j")
		slices.SortFunc(pods, func(a, b *corev1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
		if len(pods) != 4 {
			t.Fatalf("%d pods, want 4", len(pods))
		}
		for i, wait := range []time.Duration{10 * time.Second, 20 * time.Second, 40 * time.Second} {
			end := pods[i].Status.ContainerStatuses[0].State.Terminated.FinishedAt
			if got := pods[i+1].CreationTimestamp.Sub(end.Time); got < wait || got > wait+2*time.Second {
				t.Errorf("pod %d came %v after the end of the one before, want %v", i+1, got, wait)
			}
		}
	})
}

// Scenarios around pods that are taken away: with podReplacementPolicy Failed the replacement waits
// until the pod has really ended, and a node that is lost counts once.
func TestJobReplacesPodsThatAreDeleted(t *testing.T) {
	for policy, early := range map[batchv1.PodReplacementPolicy]int{batchv1.TerminatingOrFailed: 2, batchv1.Failed: 1} {
		t.Run(string(policy), func(t *testing.T) {
			inWorld(t, 1, nil, func(w *world) {
				create(w, newJob("j", func(s *batchv1.JobSpec) { s.PodReplacementPolicy = &policy }))
				w.Tick(5 * time.Second)
				first := w.jobPods("j")[0]
				w.Machines.Kill("node-1", true) // it will not say how the pod ends
				if err := client.Of[*corev1.Pod](w.Admin).Delete(w.Context(), "default", first.Name, metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](20)}); err != nil {
					t.Fatal(err)
				}
				w.Tick(15 * time.Second)
				if got := len(w.jobPods("j")); got != early {
					t.Errorf("%d pods while the first is ending, want %d", got, early)
				}
				w.Machines.Ends = succeed
				w.Machines.Kill("node-1", false)
				w.Tick(30 * time.Second)
				w.expectJob("j", "active 0, succeeded 1, failed 1, [SuccessCriteriaMet/CompletionsReached Complete/CompletionsReached]")
			})
		})
	}
}
