package job

import (
	"fmt"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
)

var now = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// job is one that runs since a minute; edits change what a case is about.
func job(edits ...func(*batchv1.Job)) *batchv1.Job {
	j := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "j", UID: "job-uid"},
		Spec: batchv1.JobSpec{
			Completions: ptr.To[int32](4), Parallelism: ptr.To[int32](2), BackoffLimit: ptr.To[int32](2),
			Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "c"}}}},
		},
		Status: batchv1.JobStatus{StartTime: ptr.To(metav1.NewTime(now.Add(-time.Minute)))},
	}
	for _, e := range edits {
		e(j)
	}
	return j
}

func indexed(j *batchv1.Job) { j.Spec.CompletionMode = ptr.To(batchv1.IndexedCompletion) }
func perIndex(n int32) func(*batchv1.Job) {
	return func(j *batchv1.Job) {
		indexed(j)
		j.Spec.BackoffLimitPerIndex, j.Spec.BackoffLimit = &n, ptr.To[int32](100)
	}
}
func counted(succeeded, failed int32) func(*batchv1.Job) {
	return func(j *batchv1.Job) { j.Status.Succeeded, j.Status.Failed = succeeded, failed }
}
func noted(succeeded, failed []types.UID) func(*batchv1.Job) {
	return func(j *batchv1.Job) {
		j.Status.UncountedTerminatedPods = &batchv1.UncountedTerminatedPods{Succeeded: succeeded, Failed: failed}
	}
}
func condition(t batchv1.JobConditionType) func(*batchv1.Job) {
	return func(j *batchv1.Job) {
		j.Status.Conditions = append(j.Status.Conditions, batchv1.JobCondition{Type: t, Status: corev1.ConditionTrue, Reason: "Why", LastTransitionTime: metav1.NewTime(now.Add(-time.Minute))})
	}
}

// pod makes a running pod of the job that waits to be counted.
func pod(name string, edits ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name), Annotations: map[string]string{}, Finalizers: []string{batchv1.JobTrackingFinalizer}},
		Spec:       corev1.PodSpec{NodeName: "n"}, Status: corev1.PodStatus{Phase: corev1.PodRunning},
	}
	for _, e := range edits {
		e(p)
	}
	return p
}

func succeeded(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }
func failed(p *corev1.Pod)    { failedAgo(time.Hour)(p) }
func failedAgo(d time.Duration) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.Phase = corev1.PodFailed
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "c", State: corev1.ContainerState{
			Terminated: &corev1.ContainerStateTerminated{ExitCode: 3, FinishedAt: metav1.NewTime(now.Add(-d))}}}}
	}
}
func going(p *corev1.Pod)    { p.DeletionTimestamp = ptr.To(metav1.NewTime(now)) }
func released(p *corev1.Pod) { p.Finalizers = nil }
func index(i int) func(*corev1.Pod) {
	return func(p *corev1.Pod) { annotate(p, batchv1.JobCompletionIndexAnnotation, i) }
}
func after(failures int) func(*corev1.Pod) {
	return func(p *corev1.Pod) { annotate(p, batchv1.JobIndexFailureCountAnnotation, failures) }
}

// brief prints what a plan does, its pods by name.
func brief(p Plan) string {
	var out []string
	list := func(verb string, pods []*corev1.Pod) {
		var names []string
		for _, q := range pods {
			names = append(names, q.Name)
		}
		if len(names) > 0 {
			out = append(out, verb+" "+strings.Join(names, " "))
		}
	}
	list("release", p.Release)
	list("drop", p.Drop)
	list("delete", p.Delete)
	for _, c := range p.Create {
		if c.Index == noIndex {
			out = append(out, "create")
		} else {
			out = append(out, fmt.Sprintf("create %d after %d", c.Index, c.Failures))
		}
	}
	if p.Remove {
		out = append(out, "remove")
	}
	if p.After > 0 {
		out = append(out, "wait "+p.After.String())
	}
	if s := p.Status; s != nil {
		for _, c := range s.Conditions {
			if c.Status == corev1.ConditionTrue && c.LastTransitionTime.Time.Equal(now) {
				out = append(out, string(c.Type)+"/"+c.Reason)
			}
		}
	}
	return strings.Join(out, ", ")
}

