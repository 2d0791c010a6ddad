package batch

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/apiserver/registry/kindtest"
)

const jobTemplate = "template: {spec: {restartPolicy: Never, containers: [{name: c, image: demo:1}]}}"

// job reads a job as the API server would store a new one.
func job(t testing.TB, spec string) *batchv1.Job {
	t.Helper()
	j := kindtest.From[batchv1.Job](t, "metadata: {name: pi, namespace: default, uid: u-1}\nspec: {"+spec+"}")
	defaultJob(j)
	prepareJobCreate(j)
	return j
}

func TestDefaultJob(t *testing.T) {
	for _, c := range []struct{ name, spec, want, reason string }{
		{"nothing", "", "{parallelism: 1, completions: 1, backoffLimit: 6, completionMode: NonIndexed, suspend: false, manualSelector: false, podReplacementPolicy: TerminatingOrFailed}",
			"one pod, once"},
		{"queue", "parallelism: 3", "{parallelism: 3, backoffLimit: 6, completionMode: NonIndexed, suspend: false, manualSelector: false, podReplacementPolicy: TerminatingOrFailed}",
			"a work queue: completions stay open"},
		{"per index", "completions: 3, backoffLimitPerIndex: 1", "{parallelism: 1, completions: 3, backoffLimitPerIndex: 1, backoffLimit: 2147483647, completionMode: NonIndexed, " +
			"suspend: false, manualSelector: false, podReplacementPolicy: TerminatingOrFailed}", "the limit of each index counts"},
		{"policy", "podFailurePolicy: {rules: [{action: Ignore, onPodConditions: [{type: DisruptionTarget}]}]}", "{parallelism: 1, completions: 1, backoffLimit: 6, " +
			"completionMode: NonIndexed, suspend: false, manualSelector: false, podReplacementPolicy: Failed, podFailurePolicy: {rules: [{action: Ignore, onPodConditions: [{type: DisruptionTarget, status: 'True'}]}]}}",
			"a policy looks at how a pod ended, so it is waited for"},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := kindtest.From[batchv1.Job](t, "spec: {"+c.spec+"}")
			defaultJob(j)
			want := kindtest.From[batchv1.JobSpec](t, c.want)
			want.Template = j.Spec.Template
			if diff := cmp.Diff(*want, j.Spec); diff != "" {
				t.Errorf("%s:\n%s", c.reason, diff)
			}
		})
	}
}

func TestJobGeneratesItsSelector(t *testing.T) {
	j := job(t, jobTemplate)
	want := map[string]string{"controller-uid": "u-1", "batch.kubernetes.io/controller-uid": "u-1", "job-name": "pi", "batch.kubernetes.io/job-name": "pi"}
	if diff := cmp.Diff(want, j.Spec.Template.Labels); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(&metav1.LabelSelector{MatchLabels: map[string]string{"batch.kubernetes.io/controller-uid": "u-1"}}, j.Spec.Selector); diff != "" {
		t.Error(diff)
	}
	manual := job(t, "manualSelector: true, selector: {matchLabels: {a: b}}, "+strings.Replace(jobTemplate, "{spec", "{metadata: {labels: {a: b}}, spec", 1))
	if len(manual.Spec.Template.Labels) != 1 || len(manual.Spec.Selector.MatchLabels) != 1 {
		t.Errorf("a manual selector became %v of %v", manual.Spec.Selector, manual.Spec.Template.Labels)
	}
	kindtest.WantErrors(t, validateJob(manual))
}

