package cronjob

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/controllers/ownership"
	"github.com/miniorch/miniorch/pkg/api"
)

// Happening is an event to be recorded.
type Happening struct{ Type, Reason, Message string }

// Plan is what is to be done about one CronJob, in this order.
type Plan struct {
	Replace []*batchv1.Job // running jobs that make way for the new one
	Create  *batchv1.Job
	Due     time.Time                // when Create was due
	Status  batchv1.CronJobStatus    // without Create
	Write   bool                     // the status differs from the stored one
	Trim    []*batchv1.Job           // old finished jobs
	Missing []corev1.ObjectReference // active jobs that are not in view
	Events  []Happening
	After   time.Duration // when to look again
}

// Empty tells whether there is nothing to write.
func (p Plan) Empty() bool {
	return p.Create == nil && !p.Write && len(p.Replace)+len(p.Trim) == 0
}

// removes is how many jobs go.
func (p Plan) removes() int { return len(p.Replace) + len(p.Trim) }

// String prints the plan.
func (p Plan) String() string {
	s := fmt.Sprintf("%d active", len(p.Status.Active))
	for _, j := range p.Replace {
		s += ", replace " + j.Name
	}
	if p.Create != nil {
		s += ", create " + p.Create.Name
	}
	for _, j := range p.Trim {
		s += ", trim " + j.Name
	}
	for _, e := range p.Events {
		s += ", " + e.Reason
	}
	return s
}

// observed is what is decided from.
type observed struct {
	CronJob   *batchv1.CronJob
	Jobs      []*batchv1.Job // all that it controls
	Confirmed bool           // active jobs that are not among Jobs do not exist
	Now       time.Time
}

// decide finds what is due and what is over.
func decide(o observed) Plan {
	plan := Plan{Status: *o.CronJob.Status.DeepCopy()}
	review(o, &plan)
	if o.CronJob.DeletionTimestamp == nil {
		plan.Trim = surplus(o)
		schedule(o, &plan)
	}
	plan.Write = plan.Create != nil || !equality.Semantic.DeepEqual(plan.Status, o.CronJob.Status)
	return plan
}

// review compares the list of active jobs with what there is.
func review(o observed, plan *Plan) {
	known, there := map[types.UID]bool{}, map[types.UID]bool{}
	for _, ref := range plan.Status.Active {
		known[ref.UID] = true
	}
	for _, j := range o.Jobs {
		there[j.UID] = true
		over := api.IsJobFinished(j)
		if done, last := j.Status.CompletionTime, plan.Status.LastSuccessfulTime; done != nil && (last == nil || last.Before(done)) {
			plan.Status.LastSuccessfulTime = done.DeepCopy()
		}
		switch {
		case over && known[j.UID]:
			plan.drop(j.UID)
			plan.event(corev1.EventTypeNormal, "SawCompletedJob", "Saw completed job: %s, condition: %s", j.Name, endOf(j))
		case !over && !known[j.UID]:
			readopt(j, plan)
		}
	}
	for _, ref := range slices.Clone(plan.Status.Active) {
		switch {
		case there[ref.UID]:
		case o.Confirmed:
			plan.drop(ref.UID)
			plan.event(corev1.EventTypeNormal, "MissingJob", "Active job went missing: %s", ref.Name)
		default:
			plan.Missing = append(plan.Missing, ref)
		}
	}
}

// readopt takes a running job back into the list that was made here, but not written down
// before whoever made it was stopped. One that a user made of the template stays out of it.
func readopt(j *batchv1.Job, plan *Plan) {
	due, err := time.Parse(time.RFC3339, j.Annotations[batchv1.CronJobScheduledTimestampAnnotation])
	if err != nil {
		if j.Annotations[instantiated] == "" {
			plan.event(corev1.EventTypeWarning, "UnexpectedJob", "Saw a job that the controller did not create or forgot: %s", j.Name)
		}
		return
	}
	plan.Status.Active = append(plan.Status.Active, referenceTo(j))
	if last := plan.Status.LastScheduleTime; last == nil || last.Time.Before(due) {
		plan.Status.LastScheduleTime = ptr.To(metav1.NewTime(due))
	}
}

// instantiated is on jobs that `kubectl create job --from=cronjob/x` makes.
const instantiated = "cronjob.kubernetes.io/instantiate"