func TestDecide(t *testing.T) {
	suspended := func(j *batchv1.Job) { j.Spec.Suspend = ptr.To(true) }
	onlyFailed := func(j *batchv1.Job) { j.Spec.PodReplacementPolicy = ptr.To(batchv1.Failed) }
	deadline := func(s int64) func(*batchv1.Job) { return func(j *batchv1.Job) { j.Spec.ActiveDeadlineSeconds = &s } }
	ttl := func(s int32) func(*batchv1.Job) { return func(j *batchv1.Job) { j.Spec.TTLSecondsAfterFinished = &s } }
	restarts := func(n int32) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Status.ContainerStatuses = []corev1.ContainerStatus{{RestartCount: n}} }
	}
	onFailure := func(j *batchv1.Job) { j.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicyOnFailure }
	cases := []struct {
		reason    string
		job       *batchv1.Job
		pods      []*corev1.Pod
		want      string
		unsettled bool
	}{
		{"as many as may run at a time", job(), nil, "create, create", false},
		{"but not on a view that lacks the last ones", job(), nil, "", true},
		{"as many as are needed", job(counted(3, 0)), nil, "create", false},
		{"one of two is there", job(), []*corev1.Pod{pod("a")}, "create", false},
		{"one is to be noted first, and is replaced", job(), []*corev1.Pod{pod("a", succeeded), pod("b")}, "release a, create", false},
		{"noted ones are let go", job(noted([]types.UID{"a"}, nil)), []*corev1.Pod{pod("a", succeeded), pod("b"), pod("c")}, "release a", false},
		{"the end needs all to be counted", job(counted(3, 0), noted([]types.UID{"a"}, nil)), []*corev1.Pod{pod("a", succeeded)}, "release a, SuccessCriteriaMet/CompletionsReached", false},
		{"which then are", job(counted(3, 0), noted([]types.UID{"a"}, nil)), []*corev1.Pod{pod("a", succeeded, released)}, "SuccessCriteriaMet/CompletionsReached, Complete/CompletionsReached", false},
		{"also when the pod is gone", job(counted(3, 0), noted([]types.UID{"a"}, nil)), nil, "SuccessCriteriaMet/CompletionsReached, Complete/CompletionsReached", false},
		{"a failure is replaced", job(), []*corev1.Pod{pod("a", failed), pod("b")}, "release a, create", false},
		{"after a while", job(), []*corev1.Pod{pod("a", failedAgo(4*time.Second)), pod("b")}, "release a, wait 6s", false},
		{"a longer one after the second", job(), []*corev1.Pod{pod("a", failedAgo(4*time.Second)), pod("b", failed)}, "release a b, wait 16s", false},
		{"too many failures", job(counted(0, 2)), []*corev1.Pod{pod("a", failed), pod("b")}, "release a, delete b, FailureTarget/BackoffLimitExceeded", false},
		{"which ends when all have", job(counted(0, 2), condition(batchv1.JobFailureTarget)), []*corev1.Pod{pod("b", going)}, "release b", false},
		{"for good", job(counted(0, 3), condition(batchv1.JobFailureTarget)), nil, "Failed/Why", false},
		{"restarts of containers are failures", job(onFailure), []*corev1.Pod{pod("a", restarts(1)), pod("b", restarts(1))}, "delete a b, FailureTarget/BackoffLimitExceeded", false},
		{"too long", job(deadline(60)), []*corev1.Pod{pod("a"), pod("b")}, "delete a b, FailureTarget/DeadlineExceeded", false},
		{"not yet", job(deadline(61)), []*corev1.Pod{pod("a"), pod("b")}, "wait 1s", false},
		{"suspended", job(suspended), []*corev1.Pod{pod("a"), pod("b")}, "drop a b, Suspended/JobSuspended", false},
		{"too many: those that have done least go", job(), []*corev1.Pod{pod("a"), pod("b"), pod("c", func(p *corev1.Pod) { p.Spec.NodeName = "" })}, "drop c", false},
		{"one that was let go before a crash is deleted after it", job(), []*corev1.Pod{pod("a", released), pod("b")}, "drop a", false},
		{"a deleted pod has failed", job(), []*corev1.Pod{pod("a", going), pod("b")}, "release a, wait 10s", false},
		{"unless the job wants to know how it ends", job(onlyFailed), []*corev1.Pod{pod("a", going), pod("b")}, "", false},
		{"a job that is deleted makes no pods", job(func(j *batchv1.Job) { j.DeletionTimestamp = ptr.To(metav1.NewTime(now)) }), nil, "", false},

		{"the first indexes", job(indexed), nil, "create 0 after 0, create 1 after 0", false},
		{"that nobody works on", job(indexed), []*corev1.Pod{pod("a", index(1))}, "create 0 after 0", false},
		{"or has done", job(indexed, func(j *batchv1.Job) { j.Status.CompletedIndexes = "0-1" }), []*corev1.Pod{pod("a", index(2), succeeded)}, "release a, create 3 after 0", false},
		{"two at one index", job(indexed), []*corev1.Pod{pod("a", index(0)), pod("b", index(0))}, "drop a", false},
		{"one beyond the last", job(indexed), []*corev1.Pod{pod("a", index(0)), pod("b", index(4))}, "drop b", false},
		{"a failure of an index stays until its successor knows of it", job(perIndex(1)), []*corev1.Pod{pod("a", index(0), failed), pod("b", index(1))}, "create 0 after 1", false},
		{"and then goes", job(perIndex(1)), []*corev1.Pod{pod("a", index(0), failed), pod("b", index(1)), pod("c", index(0), after(1))}, "release a", false},
		{"the second failure loses the index", job(perIndex(1)), []*corev1.Pod{pod("b", index(1)), pod("c", index(0), after(1), failed)}, "release c, create 2 after 0", false},
		{"an index waits by itself", job(perIndex(1)), []*corev1.Pod{pod("a", index(0), failedAgo(time.Second)), pod("b", index(1))}, "create 2 after 0, wait 9s", false},

		{"the finished job's time is not up", job(condition(batchv1.JobComplete), ttl(90)), nil, "wait 30s", false},
		{"and is", job(condition(batchv1.JobComplete), ttl(60)), []*corev1.Pod{pod("a", succeeded)}, "release a, remove", false},
	}
	for _, tc := range cases {
		t.Run(tc.reason, func(t *testing.T) {
			plan := decide(observed{Job: tc.job, Pods: tc.pods, Free: []string{"f1", "f2", "f3"}, Settled: !tc.unsettled, Now: now})
			if got := brief(plan); got != tc.want {
				t.Errorf("decide: %q, want %q (%s)", got, tc.want, plan)
			}
		})
	}
}

