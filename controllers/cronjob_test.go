package controllers

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// newCronJob makes one that is due every minute.
func newCronJob(name string, edits ...func(*batchv1.CronJobSpec)) *batchv1.CronJob {
	c := &batchv1.CronJob{ObjectMeta: meta("default", name), Spec: batchv1.CronJobSpec{
		Schedule: "* * * * *", JobTemplate: batchv1.JobTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"of": name}}, Spec: newJob("").Spec},
	}}
	for _, e := range edits {
		e(&c.Spec)
	}
	return c
}

func concurrency(p batchv1.ConcurrencyPolicy) func(*batchv1.CronJobSpec) {
	return func(s *batchv1.CronJobSpec) { s.ConcurrencyPolicy = p }
}

// minutes lists the minutes that the jobs of a CronJob were due at, since the world began.
func (w *world) minutes(name string) string {
	var all []string
	for _, j := range list[*batchv1.Job](w, "default", "of="+name) {
		due, err := time.Parse(time.RFC3339, j.Annotations[batchv1.CronJobScheduledTimestampAnnotation])
		if err != nil || j.Name != fmt.Sprintf("%s-%d", name, due.Unix()/60) {
			w.Errorf("job %s was due at %v (%v)", j.Name, due, err)
		}
		all = append(all, fmt.Sprint(due.Sub(began).Minutes()))
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// began is when every synctest bubble begins.
var began = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// Conformance "CronJob AllowConcurrent", "ForbidConcurrent", "ReplaceConcurrent", "Suspend".
func TestCronJobConcurrency(t *testing.T) {
	for _, tc := range []struct {
		name, reason string
		spec         func(*batchv1.CronJobSpec)
		ends         func(*corev1.Pod) (int32, bool)
		minutes      string
		active       int
	}{
		{"allow", "several at a time", concurrency(batchv1.AllowConcurrent), nil, "1 2 3", 3},
		{"forbid", "the first still runs", concurrency(batchv1.ForbidConcurrent), nil, "1", 1},
		{"replace", "the last one runs", concurrency(batchv1.ReplaceConcurrent), nil, "3", 1},
		{"forbid what ended", "nothing is in the way", concurrency(batchv1.ForbidConcurrent), succeed, "1 2 3", 0},
		{"suspended", "none", func(s *batchv1.CronJobSpec) { s.Suspend = ptr.To(true) }, nil, "", 0},
		{"history", "one is kept", func(s *batchv1.CronJobSpec) { s.SuccessfulJobsHistoryLimit = ptr.To[int32](1) }, succeed, "3", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Log(tc.reason)
			inWorld(t, 1, nil, func(w *world) {
				w.Machines.Ends = tc.ends
				create(w, newCronJob("c", tc.spec))
				w.Tick(3*time.Minute + 30*time.Second)
				if got := w.minutes("c"); got != tc.minutes {
					t.Errorf("there are jobs of the minutes %q, want %q", got, tc.minutes)
				}
				c := get[*batchv1.CronJob](w, "default", "c")
				if got := len(c.Status.Active); got != tc.active {
					t.Errorf("%d are active, want %d", got, tc.active)
				}
				if last := c.Status.LastScheduleTime; tc.name == "suspended" != (last == nil) || (tc.ends != nil) != (c.Status.LastSuccessfulTime != nil) {
					t.Errorf("the times are %v and %v", last, c.Status.LastSuccessfulTime)
				}
				for _, j := range list[*batchv1.Job](w, "default", "of=c") {
					if !metav1.IsControlledBy(j, c) {
						t.Errorf("job %s is controlled by %v", j.Name, metav1.GetControllerOf(j))
					}
				}
				if tc.name == "forbid" && len(w.Events("JobAlreadyActive")) == 0 {
					t.Error("no event tells why no second job starts")
				}
			})
		})
	}
}

// What `kubectl create job --from=cronjob/c` makes belongs to the CronJob and is none of its runs.
func TestCronJobByHand(t *testing.T) {
	inWorld(t, 1, nil, func(w *world) {
		w.Machines.Ends = succeed
		c := create(w, newCronJob("c", func(s *batchv1.CronJobSpec) { s.Schedule = "@yearly" }))
		j := newJob("by-hand")
		j.Annotations = map[string]string{"cronjob.kubernetes.io/instantiate": "manual"}
		j.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(c, batchv1.SchemeGroupVersion.WithKind("CronJob"))}
		create(w, j)
		w.Tick(20 * time.Second)
		w.expectJob("by-hand", "active 0, succeeded 1, failed 0, [SuccessCriteriaMet/CompletionsReached Complete/CompletionsReached]")
		if s := get[*batchv1.CronJob](w, "default", "c").Status; len(s.Active) > 0 || s.LastScheduleTime != nil || s.LastSuccessfulTime == nil {
			t.Errorf("the status is %+v; the job counts as a success, not as a run", s)
		}
		if e := w.Events("UnexpectedJob"); len(e) > 0 {
			t.Errorf("it was expected: %v", e)
		}
		remove[*batchv1.CronJob](w, "default", "c", metav1.DeletePropagationBackground)
		w.Tick(20 * time.Second)
		if exists[*batchv1.Job](w, "default", "by-hand") || len(w.jobPods("by-hand")) > 0 {
			t.Error("it does not go with the CronJob")
		}
	})
}