func TestValidateJob(t *testing.T) {
	const indexed = "completionMode: Indexed, completions: 3, " + jobTemplate
	many := strings.Repeat("{action: Count, onExitCodes: {operator: In, values: [1]}},", 21)
	for _, c := range []struct {
		name, spec, reason string
		want               []string
	}{
		{"good", jobTemplate, "the usual", nil},
		{"indexed", indexed, "the usual with numbers", nil},
		{"negative", "parallelism: -1, completions: -1, backoffLimit: -1, activeDeadlineSeconds: -1, ttlSecondsAfterFinished: -1, " + jobTemplate, "less than nothing",
			[]string{"spec.parallelism: Invalid value: -1", "spec.completions: Invalid", "spec.backoffLimit: Invalid", "spec.activeDeadlineSeconds: Invalid", "spec.ttlSecondsAfterFinished: Invalid"}},
		{"restart", "template: {spec: {containers: [{name: c, image: demo:1}]}}", "Always, the default, never ends",
			[]string{`spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"`}},
		{"foreign selector", "selector: {matchLabels: {a: b}}, " + jobTemplate, "selectors are made here", []string{"spec.template.metadata.labels: Invalid value", "spec.selector: Invalid value"}},
		{"foreign UID", "template: {metadata: {labels: {controller-uid: other}}, spec: {restartPolicy: Never, containers: [{name: c, image: demo:1}]}}", "a template of another job",
			[]string{"spec.template.metadata.labels[controller-uid]: Invalid value: \"other\": must be 'u-1'"}},
		{"manual without selector", "manualSelector: true, " + jobTemplate, "somebody must choose", []string{"spec.selector: Required value"}},
		{"mode", "completionMode: Sorted, " + jobTemplate, "two are known", []string{"spec.completionMode: Unsupported value"}},
		{"indexed without completions", "completionMode: Indexed, parallelism: 2, " + jobTemplate, "how many indexes?", []string{"spec.completions: Required value: when completion mode is Indexed"}},
		{"wide", "completionMode: Indexed, completions: 200000, parallelism: 100001, " + jobTemplate, "the list of indexes must fit",
			[]string{"spec.parallelism: Invalid value: 100001: must be less than or equal to 100000 when completion mode is Indexed"}},
		{"per index of none", "backoffLimitPerIndex: 1, maxFailedIndexes: 1, " + jobTemplate, "there is no index",
			[]string{"spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode", "spec.maxFailedIndexes: Invalid value: 1: requires indexed"}},
		{"max without limit", "maxFailedIndexes: 1, " + indexed, "no index would ever fail", []string{"spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified"}},
		{"max above all", "backoffLimitPerIndex: 1, maxFailedIndexes: 4, " + indexed, "there are only three", []string{"spec.maxFailedIndexes: Invalid value: 4: must be less than or equal to completions"}},
		{"many indexes", "backoffLimitPerIndex: 1, completionMode: Indexed, completions: 100001, parallelism: 10001, " + jobTemplate, "the list of failures must fit",
			[]string{"spec.maxFailedIndexes: Required value", "spec.parallelism: Invalid value: 10001"}},
		{"managed", "managedBy: nobody, " + jobTemplate, "a domain and a path", []string{"spec.managedBy: Invalid value"}},
		{"long managed", "managedBy: example.com/" + strings.Repeat("x", 60) + ", " + jobTemplate, "63 characters", []string{"spec.managedBy: Too long"}},
		{"replacement", "podReplacementPolicy: Never, " + jobTemplate, "two are known", []string{"spec.podReplacementPolicy: Unsupported value"}},
		{"replacement with policy", "podReplacementPolicy: TerminatingOrFailed, podFailurePolicy: {rules: []}, " + jobTemplate, "how a pod ended is known when it has",
			[]string{`spec.podReplacementPolicy: Unsupported value: "TerminatingOrFailed": supported values: "Failed"`}},
		{"policy with restarts", "podFailurePolicy: {rules: []}, template: {spec: {restartPolicy: OnFailure, containers: [{name: c, image: demo:1}]}}", "containers that restart do not fail their pod",
			[]string{`spec.template.spec.restartPolicy: Invalid value: "OnFailure": only "Never" is supported when podFailurePolicy is specified`}},
		{"rules", "podFailurePolicy: {rules: [" + many + "]}, " + jobTemplate, "twenty", []string{"spec.podFailurePolicy.rules: Too many: 21: must have at most 20 items"}},
		{"both", "podFailurePolicy: {rules: [{action: Count, onExitCodes: {operator: In, values: [1]}, onPodConditions: [{type: A}]}]}, " + jobTemplate, "either",
			[]string{"specifying both OnExitCodes and OnPodConditions is not supported"}},
		{"neither", "podFailurePolicy: {rules: [{action: Count}]}, " + jobTemplate, "or", []string{"specifying one of OnExitCodes and OnPodConditions is required"}},
		{"fail index", "podFailurePolicy: {rules: [{action: FailIndex, onExitCodes: {operator: In, values: [1]}}]}, " + jobTemplate, "which has to have a limit",
			[]string{"requires the backoffLimitPerIndex to be set"}},
		{"codes", "podFailurePolicy: {rules: [{action: Panic, onExitCodes: {containerName: other, operator: In, values: [3, 0, 3]}}]}, " + jobTemplate, "in order, once, failures",
			[]string{"action: Unsupported value", "containerName: Invalid value", "values[1]: Invalid value: 0: must not be 0 for the In operator", "values[2]: Duplicate value", "must be ordered"}},
		{"no codes", "podFailurePolicy: {rules: [{action: Count, onExitCodes: {operator: Near, values: []}}]}, " + jobTemplate, "at least one", []string{"operator: Unsupported value", "at least one value is required"}},
		{"conditions", "podFailurePolicy: {rules: [{action: Count, onPodConditions: [{type: 'a b', status: Perhaps}]}]}, " + jobTemplate, "as pods have them",
			[]string{"onPodConditions[0].type: Invalid value", "onPodConditions[0].status: Unsupported value"}},
		{"success of none", "successPolicy: {rules: [{succeededCount: 1}]}, " + jobTemplate, "which index?", []string{"spec.successPolicy: Invalid value"}},
		{"success", "successPolicy: {rules: [{succeededIndexes: '0,2', succeededCount: 2}]}, " + indexed, "leaders first", nil},
		{"no success", "successPolicy: {rules: []}, " + indexed, "then it is none", []string{"spec.successPolicy.rules: Required value"}},
		{"bad success", "successPolicy: {rules: [{}, {succeededIndexes: '3'}, {succeededCount: 4}, {succeededIndexes: '0', succeededCount: 2}, {succeededCount: 0}]}, " + indexed, "it could never come",
			[]string{"rules[0]: Required value", "rules[1].succeededIndexes: Invalid value: \"3\": error parsing succeededIndexes: too large index", "rules[2].succeededCount: Invalid value: 4",
				"rules[3].succeededCount: Invalid value: 2: must be less than or equal to 1", "rules[4].succeededCount: Invalid value: 0"}},
		{"scheduling", "scheduling: {}, " + jobTemplate, "nothing here reads it, so it is not accepted", []string{"spec.scheduling: Forbidden"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Log(c.reason)
			kindtest.WantErrors(t, validateJob(job(t, c.spec)), c.want...)
		})
	}
	long := job(t, indexed)
	long.Name = strings.Repeat("x", 62)
	if errs := validateJob(long); !strings.Contains(errs.ToAggregate().Error(), "metadata.name") {
		t.Errorf("the hostname of an index may be too long: %v", errs)
	}
}