func endOf(j *batchv1.Job) string {
	if api.JobConditionTrue(&j.Status, batchv1.JobComplete) {
		return string(batchv1.JobComplete)
	}
	return string(batchv1.JobFailed)
}

func (p *Plan) drop(uid types.UID) {
	p.Status.Active = slices.DeleteFunc(p.Status.Active, func(ref corev1.ObjectReference) bool { return ref.UID == uid })
}

func (p *Plan) event(typ, reason, format string, args ...any) {
	p.Events = append(p.Events, Happening{typ, reason, fmt.Sprintf(format, args...)})
}

// schedule starts the last job that is due, if it may start.
func schedule(o observed, plan *Plan) {
	cj := o.CronJob
	if ptr.Deref(cj.Spec.Suspend, false) {
		return
	}
	times, zone, bad := timetable(cj)
	if bad != nil {
		plan.Events = append(plan.Events, *bad)
		return
	}
	plan.After = times.Next(o.Now).Sub(o.Now)
	due, missed := lastDue(times, earliest(cj, o.Now), o.Now)
	if missed > tooMany {
		plan.event(corev1.EventTypeWarning, "TooManyMissedTimes",
			"too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew")
	}
	if due.IsZero() {
		return
	}
	if d := cj.Spec.StartingDeadlineSeconds; d != nil && due.Add(time.Duration(*d)*time.Second).Before(o.Now) {
		plan.event(corev1.EventTypeWarning, "MissSchedule", "Missed scheduled time to start a job: %s", due.UTC().Format(time.RFC1123Z))
		return
	}
	if last := plan.Status.LastScheduleTime; last != nil && !last.Time.Before(due) {
		return
	}
	switch cj.Spec.ConcurrencyPolicy {
	case batchv1.ForbidConcurrent:
		if len(plan.Status.Active) > 0 {
			plan.event(corev1.EventTypeNormal, "JobAlreadyActive", "Not starting job because prior execution is running and concurrency policy is Forbid")
			return
		}
	case batchv1.ReplaceConcurrent:
		replace(o, plan)
	}
	plan.Create, plan.Due = newJob(cj, due, zone), due
}

func replace(o observed, plan *Plan) {
	for _, j := range o.Jobs {
		if slices.ContainsFunc(plan.Status.Active, func(ref corev1.ObjectReference) bool { return ref.UID == j.UID }) {
			plan.Replace = append(plan.Replace, j)
			plan.drop(j.UID)
		}
	}
}

// newJob makes a job of the template for one time.
func newJob(cj *batchv1.CronJob, due time.Time, zone *time.Location) *batchv1.Job {
	t := cj.Spec.JobTemplate.DeepCopy()
	annotations := maps.Clone(t.Annotations)
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[batchv1.CronJobScheduledTimestampAnnotation] = due.In(zone).Format(time.RFC3339)
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: cj.Namespace, Name: fmt.Sprintf("%s-%d", cj.Name, due.Unix()/60),
			Labels: t.Labels, Annotations: annotations,
			OwnerReferences: []metav1.OwnerReference{ownership.Reference(cj, kind)},
		},
		Spec: t.Spec,
	}
}

// surplus returns the oldest finished jobs beyond what is to be kept.
func surplus(o observed) []*batchv1.Job {
	var good, bad []*batchv1.Job
	for _, j := range o.Jobs {
		switch {
		case j.DeletionTimestamp != nil:
		case api.JobConditionTrue(&j.Status, batchv1.JobComplete):
			good = append(good, j)
		case api.JobConditionTrue(&j.Status, batchv1.JobFailed):
			bad = append(bad, j)
		}
	}
	return append(oldest(good, o.CronJob.Spec.SuccessfulJobsHistoryLimit), oldest(bad, o.CronJob.Spec.FailedJobsHistoryLimit)...)
}

func oldest(jobs []*batchv1.Job, keep *int32) []*batchv1.Job {
	if keep == nil || len(jobs) <= int(*keep) {
		return nil
	}
	slices.SortFunc(jobs, func(a, b *batchv1.Job) int {
		return cmp.Or(startOf(a).Compare(startOf(b)), cmp.Compare(a.Name, b.Name))
	})
	return jobs[:len(jobs)-int(*keep)]
}

func startOf(j *batchv1.Job) time.Time {
	if j.Status.StartTime != nil {
		return j.Status.StartTime.Time
	}
	return j.CreationTimestamp.Time
}
