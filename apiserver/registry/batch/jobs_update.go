package batch

import (
	"math"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/pkg/api"
)

func validateJobUpdate(j, old *batchv1.Job) field.ErrorList {
	path := field.NewPath("spec")
	var errs field.ErrorList
	same := func(name string, is, was any) {
		errs = append(errs, validation.ValidateImmutableField(is, was, path.Child(name))...)
	}
	errs = append(errs, validateCompletionsUpdate(&j.Spec, &old.Spec, path.Child("completions"))...)
	same("selector", j.Spec.Selector, old.Spec.Selector)
	same("completionMode", j.Spec.CompletionMode, old.Spec.CompletionMode)
	same("podFailurePolicy", j.Spec.PodFailurePolicy, old.Spec.PodFailurePolicy)
	same("backoffLimitPerIndex", j.Spec.BackoffLimitPerIndex, old.Spec.BackoffLimitPerIndex)
	same("managedBy", j.Spec.ManagedBy, old.Spec.ManagedBy)
	same("successPolicy", j.Spec.SuccessPolicy, old.Spec.SuccessPolicy)
	template := j.Spec.Template.DeepCopy()
	if mayBeRedirected(old) {
		undoDirectives(template, &old.Spec.Template)
	}
	same("template", *template, old.Spec.Template)
	return errs
}

// validateCompletionsUpdate lets an indexed job grow and shrink if its parallelism does so too.
func validateCompletionsUpdate(is, was *batchv1.JobSpec, path *field.Path) field.ErrorList {
	if equality.Semantic.DeepEqual(is.Completions, was.Completions) {
		return nil
	}
	if !isIndexed(is) || is.Completions == nil || was.Completions == nil {
		return validation.ValidateImmutableField(is.Completions, was.Completions, path)
	}
	if ptr.Deref(is.Parallelism, -1) != *is.Completions {
		return field.ErrorList{field.Invalid(path, *is.Completions, "can only be modified in tandem with spec.parallelism")}
	}
	return nil
}

// mayBeRedirected tells whether a job's pods may still be sent elsewhere: it is suspended,
// and none of them runs.
func mayBeRedirected(old *batchv1.Job) bool {
	return ptr.Deref(old.Spec.Suspend, false) && old.Status.StartTime == nil && old.Status.Active == 0
}

// undoDirectives puts the old values of what may change in a suspended job into t: where
// its pods go and what they ask for.
func undoDirectives(t, old *corev1.PodTemplateSpec) {
	t.Labels, t.Annotations = old.Labels, old.Annotations
	t.Spec.NodeSelector = old.Spec.NodeSelector
	t.Spec.Tolerations = old.Spec.Tolerations
	t.Spec.SchedulingGates = old.Spec.SchedulingGates
	var was *corev1.NodeAffinity
	if old.Spec.Affinity != nil {
		was = old.Spec.Affinity.NodeAffinity
	}
	switch {
	case t.Spec.Affinity != nil:
		t.Spec.Affinity.NodeAffinity = was
		if old.Spec.Affinity == nil && *t.Spec.Affinity == (corev1.Affinity{}) {
			t.Spec.Affinity = nil
		}
	case was != nil:
		t.Spec.Affinity = &corev1.Affinity{NodeAffinity: was}
	}
	undoResources(t.Spec.Containers, old.Spec.Containers)
	undoResources(t.Spec.InitContainers, old.Spec.InitContainers)
}

func undoResources(is, was []corev1.Container) {
	for i := range min(len(is), len(was)) {
		is[i].Resources = was[i].Resources
	}
}

// validateJobStatusUpdate refuses a status that contradicts itself, the spec or the one before.
func validateJobStatusUpdate(j, old *batchv1.Job) field.ErrorList {
	errs := validateJobCounts(j)
	errs = append(errs, validateJobIndexes(j)...)
	errs = append(errs, validateUncounted(&j.Status)...)
	errs = append(errs, validateJobEnd(j)...)
	return append(errs, validateJobStatusChange(j, old)...)
}

