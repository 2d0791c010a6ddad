package cronjob

import (
	"fmt"
	"time"

	"github.com/robfig/cron/v3"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// tooMany missed times are told: the schedule is behind by more than it should ever be.
const tooMany = 100

// timetable reads the schedule in its zone, or tells why it cannot.
func timetable(cj *batchv1.CronJob) (cron.Schedule, *time.Location, *Happening) {
	zone := time.Local
	if name := cj.Spec.TimeZone; name != nil {
		loaded, err := time.LoadLocation(*name)
		if err != nil {
			return nil, nil, &Happening{corev1.EventTypeWarning, "UnknownTimeZone", fmt.Sprintf("invalid timeZone: %q: %v", *name, err)}
		}
		zone = loaded
	}
	times, err := parse(cj.Spec.Schedule)
	if err != nil {
		return nil, nil, &Happening{corev1.EventTypeWarning, "UnparseableSchedule", fmt.Sprintf("unparseable schedule: %q : %v", cj.Spec.Schedule, err)}
	}
	if spec, ok := times.(*cron.SpecSchedule); ok && cj.Spec.TimeZone != nil {
		spec.Location = zone
	}
	if times.Next(cj.CreationTimestamp.Time).IsZero() {
		return nil, nil, &Happening{corev1.EventTypeWarning, "InvalidSchedule", fmt.Sprintf("invalid schedule: %q never comes true", cj.Spec.Schedule)}
	}
	return times, zone, nil
}

// parse reads a schedule. The parser panics on some that are wrong.
func parse(text string) (s cron.Schedule, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	return cron.ParseStandard(text)
}

// earliest is the time after which starts are looked for: the last one, or the CronJob's own
// beginning, but no longer ago than a start may be late.
func earliest(cj *batchv1.CronJob, now time.Time) time.Time {
	from := cj.CreationTimestamp.Time
	if last := cj.Status.LastScheduleTime; last != nil {
		from = last.Time
	}
	if d := cj.Spec.StartingDeadlineSeconds; d != nil {
		if limit := now.Add(-time.Duration(*d) * time.Second); limit.After(from) {
			from = limit
		}
	}
	return from
}

// lastDue returns the last time after from and not after now, zero if there is none, and how many there
// are, counted to just beyond tooMany.
func lastDue(times cron.Schedule, from, now time.Time) (due time.Time, count int) {
	for t := times.Next(from); !t.IsZero() && !t.After(now); t = times.Next(t) {
		due = t
		if count++; count > tooMany {
			break
		}
	}
	if count <= tooMany {
		return due, count
	}
	// Look back from now, further and further, rather than walk over years of minutes.
	for back := time.Minute; ; back *= 2 {
		t := times.Next(now.Add(-back))
		if t.IsZero() || t.After(now) {
			continue
		}
		for ; !t.IsZero() && !t.After(now); t = times.Next(t) {
			due = t
		}
		return due, count
	}
}