// The fields that are documented as immutable, and those that a suspended job may change.
func TestUpdateJob(t *testing.T) {
	const spec = "completionMode: Indexed, completions: 3, parallelism: 3, suspend: true, backoffLimitPerIndex: 1, " + jobTemplate
	selector := func(j *batchv1.Job) { j.Spec.Template.Spec.NodeSelector = map[string]string{"zone": "a"} }
	for _, c := range []struct {
		name, reason string
		old          func(*batchv1.Job)
		change       func(*batchv1.Job)
		want         []string
	}{
		{"parallelism", "the speed may change", nil, func(j *batchv1.Job) { j.Spec.Parallelism = ptr.To[int32](1) }, nil},
		{"elastic", "both together", nil, func(j *batchv1.Job) { j.Spec.Parallelism, j.Spec.Completions = ptr.To[int32](2), ptr.To[int32](2) }, nil},
		{"completions", "not alone", nil, func(j *batchv1.Job) { j.Spec.Completions = ptr.To[int32](2) },
			[]string{"spec.completions: Invalid value: 2: can only be modified in tandem with spec.parallelism"}},
		{"placement of a suspended job", "a queue decides later", nil, selector, nil},
		{"resources of a suspended job", "and how much", nil, func(j *batchv1.Job) {
			j.Spec.Template.Spec.Containers[0].Resources.Requests = corev1.ResourceList{}
			j.Spec.Template.Labels["more"] = "x"
		}, nil},
		{"affinity of a suspended job", "the node's only", nil, func(j *batchv1.Job) {
			j.Spec.Template.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{}}
		}, nil},
		{"image", "what runs stays", nil, func(j *batchv1.Job) { j.Spec.Template.Spec.Containers[0].Image = "other" }, []string{"spec.template: Invalid value"}},
		{"placement of a running job", "its pods are where they are", func(j *batchv1.Job) { j.Spec.Suspend = ptr.To(false) }, selector, []string{"spec.template: Invalid value"}},
		{"placement while pods end", "some still run", func(j *batchv1.Job) { j.Status.Active = 1 }, selector, []string{"spec.template: Invalid value"}},
		{"the rest", "what is counted must not move", nil, func(j *batchv1.Job) {
			j.Spec.Selector = nil
			j.Spec.CompletionMode = nil
			j.Spec.BackoffLimitPerIndex = nil
			j.Spec.ManagedBy = ptr.To("example.com/x")
			j.Spec.PodFailurePolicy = &batchv1.PodFailurePolicy{}
			j.Spec.SuccessPolicy = &batchv1.SuccessPolicy{}
		}, []string{"spec.selector: Invalid", "spec.completionMode: Invalid", "spec.backoffLimitPerIndex: Invalid", "spec.managedBy: Invalid", "spec.podFailurePolicy: Invalid", "spec.successPolicy: Invalid"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Log(c.reason)
			old := job(t, spec)
			if c.old != nil {
				c.old(old)
			}
			j := old.DeepCopy()
			c.change(j)
			kindtest.WantErrors(t, validateJobUpdate(j, old), c.want...)
			prepareJobUpdate(j, old)
			if j.Generation != 2 {
				t.Errorf("a changed job is at generation %d", j.Generation)
			}
		})
	}
}

