package deployment

import (
	"errors"
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// said gives a Deployment the Progressing condition of an earlier reconcile, and counts.
func said(reason string, ago time.Duration, updated, total, available int32) func(*appsv1.Deployment) {
	return func(d *appsv1.Deployment) {
		at := metav1.NewTime(now.Add(-ago))
		d.Status.Conditions = []appsv1.DeploymentCondition{{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: reason, LastUpdateTime: at, LastTransitionTime: at}}
		d.Status.UpdatedReplicas, d.Status.Replicas, d.Status.ReadyReplicas, d.Status.AvailableReplicas = updated, total, available, available
	}
}

func TestProgressing(t *testing.T) {
	cases := []struct {
		reason string
		d      *appsv1.Deployment
		sets   []*appsv1.ReplicaSet
		result outcome
		want   string
	}{
		{"a set was created", deploy(2, "v1"), nil, outcome{created: "web-v1"}, `True NewReplicaSetCreated Created new replica set "web-v1"`},
		{"a set could not be created", deploy(2, "v1"), nil, outcome{err: errors.New("no")}, `False ReplicaSetCreateError Failed to create new replica set: no`},
		{"a set was there before", deploy(2, "v1"), []*appsv1.ReplicaSet{rs("v1", 1, 2, 1, 0)}, outcome{}, `True FoundNewReplicaSet Found new replica set "web-v1"`},
		{"more pods than before", deploy(2, "v1", said(reasonSetCreated, time.Minute, 0, 0, 0)), []*appsv1.ReplicaSet{rs("v1", 1, 2, 1, 0)}, outcome{}, `True ReplicaSetUpdated ReplicaSet "web-v1" is progressing.`},
		{"fewer old pods than before", deploy(2, "v2", said(reasonSetUpdated, time.Minute, 1, 3, 2)), []*appsv1.ReplicaSet{rs("v1", 1, 1, 1, 1), rs("v2", 2, 1, 1, 0)}, outcome{}, `True ReplicaSetUpdated ReplicaSet "web-v2" is progressing.`},
		{"all are there", deploy(2, "v1", said(reasonSetUpdated, time.Minute, 2, 2, 1)), []*appsv1.ReplicaSet{rs("v1", 1, 2, 2, 2)}, outcome{}, `True NewReplicaSetAvailable ReplicaSet "web-v1" has successfully progressed.`},
		{"nothing moved for too long", deploy(2, "v1", said(reasonSetUpdated, 601*time.Second, 2, 2, 1)), []*appsv1.ReplicaSet{rs("v1", 1, 2, 2, 1)}, outcome{}, `False ProgressDeadlineExceeded ReplicaSet "web-v1" has timed out progressing.`},
		{"nothing moved, not for too long", deploy(2, "v1", said(reasonSetUpdated, 599*time.Second, 2, 2, 1)), []*appsv1.ReplicaSet{rs("v1", 1, 2, 2, 1)}, outcome{}, `True ReplicaSetUpdated `},
		{"done once: a pod that fails later is no lack of progress", deploy(2, "v1", said(reasonSetAvailable, time.Hour, 2, 2, 2)), []*appsv1.ReplicaSet{rs("v1", 1, 2, 2, 1)}, outcome{}, `True NewReplicaSetAvailable `},
		{"pausing", deploy(2, "v1", paused, said(reasonSetUpdated, time.Hour, 2, 2, 1)), []*appsv1.ReplicaSet{rs("v1", 1, 2, 2, 1)}, outcome{}, `Unknown DeploymentPaused Deployment is paused`},
		{"resuming", deploy(2, "v1", said(reasonPaused, time.Hour, 2, 2, 1)), []*appsv1.ReplicaSet{rs("v1", 1, 2, 2, 1)}, outcome{}, `Unknown DeploymentResumed Deployment is resumed`},
		{"a rollout by steps that was given up", deploy(2, "v1", said(reasonSetUpdated, time.Second, 2, 2, 1)), []*appsv1.ReplicaSet{rs("v1", 1, 2, 2, 1)}, outcome{stage: Stage{Reason: reasonAborted, Message: "given up by hand"}}, `False ProgressDeadlineExceeded given up by hand`},
		{"a rollout that timed out stays so while paused", deploy(2, "v1", paused, said(reasonDeadline, time.Hour, 2, 2, 1)), []*appsv1.ReplicaSet{rs("v1", 1, 2, 2, 1)}, outcome{}, `True ProgressDeadlineExceeded `},
		{"no deadline, no condition", deploy(2, "v1", func(d *appsv1.Deployment) { d.Spec.ProgressDeadlineSeconds = ptr.To(int32(noDeadline)) }, said(reasonSetUpdated, time.Hour, 2, 2, 1)), []*appsv1.ReplicaSet{rs("v1", 1, 2, 2, 1)}, outcome{}, "none"},
	}
	for _, tc := range cases {
		t.Run(tc.reason, func(t *testing.T) {
			status, _ := newStatus(observed{Deployment: tc.d, Sets: tc.sets, Now: now}, tc.result)
			got := "none"
			if c := find(status.Conditions, appsv1.DeploymentProgressing); c != nil {
				got = fmt.Sprintf("%s %s %s", c.Status, c.Reason, c.Message)
			}
			if got != tc.want {
				t.Errorf("Progressing is\n%s, want\n%s", got, tc.want)
			}
		})
	}
}

func TestStatusNumbers(t *testing.T) {
	failing := rs("v2", 2, 3, 1, 0)
	failing.Status.Conditions = []appsv1.ReplicaSetCondition{{Type: appsv1.ReplicaSetReplicaFailure, Status: corev1.ConditionTrue, Reason: "FailedCreate", Message: "quota"}}
	d := deploy(4, "v2", rolling("1", "1"))
	s, _ := newStatus(observed{Deployment: d, Sets: []*appsv1.ReplicaSet{terminating(rs("v1", 1, 3, 3, 3)), failing}, Now: now}, outcome{})
	got := fmt.Sprintf("replicas %d updated %d ready %d available %d unavailable %d terminating %d", s.Replicas, s.UpdatedReplicas, s.ReadyReplicas, s.AvailableReplicas, s.UnavailableReplicas, *s.TerminatingReplicas)
	if want := "replicas 4 updated 1 ready 3 available 3 unavailable 3 terminating 1"; got != want {
		t.Errorf("status is\n%s, want\n%s", got, want)
	}
	if c := find(s.Conditions, appsv1.DeploymentAvailable); c.Status != corev1.ConditionTrue || c.Reason != "MinimumReplicasAvailable" {
		t.Errorf("Available is %v, want True: 3 of at least 3", c)
	}
	if c := find(s.Conditions, appsv1.DeploymentReplicaFailure); c == nil || c.Message != "quota" {
		t.Errorf("ReplicaFailure is %v, want the set's", c)
	}
}

func TestDeadlineIsAwaited(t *testing.T) {
	d := deploy(2, "v1", said(reasonSetUpdated, 10*time.Second, 2, 2, 1))
	if _, after := newStatus(observed{Deployment: d, Sets: []*appsv1.ReplicaSet{rs("v1", 1, 2, 2, 1)}, Now: now}, outcome{}); after != 591*time.Second {
		t.Errorf("recheck after %v, want 591s", after)
	}
}

func TestCollisionIsCounted(t *testing.T) {
	d := deploy(2, "v1")
	d.Status.CollisionCount = ptr.To(int32(2))
	s, _ := newStatus(observed{Deployment: d, Now: now}, outcome{collision: true, err: errors.New("taken")})
	if *s.CollisionCount != 3 {
		t.Errorf("collisionCount is %d, want 3", *s.CollisionCount)
	}
}