// https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-failure-policy
func TestJudge(t *testing.T) {
	codes := func(action batchv1.PodFailurePolicyAction, op batchv1.PodFailurePolicyOnExitCodesOperator, container string, values ...int32) batchv1.PodFailurePolicyRule {
		r := &batchv1.PodFailurePolicyOnExitCodesRequirement{Operator: op, Values: values}
		if container != "" {
			r.ContainerName = &container
		}
		return batchv1.PodFailurePolicyRule{Action: action, OnExitCodes: r}
	}
	disrupted := batchv1.PodFailurePolicyRule{Action: "Ignore", OnPodConditions: []batchv1.PodFailurePolicyOnPodConditionsPattern{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue}}}
	target := func(p *corev1.Pod) {
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue}}
	}
	for _, tc := range []struct {
		reason string
		rules  []batchv1.PodFailurePolicyRule
		pod    *corev1.Pod
		want   string
	}{
		{"no policy", nil, pod("p", failed), "| "},
		{"a code", []batchv1.PodFailurePolicyRule{codes("FailJob", "In", "", 3)}, pod("p", failed), "FailJob|Container c for pod default/p failed with exit code 3 matching FailJob rule at index 0"},
		{"another code", []batchv1.PodFailurePolicyRule{codes("FailJob", "In", "", 4)}, pod("p", failed), "| "},
		{"of another container", []batchv1.PodFailurePolicyRule{codes("FailJob", "In", "d", 3)}, pod("p", failed), "| "},
		{"not a code", []batchv1.PodFailurePolicyRule{codes("Count", "NotIn", "c", 4)}, pod("p", failed), "Count|Container c for pod default/p failed with exit code 3 matching Count rule at index 0"},
		{"success is no failure", []batchv1.PodFailurePolicyRule{codes("Count", "NotIn", "c", 4)}, pod("p", succeeded), "| "},
		{"the first rule counts", []batchv1.PodFailurePolicyRule{disrupted, codes("FailJob", "In", "", 3)}, pod("p", failed, target), "Ignore|Pod default/p has condition DisruptionTarget matching Ignore rule at index 0"},
		{"that matches", []batchv1.PodFailurePolicyRule{disrupted, codes("FailJob", "In", "", 3)}, pod("p", failed), "FailJob|Container c for pod default/p failed with exit code 3 matching FailJob rule at index 1"},
	} {
		v := judge(job(func(j *batchv1.Job) { j.Spec.PodFailurePolicy = &batchv1.PodFailurePolicy{Rules: tc.rules} }), tc.pod)
		if got := strings.TrimSpace(fmt.Sprintf("%s|%s", v.Action, v.Message)); got != strings.TrimSpace(tc.want) {
			t.Errorf("%s: %q, want %q", tc.reason, got, tc.want)
		}
	}
}

func TestBackoffGrowsToTenMinutes(t *testing.T) {
	var got []string
	for n := range 9 {
		got = append(got, delayAfter(n).String())
	}
	if want := "0s 10s 20s 40s 1m20s 2m40s 5m20s 10m0s 10m0s"; strings.Join(got, " ") != want {
		t.Errorf("delays are %v, want %s", got, want)
	}
}

func TestNamesOfIndexes(t *testing.T) {
	j := job(indexed)
	first := nextNameOf(j, 7, nil)
	if !strings.HasPrefix(first, "j-7-") || len(first) != len("j-7-")+5 {
		t.Errorf("the first pod of index 7 is %q", first)
	}
	second := nextNameOf(j, 7, []*corev1.Pod{pod(first)})
	if second == first || nextNameOf(j, 7, []*corev1.Pod{pod(second), pod(first)}) == second {
		t.Errorf("%q is given twice", second)
	}
	if again := nextNameOf(j, 7, nil); again != first {
		t.Errorf("who does not see %q asks for %q", first, again)
	}
	j.Name = strings.Repeat("x", 62)
	if name := nextNameOf(j, 1234, nil); len(name) != 63 || !strings.Contains(name, "-1234-") {
		t.Errorf("a long name is %q", name)
	}
}