// Conformance "Replication Controller, adopt matching pods", "release pods", "scale", lifecycle.
func TestReplicationController(t *testing.T) {
	inWorld(t, 1, nil, func(w *world) {
		orphan := &corev1.Pod{ObjectMeta: meta("default", "orphan"), Spec: template("v1").Spec}
		orphan.Labels = map[string]string{"app": "web"}
		create(w, orphan)
		w.Tick(100 * time.Millisecond)
		rc := create(w, &corev1.ReplicationController{ObjectMeta: meta("default", "web"), Spec: corev1.ReplicationControllerSpec{
			Replicas: ptr.To[int32](2), Template: ptr.To(template("v1")),
		}})
		w.Tick(3 * time.Second)
		if !metav1.IsControlledBy(get[*corev1.Pod](w, "default", "orphan"), rc) {
			t.Error("the orphan is not adopted")
		}
		if s := get[*corev1.ReplicationController](w, "default", "web").Status; s.Replicas != 2 || s.AvailableReplicas != 2 || s.FullyLabeledReplicas != 2 || s.ObservedGeneration != 1 {
			t.Errorf("the status is %+v", s)
		}
		edit(w, "default", "orphan", func(p *corev1.Pod) { p.Labels["app"] = "else" })
		edit(w, "default", "web", func(rc *corev1.ReplicationController) { rc.Spec.Replicas = ptr.To[int32](3) })
		w.Tick(3 * time.Second)
		if ref := metav1.GetControllerOf(get[*corev1.Pod](w, "default", "orphan")); ref != nil {
			t.Errorf("the pod that matches no longer is controlled by %v", ref)
		}
		if got := w.active(); got != 3 {
			t.Errorf("%d pods, want 3", got)
		}
		if e := w.Events("SuccessfulCreate"); len(e) != 3 || !strings.HasPrefix(e[0], "web: Created pod: web-") {
			t.Errorf("events are %q", e)
		}
		remove[*corev1.ReplicationController](w, "default", "web", metav1.DeletePropagationBackground)
		w.Tick(20 * time.Second)
		if got := w.active(); got != 0 {
			t.Errorf("%d pods are left", got)
		}
	})
}

// A namespace takes its jobs along, though they hold their pods.
func TestNamespaceWithJobs(t *testing.T) {
	inWorld(t, 1, nil, func(w *world) {
		create(w, &corev1.Namespace{ObjectMeta: meta("", "team")})
		w.Tick(time.Second)
		j, c := newJob("j", times(5, 2)), newCronJob("c")
		j.Namespace, c.Namespace = "team", "team"
		create(w, j)
		create(w, c)
		w.Tick(2 * time.Minute)
		remove[*corev1.Namespace](w, "", "team", metav1.DeletePropagationBackground)
		w.Tick(30 * time.Second)
		if exists[*corev1.Namespace](w, "", "team") {
			t.Errorf("the namespace is still there: %+v", get[*corev1.Namespace](w, "", "team").Status)
		}
	})
}
