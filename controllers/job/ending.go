package job

import (
	"fmt"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/pkg/api"
)

// ending tells whether the job is about to end: its remaining pods go.
func (t *tally) ending() bool { return t.hasEnd() }

// startOrSuspend keeps the time since which the job runs, and the Suspended condition.
func (t *tally) startOrSuspend(plan *Plan) {
	j := t.o.Job
	now := metav1.NewTime(t.o.Now.Truncate(time.Second))
	if t.hasEnd() || j.DeletionTimestamp != nil {
		return
	}
	if ptr.Deref(j.Spec.Suspend, false) {
		if t.o.Settled && t.set(batchv1.JobSuspended, corev1.ConditionTrue, "JobSuspended", "Job suspended") {
			plan.Events = append(plan.Events, Happening{corev1.EventTypeNormal, "Suspended", "Job suspended"})
		}
		t.status.StartTime = nil
		return
	}
	if t.resume() {
		plan.Events = append(plan.Events, Happening{corev1.EventTypeNormal, "Resumed", "Job resumed"})
		t.status.StartTime = &now // the deadline counts from now
	}
	if t.status.StartTime == nil {
		t.status.StartTime = &now
	}
}

func (t *tally) resume() bool {
	return api.JobConditionTrue(&t.status, batchv1.JobSuspended) &&
		t.set(batchv1.JobSuspended, corev1.ConditionFalse, "JobResumed", "Job resumed")
}

// set writes a condition and reports whether that changed its status.
func (t *tally) set(typ batchv1.JobConditionType, status corev1.ConditionStatus, reason, message string) bool {
	now := metav1.NewTime(t.o.Now.Truncate(time.Second))
	c := api.JobCondition(&t.status, typ)
	if c == nil {
		t.status.Conditions = append(t.status.Conditions, batchv1.JobCondition{Type: typ})
		c = &t.status.Conditions[len(t.status.Conditions)-1]
	} else if c.Status == status {
		return false
	}
	*c = batchv1.JobCondition{Type: typ, Status: status, Reason: reason, Message: message, LastProbeTime: now, LastTransitionTime: now}
	return true
}

// findEnd notes in a condition that the job is about to end, and why. The first reason stays.
func (t *tally) findEnd(plan *Plan) {
	if t.hasEnd() || t.o.Job.DeletionTimestamp != nil {
		return
	}
	if reason, message := t.failure(plan); reason != "" {
		t.set(batchv1.JobFailureTarget, corev1.ConditionTrue, reason, message)
		return
	}
	if reason, message := t.success(); reason != "" {
		t.set(batchv1.JobSuccessCriteriaMet, corev1.ConditionTrue, reason, message)
	}
}

// failure says why the job has failed; empty: it has not.
func (t *tally) failure(plan *Plan) (reason, message string) {
	s := &t.o.Job.Spec
	suspended := ptr.Deref(s.Suspend, false)
	if t.failJob != "" {
		return batchv1.JobReasonPodFailurePolicy, t.failJob
	}
	if t.failed > int(ptr.Deref(s.BackoffLimit, 6)) || t.restartsExceeded() {
		return batchv1.JobReasonBackoffLimitExceeded, "Job has reached the specified backoff limit"
	}
	if d := s.ActiveDeadlineSeconds; d != nil && !suspended && t.status.StartTime != nil {
		left := t.status.StartTime.Add(time.Duration(*d) * time.Second).Sub(t.o.Now)
		if left <= 0 {
			return batchv1.JobReasonDeadlineExceeded, "Job was active longer than specified deadline"
		}
		plan.wakeAfter(left)
	}
	lost := t.failedIndexes.Len()
	switch {
	case s.MaxFailedIndexes != nil && lost > int(*s.MaxFailedIndexes):
		return batchv1.JobReasonMaxFailedIndexesExceeded, "Job has exceeded the specified maximal number of failed indexes"
	case lost > 0 && lost+t.completed.Len() >= t.completions():
		if ruleMet, _ := t.successRule(); !ruleMet {
			return batchv1.JobReasonFailedIndexes, "Job has failed indexes"
		}
	}
	return "", ""
}

// restartsExceeded counts the restarts of containers where those are how a pod tries again.
func (t *tally) restartsExceeded() bool {
	j := t.o.Job
	if j.Spec.Template.Spec.RestartPolicy != corev1.RestartPolicyOnFailure {
		return false
	}
	restarts, limit := int32(0), ptr.Deref(j.Spec.BackoffLimit, 6)
	for _, p := range t.o.Pods {
		if p.Status.Phase == corev1.PodRunning || p.Status.Phase == corev1.PodPending {
			for _, s := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
				restarts += s.RestartCount
			}
		}
	}
	if limit == 0 {
		return restarts > 0
	}
	return restarts >= limit
}

// success says why the job has succeeded; empty: it has not. Pods that are not needed any more
// for it still have to end.
func (t *tally) success() (reason, message string) {
	s := &t.o.Job.Spec
	if met, rule := t.successRule(); met {
		return batchv1.JobReasonSuccessPolicy, fmt.Sprintf("Matched rules at index %d", rule)
	}
	if ptr.Deref(s.Suspend, false) && len(t.live) > 0 || !t.o.Settled {
		return "", ""
	}
	enough := s.Completions == nil && t.succeeded > 0 || s.Completions != nil && t.succeeded >= int(*s.Completions)
	if enough && len(t.live) == 0 {
		return batchv1.JobReasonCompletionsReached, "Reached expected number of succeeded pods"
	}
	return "", ""
}

// successRule finds the first rule of the success policy that holds.
func (t *tally) successRule() (met bool, index int) {
	if t.o.Job.Spec.SuccessPolicy == nil {
		return false, 0
	}
	for i, r := range t.o.Job.Spec.SuccessPolicy.Rules {
		relevant, need := t.completed, 0
		if r.SucceededIndexes != nil {
			wanted := parse(*r.SucceededIndexes)
			relevant, need = t.completed.Intersect(wanted), wanted.Len()
		}
		if r.SucceededCount != nil {
			need = int(*r.SucceededCount)
		}
		if relevant.Len() >= need {
			return true, i
		}
	}
	return false, 0
}

// finish writes the last condition when every pod has ended and is counted.
func (t *tally) finish(plan *Plan) {
	if !t.hasEnd() || t.waiting || len(t.live) > 0 || t.terminating > 0 || !t.o.Settled {
		return
	}
	if c := api.JobCondition(&t.status, batchv1.JobSuccessCriteriaMet); c != nil && c.Status == corev1.ConditionTrue {
		t.set(batchv1.JobComplete, corev1.ConditionTrue, c.Reason, c.Message)
		now := metav1.NewTime(t.o.Now.Truncate(time.Second))
		t.status.CompletionTime = &now
		plan.Events = append(plan.Events, Happening{corev1.EventTypeNormal, "Completed", "Job completed"})
	} else {
		c := api.JobCondition(&t.status, batchv1.JobFailureTarget)
		t.set(batchv1.JobFailed, corev1.ConditionTrue, c.Reason, c.Message)
		plan.Events = append(plan.Events, Happening{corev1.EventTypeWarning, c.Reason, c.Message})
	}
	t.status.UncountedTerminatedPods = &batchv1.UncountedTerminatedPods{}
	plan.After = 0
	if ttl := t.o.Job.Spec.TTLSecondsAfterFinished; ttl != nil {
		plan.After = time.Duration(*ttl) * time.Second
	}
}
