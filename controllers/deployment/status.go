package deployment

import (
	"fmt"
	"math"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Reasons of conditions, as kubectl rollout status and users' scripts know them.
const (
	reasonSetCreated    = "NewReplicaSetCreated"
	reasonSetFound      = "FoundNewReplicaSet"
	reasonSetUpdated    = "ReplicaSetUpdated"
	reasonSetAvailable  = "NewReplicaSetAvailable"
	reasonCreateError   = "ReplicaSetCreateError"
	reasonDeadline      = "ProgressDeadlineExceeded"
	reasonPaused        = "DeploymentPaused"
	reasonResumed       = "DeploymentResumed"
	reasonAborted       = "Aborted"
	reasonAvailable     = "MinimumReplicasAvailable"
	reasonUnavailable   = "MinimumReplicasUnavailable"
	noDeadline          = math.MaxInt32
	availableMessage    = "Deployment has minimum availability."
	unavailableMessage  = "Deployment does not have minimum availability."
	deadlineRecheckOver = time.Second // beyond the deadline, because timestamps have whole seconds
)

// outcome is what became of a plan's creation.
type outcome struct {
	created   string // the new set's name
	err       error
	collision bool // the name was taken by a set with another template
	stage     Stage
}

// newStatus computes the status from the sets as observed and from how the plan ended.
// recheck is the time to the progress deadline, 0 if none runs.
func newStatus(o observed, result outcome) (status appsv1.DeploymentStatus, recheck time.Duration) {
	d := o.Deployment
	status = sum(d, o.Sets)
	if result.collision {
		count := int32(1)
		if d.Status.CollisionCount != nil {
			count += *d.Status.CollisionCount
		}
		status.CollisionCount = &count
	}
	c := conditions{&status, o.Now}
	if status.AvailableReplicas >= minAvailable(d) {
		c.set(appsv1.DeploymentAvailable, corev1.ConditionTrue, reasonAvailable, availableMessage)
	} else {
		c.set(appsv1.DeploymentAvailable, corev1.ConditionFalse, reasonUnavailable, unavailableMessage)
	}
	newest, old := split(d, oldestFirst(o.Sets))
	c.replicaFailure(newest, old)
	c.rollout(result.stage)
	if !hasDeadline(d) {
		c.remove(appsv1.DeploymentProgressing)
		return status, 0
	}
	c.progress(d, newest, result)
	if result.stage.Waiting || result.stage.Reason == reasonAborted {
		return status, 0
	}
	return status, timeToDeadline(d, status, o.Now)
}

// sum adds up the sets' own statuses.
func sum(d *appsv1.Deployment, sets []*appsv1.ReplicaSet) appsv1.DeploymentStatus {
	s := appsv1.DeploymentStatus{
		ObservedGeneration: d.Generation, CollisionCount: d.Status.CollisionCount,
		Conditions: slices.Clone(d.Status.Conditions),
	}
	var wanted, terminating int32
	known := true
	for _, rs := range sets {
		wanted += replicas(rs)
		s.Replicas += rs.Status.Replicas
		s.ReadyReplicas += rs.Status.ReadyReplicas
		s.AvailableReplicas += rs.Status.AvailableReplicas
		if rs.Status.TerminatingReplicas == nil {
			known = false
		} else {
			terminating += *rs.Status.TerminatingReplicas
		}
	}
	if known {
		s.TerminatingReplicas = &terminating
	}
	s.UnavailableReplicas = max(0, wanted-s.AvailableReplicas)
	if newest, _ := split(d, oldestFirst(sets)); newest != nil {
		s.UpdatedReplicas = newest.Status.Replicas
	}
	return s
}

// complete tells whether all pods are of the newest template and available, and no other is left.
func complete(d *appsv1.Deployment, s appsv1.DeploymentStatus) bool {
	want := desired(d)
	return s.UpdatedReplicas == want && s.Replicas == want && s.AvailableReplicas == want && s.ObservedGeneration >= d.Generation
}

// progressing tells whether the rollout got further between two statuses.
func progressing(old, now appsv1.DeploymentStatus) bool {
	return now.UpdatedReplicas > old.UpdatedReplicas || now.Replicas-now.UpdatedReplicas < old.Replicas-old.UpdatedReplicas ||
		now.ReadyReplicas > old.ReadyReplicas || now.AvailableReplicas > old.AvailableReplicas
}

func hasDeadline(d *appsv1.Deployment) bool {
	return d.Spec.ProgressDeadlineSeconds != nil && *d.Spec.ProgressDeadlineSeconds != noDeadline
}

// timeToDeadline returns how long the rollout may still stand still; 0 if no clock runs.
func timeToDeadline(d *appsv1.Deployment, s appsv1.DeploymentStatus, now time.Time) time.Duration {
	c := find(s.Conditions, appsv1.DeploymentProgressing)
	if d.Spec.Paused || d.DeletionTimestamp != nil || c == nil || c.Reason == reasonSetAvailable || c.Reason == reasonDeadline {
		return 0
	}
	deadline := c.LastUpdateTime.Add(time.Duration(*d.Spec.ProgressDeadlineSeconds) * time.Second)
	return max(deadlineRecheckOver, deadline.Sub(now)+deadlineRecheckOver)
}

func timedOut(d *appsv1.Deployment, c *appsv1.DeploymentCondition, now time.Time) bool {
	if c == nil || c.Reason == reasonSetAvailable || d.Spec.Paused {
		return false
	}
	if c.Reason == reasonDeadline {
		return true
	}
	return now.After(c.LastUpdateTime.Add(time.Duration(*d.Spec.ProgressDeadlineSeconds) * time.Second))
}

func find(all []appsv1.DeploymentCondition, t appsv1.DeploymentConditionType) *appsv1.DeploymentCondition {
	for i := range all {
		if all[i].Type == t {
			return &all[i]
		}
	}
	return nil
}

// subject names in a condition's message what moves or does not.
func subject(d *appsv1.Deployment, newest *appsv1.ReplicaSet) string {
	if newest != nil {
		return fmt.Sprintf("ReplicaSet %q", newest.Name)
	}
	return fmt.Sprintf("Deployment %q", d.Name)
}

// conditions edits the conditions of a status at one moment.
type conditions struct {
	status *appsv1.DeploymentStatus
	now    time.Time
}

// set changes a condition unless it says the same already. The transition time is that of
// the last change of True/False/Unknown.
func (c conditions) set(t appsv1.DeploymentConditionType, s corev1.ConditionStatus, reason, message string) {
	if was := find(c.status.Conditions, t); was != nil && was.Status == s && was.Reason == reason {
		return
	}
	c.put(t, s, reason, message)
}

// put changes a condition and its update time in any case.
func (c conditions) put(t appsv1.DeploymentConditionType, s corev1.ConditionStatus, reason, message string) {
	now := metav1.NewTime(c.now)
	condition := appsv1.DeploymentCondition{Type: t, Status: s, Reason: reason, Message: message, LastUpdateTime: now, LastTransitionTime: now}
	was := find(c.status.Conditions, t)
	if was == nil {
		c.status.Conditions = append(c.status.Conditions, condition)
		return
	}
	if was.Status == s {
		condition.LastTransitionTime = was.LastTransitionTime
	}
	*was = condition
}

func (c conditions) remove(t appsv1.DeploymentConditionType) {
	c.status.Conditions = slices.DeleteFunc(c.status.Conditions, func(x appsv1.DeploymentCondition) bool { return x.Type == t })
}

// replicaFailure repeats the first set's failure, the newest set's before the others'.
func (c conditions) replicaFailure(newest *appsv1.ReplicaSet, old []*appsv1.ReplicaSet) {
	if newest != nil {
		old = append([]*appsv1.ReplicaSet{newest}, old...)
	}
	for _, rs := range old {
		for _, x := range rs.Status.Conditions {
			if x.Type == appsv1.ReplicaSetReplicaFailure && x.Status == corev1.ConditionTrue {
				c.set(appsv1.DeploymentReplicaFailure, x.Status, x.Reason, x.Message)
				return
			}
		}
	}
	c.remove(appsv1.DeploymentReplicaFailure)
}

// progress is the story of the rollout in one condition.
func (c conditions) progress(d *appsv1.Deployment, newest *appsv1.ReplicaSet, result outcome) {
	was := find(c.status.Conditions, appsv1.DeploymentProgressing)
	pausedBefore := was != nil && was.Reason == reasonPaused
	done := was != nil && was.Reason == reasonSetAvailable && c.status.Replicas == c.status.UpdatedReplicas
	set := func(s corev1.ConditionStatus, reason, format string, args ...any) {
		c.put(appsv1.DeploymentProgressing, s, reason, fmt.Sprintf(format, args...))
	}
	switch {
	case d.Spec.Paused && (pausedBefore || was != nil && was.Reason == reasonDeadline):
	case d.Spec.Paused:
		set(corev1.ConditionUnknown, reasonPaused, "Deployment is paused")
	case result.created != "":
		set(corev1.ConditionTrue, reasonSetCreated, "Created new replica set %q", result.created)
	case result.err != nil && !result.collision:
		c.set(appsv1.DeploymentProgressing, corev1.ConditionFalse, reasonCreateError, fmt.Sprintf("Failed to create new replica set: %v", result.err))
	case pausedBefore:
		set(corev1.ConditionUnknown, reasonResumed, "Deployment is resumed")
	case was == nil && newest != nil && !complete(d, *c.status):
		set(corev1.ConditionTrue, reasonSetFound, "Found new replica set %q", newest.Name)
	case done:
	case newest != nil && complete(d, *c.status):
		c.set(appsv1.DeploymentProgressing, corev1.ConditionTrue, reasonSetAvailable, subject(d, newest)+" has successfully progressed.")
	case progressing(d.Status, *c.status):
		set(corev1.ConditionTrue, reasonSetUpdated, "%s is progressing.", subject(d, newest))
	case result.stage.Reason == reasonAborted: // by the one reason at which kubectl stops waiting
		c.set(appsv1.DeploymentProgressing, corev1.ConditionFalse, reasonDeadline, result.stage.Message)
	case result.stage.Waiting: // nothing is to move
	case timedOut(d, was, c.now):
		c.set(appsv1.DeploymentProgressing, corev1.ConditionFalse, reasonDeadline, subject(d, newest)+" has timed out progressing.")
	}
}