func TestJobStatus(t *testing.T) {
	const spec = "completionMode: Indexed, completions: 3, backoffLimitPerIndex: 1, " + jobTemplate
	for _, c := range []struct {
		name, old, status, reason string
		want                      []string
	}{
		{"running", "{}", "{active: 2, ready: 1, startTime: '2026-01-01T00:00:00Z', completedIndexes: '0', succeeded: 1, uncountedTerminatedPods: {failed: [a]}}", "the usual", nil},
		{"a stranger's condition", "{}", "{conditions: [{type: Mine, status: 'True'}]}", "others may add theirs", nil},
		{"counts", "{}", "{active: -1, ready: 2}", "of nothing nothing is ready", []string{"status.active: Invalid", "status.ready: Invalid"}},
		{"indexes", "{}", "{completedIndexes: '0-5', failedIndexes: 'x'}", "as documented", []string{"status.completedIndexes: Invalid", "status.failedIndexes: Invalid"}},
		{"overlap", "{}", "{completedIndexes: '0,1', failedIndexes: '1'}", "either", []string{"failedIndexes and completedIndexes overlap"}},
		{"counted twice", "{}", "{uncountedTerminatedPods: {failed: [a], succeeded: [a, '']}}", "a pod ends once", []string{"Duplicate value: \"a\"", "must not be empty"}},
		{"both ends", "{}", "{completionTime: '2026-01-01T00:00:00Z', conditions: [{type: Complete, status: 'True'}, {type: Failed, status: 'True'}]}", "either", []string{"cannot set Complete=True and Failed=true conditions"}},
		{"complete", "{}", "{active: 1, terminating: 1, conditions: [{type: Complete, status: 'True'}]}", "then nothing runs and the time is known",
			[]string{"status.active: Invalid", "status.terminating: Invalid", "status.completionTime: Required"}},
		{"time without end", "{}", "{completionTime: '2026-01-01T00:00:00Z'}", "not yet", []string{"status.completionTime: Invalid"}},
		{"backwards", "{failed: 2, conditions: [{type: FailureTarget, status: 'True'}], startTime: '2026-01-01T00:00:00Z'}", "{failed: 1, startTime: '2026-01-02T00:00:00Z'}", "what has happened has happened",
			[]string{"cannot decrease the failed counter", "cannot disable the terminal FailureTarget=True condition", "startTime cannot be modified for unsuspended job"}},
		{"leftover", "{}", "{completionTime: '2026-01-01T00:00:00Z', conditions: [{type: Complete, status: 'True'}], uncountedTerminatedPods: {failed: [a]}}", "all are counted in the end",
			[]string{"uncountedTerminatedPods needs to be empty for finished job"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Log(c.reason)
			old := job(t, spec)
			old.Status = *kindtest.From[batchv1.JobStatus](t, c.old)
			j := old.DeepCopy()
			j.Status = *kindtest.From[batchv1.JobStatus](t, c.status)
			kindtest.WantErrors(t, validateJobStatusUpdate(j, old), c.want...)
		})
	}
}

