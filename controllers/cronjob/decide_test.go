package cronjob

import (
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
)

var noon = time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)

// tick is a CronJob that was made an hour before noon, for every ten minutes.
func tick(edits ...func(*batchv1.CronJob)) *batchv1.CronJob {
	c := &batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "tick", UID: "c", CreationTimestamp: metav1.NewTime(noon.Add(-time.Hour))},
		Spec: batchv1.CronJobSpec{Schedule: "*/10 * * * *", TimeZone: ptr.To("Etc/UTC"), ConcurrencyPolicy: batchv1.AllowConcurrent,
			SuccessfulJobsHistoryLimit: ptr.To[int32](1), FailedJobsHistoryLimit: ptr.To[int32](0)},
	}
	for _, e := range edits {
		e(c)
	}
	return c
}

func last(before time.Duration) func(*batchv1.CronJob) {
	return func(c *batchv1.CronJob) { c.Status.LastScheduleTime = ptr.To(metav1.NewTime(noon.Add(-before))) }
}

func active(names ...string) func(*batchv1.CronJob) {
	return func(c *batchv1.CronJob) {
		for _, n := range names {
			c.Status.Active = append(c.Status.Active, corev1.ObjectReference{Name: n, UID: types.UID(n)})
		}
	}
}

func policy(p batchv1.ConcurrencyPolicy) func(*batchv1.CronJob) {
	return func(c *batchv1.CronJob) { c.Spec.ConcurrencyPolicy = p }
}

// job is one that ended as condition says, or that still runs.
func job(name string, condition batchv1.JobConditionType, annotations ...string) *batchv1.Job {
	j := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), Annotations: map[string]string{}}}
	if condition != "" {
		j.Status.Conditions = []batchv1.JobCondition{{Type: condition, Status: corev1.ConditionTrue}}
	}
	for i := 0; i < len(annotations); i += 2 {
		j.Annotations[annotations[i]] = annotations[i+1]
	}
	return j
}

func TestDecide(t *testing.T) {
	const due = "create tick-29552400" // minutes from 1970 to noon
	cases := []struct {
		reason  string
		cronJob *batchv1.CronJob
		jobs    []*batchv1.Job
		late    time.Duration // after noon
		want    string
	}{
		{"the last of the missed times", tick(), nil, 0, "0 active, " + due},
		{"not twice", tick(last(0)), nil, 5 * time.Minute, "0 active"},
		{"not early", tick(last(10 * time.Minute)), nil, -time.Second, "0 active"},
		{"suspended", tick(last(time.Hour), func(c *batchv1.CronJob) { c.Spec.Suspend = ptr.To(true) }), nil, 0, "0 active"},
		{"too late to start", tick(func(c *batchv1.CronJob) { c.Spec.StartingDeadlineSeconds = ptr.To[int64](60) }), nil, 2 * time.Minute, "0 active"},
		{"late, and early enough", tick(func(c *batchv1.CronJob) { c.Spec.StartingDeadlineSeconds = ptr.To[int64](60) }), nil, 30 * time.Second, "0 active, " + due},
		{"a day was missed", tick(last(24 * time.Hour)), nil, 0, "0 active, " + due + ", TooManyMissedTimes"},
		{"one still runs", tick(last(10*time.Minute), active("a"), policy(batchv1.ForbidConcurrent)), []*batchv1.Job{job("a", "")}, 0, "1 active, JobAlreadyActive"},
		{"one has ended just now", tick(last(10*time.Minute), active("a"), policy(batchv1.ForbidConcurrent)), []*batchv1.Job{job("a", batchv1.JobComplete)}, 0, "0 active, " + due + ", SawCompletedJob"},
		{"the new one is more important", tick(last(10*time.Minute), active("a"), policy(batchv1.ReplaceConcurrent)), []*batchv1.Job{job("a", "")}, 0, "0 active, replace a, " + due},
		{"old ones go", tick(last(0)), []*batchv1.Job{job("a", batchv1.JobComplete), job("b", batchv1.JobComplete), job("c", batchv1.JobFailed)}, 0, "0 active, trim a, trim c"},
		{"made before a crash and not written down", tick(last(10 * time.Minute)), []*batchv1.Job{job("a", "", batchv1.CronJobScheduledTimestampAnnotation, "2026-03-10T12:00:00Z")}, time.Minute, "1 active"},
		{"made by hand", tick(last(0)), []*batchv1.Job{job("a", "", instantiated, "manual")}, 0, "0 active"},
		{"made by a stranger", tick(last(0)), []*batchv1.Job{job("a", "")}, 0, "0 active, UnexpectedJob"},
		{"gone", tick(last(0), active("a")), nil, 0, "0 active, MissingJob"},
		{"unknown zone", tick(func(c *batchv1.CronJob) { c.Spec.TimeZone = ptr.To("Mars/Olympus") }), nil, 0, "0 active, UnknownTimeZone"},
		{"unreadable", tick(func(c *batchv1.CronJob) { c.Spec.Schedule = "sometimes" }), nil, 0, "0 active, UnparseableSchedule"},
		{"never", tick(func(c *batchv1.CronJob) { c.Spec.Schedule = "0 0 30 2 *" }), nil, 0, "0 active, InvalidSchedule"},
	}
	for _, tc := range cases {
		t.Run(tc.reason, func(t *testing.T) {
			got := decide(observed{CronJob: tc.cronJob, Jobs: tc.jobs, Confirmed: true, Now: noon.Add(tc.late)})
			if got.String() != tc.want {
				t.Errorf("decide = %s, want %s", got, tc.want)
			}
			if runs := !strings.Contains(tc.want, "Un") && !strings.Contains(tc.want, "Invalid") && tc.reason != "suspended"; runs && (got.After <= 0 || got.After > 10*time.Minute) {
				t.Errorf("look again in %v", got.After)
			}
		})
	}
}

