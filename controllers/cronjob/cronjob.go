// Package cronjob makes the Jobs that CronJobs ask for when they are due, keeps count of those that
// run, and removes old ones. It leaves the running of Jobs to the job controller.
//
// A Job's name follows from the minute it was due at, so that a stale view or a second
// leader asks for a name that is taken instead of starting twice.
package cronjob

import (
	"context"
	"errors"
	"fmt"
	"slices"
	_ "time/tzdata" // time zones do not depend on the machine

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/controllers/brake"
	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/controllers/ownership"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/reconcile"
)

var kind = batchv1.SchemeGroupVersion.WithKind("CronJob")

// Controller reconciles CronJobs.
type Controller struct {
	cfg      control.Config
	cronJobs *client.Informer[*batchv1.CronJob]
	jobs     *client.Informer[*batchv1.Job]
	cronJob  client.Client[*batchv1.CronJob]
	job      client.Client[*batchv1.Job]
	loop     *reconcile.Loop
}

// New wires the controller; Run starts it.
func New(t client.Transport, informers *client.Informers, cfg control.Config) *Controller {
	c := &Controller{
		cfg:      cfg.WithDefaults("cronjob"),
		cronJobs: client.InformerFor[*batchv1.CronJob](informers),
		jobs:     client.InformerFor[*batchv1.Job](informers),
		cronJob:  client.Of[*batchv1.CronJob](t),
		job:      client.Of[*batchv1.Job](t),
	}
	c.loop = reconcile.New("cronjob", c, c.cfg.Loop(4))
	ownership.Index(c.jobs)
	reconcile.Watch(c.loop, c.cronJobs, reconcile.KeyOf)
	reconcile.Watch(c.loop, c.jobs, ownership.Concern[*batchv1.Job]{Kind: kind}.Keys)
	return c
}

// Run reconciles until ctx ends.
func (c *Controller) Run(ctx context.Context) error { return c.loop.Run(ctx) }

// Reconcile starts what is due and tidies up.
func (c *Controller) Reconcile(ctx context.Context, key reconcile.Key) (reconcile.Result, error) {
	cj, ok := c.cronJobs.Get(key.Namespace, key.Name)
	if !ok {
		return reconcile.Result{}, nil
	}
	o := observed{CronJob: cj, Jobs: ownership.Controlled(c.jobs, cj.UID), Now: c.cfg.Clock.Now()}
	plan := decide(o)
	if len(plan.Missing) > 0 { // the view may be too old to have them
		found, err := c.find(ctx, cj, plan.Missing)
		if err != nil {
			return reconcile.Result{}, err
		}
		o.Jobs, o.Confirmed = append(slices.Clone(o.Jobs), found...), true
		plan = decide(o)
	}
	if remove := plan.removes(); brake.Default.Trips(remove, len(o.Jobs)) {
		live, err := c.cronJob.Get(ctx, key.Namespace, key.Name)
		if err != nil || live.UID != cj.UID {
			return reconcile.Result{}, control.IgnoreGone(err)
		}
		cj, o.CronJob = live, live
		if plan = decide(o); plan.removes() < remove {
			c.cfg.HeldBack(cj, remove, len(o.Jobs), "jobs", plan)
		}
	}
	if plan.Empty() {
		c.tell(cj, plan.Events)
		return reconcile.Result{After: plan.After}, nil
	}
	err := c.cfg.Apply("cronjob", cj, control.Refs(plan.Replace), plan, func() error { return c.apply(ctx, cj, plan) })
	return reconcile.Result{After: plan.After}, err
}

// find reads the jobs that the status knows and the view does not.
func (c *Controller) find(ctx context.Context, cj *batchv1.CronJob, refs []corev1.ObjectReference) ([]*batchv1.Job, error) {
	var found []*batchv1.Job
	for _, ref := range refs {
		j, err := c.job.Get(ctx, cj.Namespace, ref.Name)
		switch {
		case apierrors.IsNotFound(err):
		case err != nil:
			return nil, fmt.Errorf("looking for job %q: %w", ref.Name, err)
		case j.UID == ref.UID:
			found = append(found, j)
		}
	}
	return found, nil
}

