package api

import (
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// JobCondition returns the condition of the given type, or nil. It points into s.
func JobCondition(s *batchv1.JobStatus, typ batchv1.JobConditionType) *batchv1.JobCondition {
	for i := range s.Conditions {
		if s.Conditions[i].Type == typ {
			return &s.Conditions[i]
		}
	}
	return nil
}

// JobConditionTrue tells whether a condition is there and true.
func JobConditionTrue(s *batchv1.JobStatus, typ batchv1.JobConditionType) bool {
	c := JobCondition(s, typ)
	return c != nil && c.Status == corev1.ConditionTrue
}

// IsJobFinished tells whether the job is complete or failed for good.
func IsJobFinished(j *batchv1.Job) bool {
	return JobConditionTrue(&j.Status, batchv1.JobComplete) || JobConditionTrue(&j.Status, batchv1.JobFailed)
}
