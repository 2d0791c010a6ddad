package batch

import (
	"fmt"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // time zones do not depend on the machine

	"github.com/robfig/cron/v3"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/apiserver/alike"
	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/registry/podspec"
	"github.com/miniorch/miniorch/apiserver/resource"
)

func cronJobs() resource.Descriptor {
	return kind.Describe(kind.Of[*batchv1.CronJob]{
		Singular:            "cronjob",
		ShortNames:          []string{"cj"},
		Categories:          []string{"all"},
		New:                 func() *batchv1.CronJob { return &batchv1.CronJob{} },
		NewList:             func() runtime.Object { return &batchv1.CronJobList{} },
		Defaults:            defaultCronJob,
		PrepareCreate:       prepareCronJobCreate,
		PrepareUpdate:       prepareCronJobUpdate,
		Validate:            validateCronJob,
		Warnings:            warnCronJob,
		UnconditionalUpdate: true,
		Columns:             cronJobColumns(),
		Subresources: []resource.Subresource{
			kind.StatusOf(func(c, old *batchv1.CronJob) { c.Spec = old.Spec }, nil),
		},
	})
}

func cronJobColumns() []kind.Column[*batchv1.CronJob] {
	columns := []kind.Column[*batchv1.CronJob]{
		kind.NameColumn[*batchv1.CronJob](),
		kind.TextColumn("Schedule", "When jobs are made, in cron's words.", func(c *batchv1.CronJob) string { return c.Spec.Schedule }),
		kind.TextColumn("Timezone", "Whose clock the schedule is about.", func(c *batchv1.CronJob) string { return kind.OrNone(ptr.Deref(c.Spec.TimeZone, "")) }),
		kind.TextColumn("Suspend", "Whether no jobs are made.", func(c *batchv1.CronJob) string {
			if c.Spec.Suspend == nil {
				return kind.Unknown
			}
			return map[bool]string{true: "True", false: "False"}[*c.Spec.Suspend]
		}),
		kind.CountColumn("Active", "How many jobs are running.", func(c *batchv1.CronJob) int64 { return int64(len(c.Status.Active)) }),
		{Name: "Last Schedule", Type: "string", Description: "How long ago a job was due last.", Value: func(c *batchv1.CronJob, now time.Time) any {
			if c.Status.LastScheduleTime == nil {
				return kind.None
			}
			return kind.AgeOf(*c.Status.LastScheduleTime, now)
		}},
		kind.AgeColumn[*batchv1.CronJob](),
	}
	return append(columns, podspec.WorkloadColumns(
		func(c *batchv1.CronJob) *corev1.PodTemplateSpec { return &c.Spec.JobTemplate.Spec.Template },
		func(c *batchv1.CronJob) *metav1.LabelSelector { return c.Spec.JobTemplate.Spec.Selector })...)
}

// defaultCronJob leaves the job template as it is written: a Job that is made of it gets a Job's defaults.
func defaultCronJob(c *batchv1.CronJob) {
	if c.Spec.ConcurrencyPolicy == "" {
		c.Spec.ConcurrencyPolicy = batchv1.AllowConcurrent
	}
	kind.SetDefault(&c.Spec.Suspend, false)
	kind.SetDefault(&c.Spec.SuccessfulJobsHistoryLimit, 3)
	kind.SetDefault(&c.Spec.FailedJobsHistoryLimit, 1)
	defaultJobTemplate(&c.Spec.JobTemplate.Spec)
}

func prepareCronJobCreate(c *batchv1.CronJob) {
	c.Status = batchv1.CronJobStatus{}
	c.Generation = 1
}

func prepareCronJobUpdate(c, old *batchv1.CronJob) {
	c.Status = old.Status
	c.Generation = old.Generation
	if !alike.Equal(&c.Spec, &old.Spec) {
		c.Generation++
	}
}

