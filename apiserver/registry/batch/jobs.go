package batch

import (
	"fmt"
	"maps"
	"math"
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/apiserver/alike"
	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/registry/podspec"
	"github.com/miniorch/miniorch/apiserver/resource"
	"github.com/miniorch/miniorch/pkg/api"
)

func jobs() resource.Descriptor {
	return kind.Describe(kind.Of[*batchv1.Job]{
		Singular:            "job",
		Categories:          []string{"all"},
		New:                 func() *batchv1.Job { return &batchv1.Job{} },
		NewList:             func() runtime.Object { return &batchv1.JobList{} },
		Defaults:            defaultJob,
		PrepareCreate:       prepareJobCreate,
		PrepareUpdate:       prepareJobUpdate,
		Validate:            validateJob,
		ValidateUpdate:      validateJobUpdate,
		Warnings:            warnJob,
		UnconditionalUpdate: true,
		Propagation:         metav1.DeletePropagationOrphan,
		DeleteWarning: "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them " +
			"or set propagationPolicy=Orphan to suppress this warning",
		FieldNames: []string{"status.successful"},
		Fields: func(j *batchv1.Job) fields.Set {
			return fields.Set{"status.successful": strconv.Itoa(int(j.Status.Succeeded))}
		},
		Columns: jobColumns(),
		Subresources: []resource.Subresource{
			kind.StatusOf(func(j, old *batchv1.Job) { j.Spec = old.Spec }, validateJobStatusUpdate),
		},
	})
}

func jobColumns() []kind.Column[*batchv1.Job] {
	columns := []kind.Column[*batchv1.Job]{
		kind.NameColumn[*batchv1.Job](),
		kind.TextColumn("Status", "How the job stands.", jobState),
		kind.TextColumn("Completions", "How many pods have succeeded, of how many.", jobCompletions),
		{Name: "Duration", Type: "string", Description: "How long the job took, or has been running.", Value: func(j *batchv1.Job, now time.Time) any {
			switch start, end := j.Status.StartTime, j.Status.CompletionTime; {
			case start == nil:
				return ""
			case end == nil:
				return duration.HumanDuration(now.Sub(start.Time))
			default:
				return duration.HumanDuration(end.Sub(start.Time))
			}
		}},
		kind.AgeColumn[*batchv1.Job](),
	}
	return append(columns, podspec.WorkloadColumns(
		func(j *batchv1.Job) *corev1.PodTemplateSpec { return &j.Spec.Template },
		func(j *batchv1.Job) *metav1.LabelSelector { return j.Spec.Selector })...)
}

// jobState is the one word for a job: that of the first of these conditions that is true.
func jobState(j *batchv1.Job) string {
	for _, c := range []batchv1.JobConditionType{batchv1.JobComplete, batchv1.JobFailed} {
		if api.JobConditionTrue(&j.Status, c) {
			return string(c)
		}
	}
	switch {
	case j.DeletionTimestamp != nil:
		return "Terminating"
	case api.JobConditionTrue(&j.Status, batchv1.JobSuspended):
		return "Suspended"
	case api.JobConditionTrue(&j.Status, batchv1.JobFailureTarget):
		return string(batchv1.JobFailureTarget)
	case api.JobConditionTrue(&j.Status, batchv1.JobSuccessCriteriaMet):
		return string(batchv1.JobSuccessCriteriaMet)
	}
	return "Running"
}

func jobCompletions(j *batchv1.Job) string {
	switch parallel := ptr.Deref(j.Spec.Parallelism, 0); {
	case j.Spec.Completions != nil:
		return fmt.Sprintf("%d/%d", j.Status.Succeeded, *j.Spec.Completions)
	case parallel > 1:
		return fmt.Sprintf("%d/1 of %d", j.Status.Succeeded, parallel)
	}
	return fmt.Sprintf("%d/1", j.Status.Succeeded)
}

func defaultJob(j *batchv1.Job) {
	s := &j.Spec
	if s.Parallelism == nil && s.Completions == nil {
		s.Completions = ptr.To[int32](1)
	}
	kind.SetDefault(&s.Parallelism, 1)
	if s.BackoffLimitPerIndex != nil {
		kind.SetDefault(&s.BackoffLimit, math.MaxInt32)
	}
	kind.SetDefault(&s.BackoffLimit, 6)
	kind.SetDefault(&s.CompletionMode, batchv1.NonIndexedCompletion)
	kind.SetDefault(&s.Suspend, false)
	kind.SetDefault(&s.ManualSelector, false)
	replace := batchv1.TerminatingOrFailed
	if s.PodFailurePolicy != nil {
		replace = batchv1.Failed
	}
	kind.SetDefault(&s.PodReplacementPolicy, replace)
	if len(j.Labels) == 0 {
		j.Labels = maps.Clone(s.Template.Labels)
	}
	defaultJobTemplate(s)
}

// defaultJobTemplate fills what the templates of Jobs and CronJobs have in common.
func defaultJobTemplate(s *batchv1.JobSpec) {
	if s.PodFailurePolicy != nil {
		for _, rule := range s.PodFailurePolicy.Rules {
			for i := range rule.OnPodConditions {
				if status := &rule.OnPodConditions[i].Status; *status == "" {
					*status = corev1.ConditionTrue
				}
			}
		}
	}
	podspec.DefaultPodSpec(&s.Template.Spec)
}

func prepareJobCreate(j *batchv1.Job) {
	j.Status = batchv1.JobStatus{}
	j.Generation = 1
	if !ptr.Deref(j.Spec.ManualSelector, false) {
		generateSelector(j)
	}
	if len(j.Labels) == 0 {
		j.Labels = maps.Clone(j.Spec.Template.Labels)
	}
}

func prepareJobUpdate(j, old *batchv1.Job) {
	j.Status = old.Status
	j.Generation = old.Generation
	if !alike.Equal(&j.Spec, &old.Spec) {
		j.Generation++
	}
}

// Labels that a Job had before they got a prefix; both are written.
const (
	oldControllerUIDLabel = "controller-uid"
	oldJobNameLabel       = "job-name"
)

// jobLabels are the labels that tell a job's pods from all others'.
func jobLabels(name string, uid types.UID) map[string]string {
	return map[string]string{
		oldJobNameLabel: name, batchv1.JobNameLabel: name,
		oldControllerUIDLabel: string(uid), batchv1.ControllerUidLabel: string(uid),
	}
}

// generateSelector makes the job select its own pods by its UID. What a client wrote stays, for validation to see.
func generateSelector(j *batchv1.Job) {
	t := &j.Spec.Template
	labels := maps.Clone(t.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	for key, value := range jobLabels(j.Name, j.UID) {
		if _, there := labels[key]; !there {
			labels[key] = value
		}
	}
	t.Labels = labels
	selector := j.Spec.Selector.DeepCopy()
	if selector == nil {
		selector = &metav1.LabelSelector{}
	}
	if selector.MatchLabels == nil {
		selector.MatchLabels = map[string]string{}
	}
	if _, there := selector.MatchLabels[batchv1.ControllerUidLabel]; !there {
		selector.MatchLabels[batchv1.ControllerUidLabel] = string(j.UID)
	}
	j.Spec.Selector = selector
}