func validateJobCounts(j *batchv1.Job) field.ErrorList {
	path, s := field.NewPath("status"), &j.Status
	var errs field.ErrorList
	for _, n := range []struct {
		name  string
		value int32
	}{
		{"active", s.Active}, {"succeeded", s.Succeeded}, {"failed", s.Failed},
		{"ready", ptr.Deref(s.Ready, 0)}, {"terminating", ptr.Deref(s.Terminating, 0)},
	} {
		errs = append(errs, kind.NotNegative(n.value, path.Child(n.name))...)
	}
	if n := ptr.Deref(s.Ready, 0); n > s.Active {
		errs = append(errs, field.Invalid(path.Child("ready"), n, "cannot set more ready pods than active"))
	}
	if c := j.Spec.Completions; c != nil && isIndexed(&j.Spec) && s.Succeeded > *c {
		errs = append(errs, field.Invalid(path.Child("succeeded"), s.Succeeded, "cannot be greater than the number of completions"))
	}
	return errs
}

func validateJobIndexes(j *batchv1.Job) field.ErrorList {
	path, s, limit := field.NewPath("status"), &j.Status, int(ptr.Deref(j.Spec.Completions, math.MaxInt32))
	var errs field.ErrorList
	completed, err := api.ParseIndexes(s.CompletedIndexes, limit)
	at := path.Child("completedIndexes")
	switch {
	case s.CompletedIndexes != "" && !isIndexed(&j.Spec):
		errs = append(errs, field.Invalid(at, s.CompletedIndexes, "cannot set non-empty completedIndexes when non-indexed completion mode"))
	case err != nil:
		errs = append(errs, field.Invalid(at, s.CompletedIndexes, "error parsing completedIndexes: "+err.Error()))
	}
	if s.FailedIndexes == nil {
		return errs
	}
	at = path.Child("failedIndexes")
	failed, err := api.ParseIndexes(*s.FailedIndexes, limit)
	switch {
	case j.Spec.BackoffLimitPerIndex == nil:
		errs = append(errs, field.Invalid(at, *s.FailedIndexes, "cannot set non-null failedIndexes when backoffLimitPerIndex is null"))
	case err != nil:
		errs = append(errs, field.Invalid(at, *s.FailedIndexes, "error parsing failedIndexes: "+err.Error()))
	case failed.Intersect(completed).Len() > 0:
		errs = append(errs, field.Invalid(at, *s.FailedIndexes, "failedIndexes and completedIndexes overlap"))
	}
	return errs
}

func validateUncounted(s *batchv1.JobStatus) field.ErrorList {
	if s.UncountedTerminatedPods == nil {
		return nil
	}
	path := field.NewPath("status", "uncountedTerminatedPods")
	var errs field.ErrorList
	seen := map[types.UID]bool{}
	for _, list := range []struct {
		name string
		uids []types.UID
	}{{"succeeded", s.UncountedTerminatedPods.Succeeded}, {"failed", s.UncountedTerminatedPods.Failed}} {
		for i, uid := range list.uids {
			at := path.Child(list.name).Index(i)
			switch {
			case uid == "":
				errs = append(errs, field.Invalid(at, uid, "must not be empty"))
			case seen[uid]:
				errs = append(errs, field.Duplicate(at, uid))
			}
			seen[uid] = true
		}
	}
	if len(seen) > 0 && (jobCondition(s, batchv1.JobComplete) || jobCondition(s, batchv1.JobFailed)) {
		errs = append(errs, field.Invalid(path, "", "uncountedTerminatedPods needs to be empty for finished job"))
	}
	return errs
}

func jobCondition(s *batchv1.JobStatus, typ batchv1.JobConditionType) bool {
	return api.JobConditionTrue(s, typ)
}