func TestJobColumns(t *testing.T) {
	now := time.Date(2026, 1, 1, 1, 0, 0, 0, time.UTC)
	for _, c := range []struct{ reason, spec, status, want string }{
		{"new", jobTemplate, "{}", "pi | Running | 0/1 |  | 60m"},
		{"running", "completions: 5, " + jobTemplate, "{succeeded: 2, startTime: '2026-01-01T00:59:00Z'}", "pi | Running | 2/5 | 60s | 60m"},
		{"queue", "parallelism: 3, " + jobTemplate, "{}", "pi | Running | 0/1 of 3 |  | 60m"},
		{"complete", jobTemplate, "{succeeded: 1, startTime: '2026-01-01T00:30:00Z', completionTime: '2026-01-01T00:30:09Z', conditions: [{type: SuccessCriteriaMet, status: 'True'}, {type: Complete, status: 'True'}]}",
			"pi | Complete | 1/1 | 9s | 60m"},
		{"failing", jobTemplate, "{conditions: [{type: FailureTarget, status: 'True'}]}", "pi | FailureTarget | 0/1 |  | 60m"},
		{"suspended", jobTemplate, "{conditions: [{type: Suspended, status: 'True'}]}", "pi | Suspended | 0/1 |  | 60m"},
	} {
		j := job(t, c.spec)
		j.CreationTimestamp = metav1.NewTime(now.Add(-time.Hour))
		j.Status = *kindtest.From[batchv1.JobStatus](t, c.status)
		if got := kindtest.Row(jobColumns(), j, now, false); got != c.want {
			t.Errorf("%s: %q, want %q", c.reason, got, c.want)
		}
	}
}

const cronTemplate = "jobTemplate: {spec: {" + jobTemplate + "}}"

func cronJob(t testing.TB, spec string) *batchv1.CronJob {
	t.Helper()
	c := kindtest.From[batchv1.CronJob](t, "metadata: {name: tick, namespace: default}\nspec: {"+spec+"}")
	defaultCronJob(c)
	return c
}