func TestMissingJobsAreConfirmed(t *testing.T) {
	got := decide(observed{CronJob: tick(last(0), active("a")), Now: noon})
	if len(got.Missing) != 1 || got.String() != "1 active" {
		t.Errorf("decide = %s, missing %v; want that a is looked for", got, got.Missing)
	}
}

// A schedule is about the clock of its zone, also over the change to summer time.
func TestTimeZones(t *testing.T) {
	for _, tc := range []struct{ zone, after, want string }{
		{"Etc/UTC", "2026-03-28T12:00:00Z", "2026-03-29T05:30:00Z"},
		{"Europe/Rome", "2026-03-27T12:00:00Z", "2026-03-28T04:30:00Z"},
		{"Europe/Rome", "2026-03-28T12:00:00Z", "2026-03-29T03:30:00Z"},
		{"America/New_York", "2026-03-27T12:00:00Z", "2026-03-28T09:30:00Z"},
	} {
		c := tick(func(c *batchv1.CronJob) { c.Spec.Schedule, c.Spec.TimeZone = "30 5 * * *", &tc.zone })
		times, zone, bad := timetable(c)
		if bad != nil {
			t.Fatal(bad)
		}
		after, err := time.Parse(time.RFC3339, tc.after)
		if err != nil {
			t.Fatal(err)
		}
		due := times.Next(after)
		if got := due.UTC().Format(time.RFC3339); got != tc.want {
			t.Errorf("after %s, 5:30 in %s is at %s, want %s", tc.after, tc.zone, got, tc.want)
		}
		if at := newJob(c, due, zone).Annotations[batchv1.CronJobScheduledTimestampAnnotation]; !strings.Contains(at, "T05:30:00") {
			t.Errorf("the job was due at %s, want in its zone", at)
		}
	}
}

// A controller that was away for years must not count every minute of them.
func TestLongAbsence(t *testing.T) {
	times, err := parse("* * * * *")
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	due, missed := lastDue(times, noon.AddDate(-20, 0, 0), noon.Add(30*time.Second))
	if !due.Equal(noon) || missed <= tooMany {
		t.Errorf("the last of %d was at %v, want noon", missed, due)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("it took %v", took)
	}
}