func (c *Controller) tell(cj *batchv1.CronJob, events []Happening) {
	for _, e := range events {
		c.cfg.Eventf(cj, e.Type, e.Reason, "%s", e.Message)
	}
}

func (c *Controller) apply(ctx context.Context, cj *batchv1.CronJob, plan Plan) error {
	status := plan.Status
	for _, j := range plan.Replace {
		if err := c.remove(ctx, cj, j); err != nil {
			return err
		}
	}
	if plan.Create != nil {
		made, err := c.create(ctx, cj, plan.Create)
		if err != nil {
			return control.IgnoreGone(err)
		}
		if made == nil { // its namespace is going
			return nil
		}
		status.Active = append(status.Active, referenceTo(made))
		status.LastScheduleTime = ptr.To(metav1.NewTime(plan.Due))
	}
	if plan.Write {
		changed := cj.DeepCopy()
		changed.Status = status
		if _, err := c.cronJob.UpdateStatus(ctx, changed); err != nil {
			return control.IgnoreGone(fmt.Errorf("writing the status: %w", err))
		}
	}
	c.tell(cj, plan.Events)
	var errs []error
	for _, j := range plan.Trim {
		errs = append(errs, c.remove(ctx, cj, j))
	}
	return errors.Join(errs...)
}

// create makes the job, or finds that it was made before.
func (c *Controller) create(ctx context.Context, cj *batchv1.CronJob, j *batchv1.Job) (*batchv1.Job, error) {
	made, err := c.job.Create(ctx, j)
	switch {
	case err == nil:
		c.cfg.Eventf(cj, corev1.EventTypeNormal, "SuccessfulCreate", "Created job %s", made.Name)
		return made, nil
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return nil, nil
	case apierrors.IsAlreadyExists(err):
		there, err := c.job.Get(ctx, j.Namespace, j.Name)
		if err != nil {
			return nil, fmt.Errorf("reading the job whose name is taken: %w", err)
		}
		if metav1.IsControlledBy(there, cj) {
			return there, nil
		}
		err = fmt.Errorf("job %q exists and belongs to somebody else", j.Name)
		c.cfg.Eventf(cj, corev1.EventTypeWarning, "FailedCreate", "Error creating job: %v", err)
		return nil, err
	}
	c.cfg.Eventf(cj, corev1.EventTypeWarning, "FailedCreate", "Error creating job: %v", err)
	return nil, fmt.Errorf("creating job %q: %w", j.Name, err)
}

func (c *Controller) remove(ctx context.Context, cj *batchv1.CronJob, j *batchv1.Job) error {
	err := c.job.Delete(ctx, j.Namespace, j.Name, metav1.DeleteOptions{
		PropagationPolicy: ptr.To(metav1.DeletePropagationBackground), Preconditions: &metav1.Preconditions{UID: &j.UID},
	})
	switch {
	case err == nil:
		c.cfg.Eventf(cj, corev1.EventTypeNormal, "SuccessfulDelete", "Deleted job %s", j.Name)
	case apierrors.IsNotFound(err) || apierrors.IsConflict(err): // gone, or a namesake
	default:
		c.cfg.Eventf(cj, corev1.EventTypeWarning, "FailedDelete", "Deleted job: %v", err)
		return fmt.Errorf("deleting job %q: %w", j.Name, err)
	}
	return nil
}

func referenceTo(j *batchv1.Job) corev1.ObjectReference {
	return corev1.ObjectReference{
		APIVersion: batchv1.SchemeGroupVersion.String(), Kind: "Job", Namespace: j.Namespace, Name: j.Name,
		UID: j.UID, ResourceVersion: j.ResourceVersion,
	}
}