func TestCronJob(t *testing.T) {
	const hourly = "schedule: '@hourly', "
	for _, c := range []struct {
		name, spec, reason string
		want               []string
	}{
		{"good", "schedule: '*/5 * * * mon-fri', timeZone: Europe/Rome, " + cronTemplate, "the usual", nil},
		{"macro", hourly + cronTemplate, "cron's macros", nil},
		{"none", cronTemplate, "when?", []string{"spec.schedule: Required value"}},
		{"seconds", "schedule: '* * * * * *', " + cronTemplate, "five fields", []string{"spec.schedule: Invalid value"}},
		{"zone in schedule", "schedule: 'TZ=UTC 1 * * * *', " + cronTemplate, "it has a field", []string{"cannot use TZ or CRON_TZ in schedule, use timeZone field instead"}},
		{"zone", hourly + "timeZone: Mars/Olympus, " + cronTemplate, "of this world", []string{"spec.timeZone: Invalid value: \"Mars/Olympus\": unknown time zone Mars/Olympus"}},
		{"no zone", hourly + "timeZone: '', " + cronTemplate, "nil or a zone", []string{"timeZone must be nil or non-empty string"}},
		{"here", hourly + "timeZone: local, " + cronTemplate, "where is here?", []string{"must be an explicit time zone"}},
		{"numbers", hourly + "startingDeadlineSeconds: -1, successfulJobsHistoryLimit: -1, failedJobsHistoryLimit: -1, concurrencyPolicy: Perhaps, " + cronTemplate, "less than nothing",
			[]string{"spec.startingDeadlineSeconds: Invalid", "spec.successfulJobsHistoryLimit: Invalid", "spec.failedJobsHistoryLimit: Invalid", "spec.concurrencyPolicy: Unsupported value"}},
		{"template", hourly + "jobTemplate: {spec: {manualSelector: true, selector: {matchLabels: {a: b}}, backoffLimit: -1, " + jobTemplate + "}}", "each job gets its own selector",
			[]string{"spec.jobTemplate.spec.selector: Invalid value", "spec.jobTemplate.spec.manualSelector: Unsupported value: true", "spec.jobTemplate.spec.backoffLimit: Invalid value"}},
		{"panic", "schedule: '*/0 * * * *', " + cronTemplate, "what the parser makes of it is an error", []string{"spec.schedule: Invalid value"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Log(c.reason)
			kindtest.WantErrors(t, validateCronJob(cronJob(t, c.spec)), c.want...)
		})
	}
	c := cronJob(t, hourly+cronTemplate)
	if s := c.Spec; s.ConcurrencyPolicy != batchv1.AllowConcurrent || *s.Suspend || *s.SuccessfulJobsHistoryLimit != 3 || *s.FailedJobsHistoryLimit != 1 || s.JobTemplate.Spec.BackoffLimit != nil {
		t.Errorf("defaults are %+v", s)
	}
	c.Name = strings.Repeat("x", 53)
	kindtest.WantErrors(t, validateCronJob(c), "must be no more than 52 characters")
}

func TestCronJobColumns(t *testing.T) {
	now := time.Date(2026, 1, 1, 1, 0, 0, 0, time.UTC)
	c := cronJob(t, "schedule: '@hourly', "+cronTemplate)
	c.CreationTimestamp = metav1.NewTime(now.Add(-time.Hour))
	if got, want := kindtest.Row(cronJobColumns(), c, now, true), "tick | @hourly | <none> | False | 0 | <none> | 60m | c | demo:1 | <none>"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	c.Spec.TimeZone, c.Spec.Suspend = ptr.To("Etc/UTC"), ptr.To(true)
	c.Status.Active = []corev1.ObjectReference{{}}
	c.Status.LastScheduleTime = ptr.To(metav1.NewTime(now.Add(-time.Minute)))
	if got, want := kindtest.Row(cronJobColumns(), c, now, false), "tick | @hourly | Etc/UTC | True | 1 | 60s | 60m"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestBatchWarnings(t *testing.T) {
	j := job(t, "completionMode: Indexed, completions: 100001, parallelism: 10001, "+jobTemplate)
	j.Name = "pi.v1"
	if got := strings.Join(warnJob(j, nil, false), "\n"); !strings.Contains(got, "a DNS label is recommended") || !strings.Contains(got, "might not be able to track completedIndexes") {
		t.Errorf("warnings are %q", got)
	}
	c := cronJob(t, "schedule: '@hourly', "+cronTemplate)
	if got := warnCronJob(c, nil, false); len(got) > 0 {
		t.Errorf("warnings are %q", got)
	}
	if ptr.Deref(job(t, "backoffLimitPerIndex: 1").Spec.BackoffLimit, 0) != math.MaxInt32 {
		t.Error("the limit of each index is beside one for all")
	}
}