// validateJobEnd checks the conditions that say how a job ends, and the times.
func validateJobEnd(j *batchv1.Job) field.ErrorList {
	path, s := field.NewPath("status"), &j.Status
	var errs field.ErrorList
	complete, failed := jobCondition(s, batchv1.JobComplete), jobCondition(s, batchv1.JobFailed)
	conditions := path.Child("conditions")
	contradict := func(a, b batchv1.JobConditionType) {
		if jobCondition(s, a) && jobCondition(s, b) {
			errs = append(errs, field.Invalid(conditions, field.OmitValueType{}, "cannot set "+string(a)+"=True and "+string(b)+"=true conditions"))
		}
	}
	contradict(batchv1.JobComplete, batchv1.JobFailed)
	contradict(batchv1.JobComplete, batchv1.JobFailureTarget)
	contradict(batchv1.JobSuccessCriteriaMet, batchv1.JobFailed)
	contradict(batchv1.JobSuccessCriteriaMet, batchv1.JobFailureTarget)
	if (complete || failed) && s.Active > 0 {
		errs = append(errs, field.Invalid(path.Child("active"), s.Active, "active>0 is invalid for finished job"))
	}
	if n := ptr.Deref(s.Terminating, 0); (complete || failed) && n > 0 {
		errs = append(errs, field.Invalid(path.Child("terminating"), n, "terminating>0 is invalid for finished job"))
	}
	at := path.Child("completionTime")
	switch {
	case complete && s.CompletionTime == nil:
		errs = append(errs, field.Required(at, "completionTime is required for Complete jobs"))
	case !complete && s.CompletionTime != nil:
		errs = append(errs, field.Invalid(at, s.CompletionTime, "cannot set completionTime when there is no Complete=True condition"))
	case complete && s.StartTime != nil && s.CompletionTime.Before(s.StartTime):
		errs = append(errs, field.Invalid(at, s.CompletionTime, "completionTime cannot be set before startTime"))
	}
	return errs
}

// validateJobStatusChange checks what may only go one way.
func validateJobStatusChange(j, old *batchv1.Job) field.ErrorList {
	path, is, was := field.NewPath("status"), &j.Status, &old.Status
	var errs field.ErrorList
	if is.Failed < was.Failed {
		errs = append(errs, field.Invalid(path.Child("failed"), is.Failed, "cannot decrease the failed counter"))
	}
	if is.Succeeded < was.Succeeded && !isIndexed(&j.Spec) {
		errs = append(errs, field.Invalid(path.Child("succeeded"), is.Succeeded, "cannot decrease the succeeded counter"))
	}
	for _, final := range []batchv1.JobConditionType{batchv1.JobComplete, batchv1.JobFailed, batchv1.JobFailureTarget, batchv1.JobSuccessCriteriaMet} {
		if jobCondition(was, final) && !jobCondition(is, final) {
			errs = append(errs, field.Invalid(path.Child("conditions"), field.OmitValueType{}, "cannot disable the terminal "+string(final)+"=True condition"))
		}
	}
	if was.CompletionTime != nil && !was.CompletionTime.Equal(is.CompletionTime) {
		errs = append(errs, field.Invalid(path.Child("completionTime"), is.CompletionTime, "completionTime cannot be mutated"))
	}
	startTime, suspended := path.Child("startTime"), ptr.Deref(j.Spec.Suspend, false)
	if was.StartTime != nil && !was.StartTime.Equal(is.StartTime) {
		switch {
		case api.IsJobFinished(old):
			errs = append(errs, field.Required(startTime, "startTime cannot be changed for finished job"))
		case is.StartTime == nil && !suspended:
			errs = append(errs, field.Required(startTime, "startTime cannot be removed for unsuspended job"))
		case is.StartTime != nil && !suspended && !jobCondition(was, batchv1.JobSuspended):
			errs = append(errs, field.Required(startTime, "startTime cannot be modified for unsuspended job"))
		}
	}
	return errs
}