func validateCronJob(c *batchv1.CronJob) field.ErrorList {
	path, s := field.NewPath("spec"), &c.Spec
	var errs field.ErrorList
	if len(c.Name) > maxCronJobNameLength {
		errs = append(errs, field.Invalid(field.NewPath("metadata", "name"), c.Name, fmt.Sprintf("must be no more than %d characters", maxCronJobNameLength)))
	}
	errs = append(errs, validateSchedule(s, path)...)
	if n := s.StartingDeadlineSeconds; n != nil {
		errs = append(errs, kind.NotNegative(*n, path.Child("startingDeadlineSeconds"))...)
	}
	errs = append(errs, kind.RequiredOneOf(s.ConcurrencyPolicy, path.Child("concurrencyPolicy"),
		batchv1.AllowConcurrent, batchv1.ForbidConcurrent, batchv1.ReplaceConcurrent)...)
	if n := s.SuccessfulJobsHistoryLimit; n != nil {
		errs = append(errs, kind.NotNegative(*n, path.Child("successfulJobsHistoryLimit"))...)
	}
	if n := s.FailedJobsHistoryLimit; n != nil {
		errs = append(errs, kind.NotNegative(*n, path.Child("failedJobsHistoryLimit"))...)
	}
	return append(errs, validateJobTemplate(&s.JobTemplate, path.Child("jobTemplate"))...)
}

// validateSchedule lets a zone be named in one place only, and the schedule be one that can come true.
func validateSchedule(s *batchv1.CronJobSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	at := path.Child("schedule")
	inSchedule := strings.Contains(s.Schedule, "TZ")
	switch {
	case s.Schedule == "":
		errs = append(errs, field.Required(at, ""))
	case inSchedule:
		errs = append(errs, field.Invalid(at, s.Schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"))
	default:
		if _, err := parseSchedule(s.Schedule); err != nil {
			errs = append(errs, field.Invalid(at, s.Schedule, err.Error()))
		}
	}
	if s.TimeZone == nil {
		return errs
	}
	zone, at := *s.TimeZone, path.Child("timeZone")
	if zone == "" {
		return append(errs, field.Invalid(at, zone, "timeZone must be nil or non-empty string"))
	}
	if strings.EqualFold(zone, "Local") {
		return append(errs, field.Invalid(at, zone, "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"))
	}
	if _, err := time.LoadLocation(zone); err != nil {
		errs = append(errs, field.Invalid(at, zone, err.Error()))
	}
	return errs
}

// parseSchedule reads a schedule. The parser panics on some that are wrong.
func parseSchedule(text string) (s cron.Schedule, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("invalid schedule format: %v", p)
		}
	}()
	return cron.ParseStandard(text)
}

func validateJobTemplate(t *batchv1.JobTemplateSpec, path *field.Path) field.ErrorList {
	meta, spec := path.Child("metadata"), path.Child("spec")
	errs := metavalidation.ValidateLabels(t.Labels, meta.Child("labels"))
	errs = append(errs, validation.ValidateAnnotations(t.Annotations, meta.Child("annotations"))...)
	if t.Spec.Selector != nil {
		errs = append(errs, field.Invalid(spec.Child("selector"), t.Spec.Selector, "`selector` will be auto-generated"))
	}
	if ptr.Deref(t.Spec.ManualSelector, false) {
		errs = append(errs, field.NotSupported(spec.Child("manualSelector"), true, []string{"nil", "false"}))
	}
	return append(errs, validateJobSpec(&t.Spec, spec)...)
}

func warnCronJob(c, old *batchv1.CronJob, isUpdate bool) []string {
	var all []string
	var before *batchv1.JobSpec
	if isUpdate {
		before = &old.Spec.JobTemplate.Spec
	} else if msgs := utilvalidation.IsDNS1123Label(c.Name); len(msgs) > 0 {
		all = append(all, fmt.Sprintf("metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; "+
			"a DNS label is recommended: [%s]", strings.Join(msgs, ", ")))
	}
	return slices.Concat(all, warnJobSpec(&c.Spec.JobTemplate.Spec, before, field.NewPath("spec", "jobTemplate", "spec")))
}
