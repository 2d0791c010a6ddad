package scheduler

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/miniorch/miniorch/pkg/decision"
	"github.com/miniorch/miniorch/scheduler/framework"
)

// job is a decision on its way to the API.
type job struct {
	*framework.PodInfo         // as it was decided on: the waiter takes new versions of the pod meanwhile
	waiter             *waiter // is Scheduler.mu's
	fw                 *framework.Framework
	decision           *Decision
	state              *framework.CycleState
	permit             time.Duration // how long to wait for Permit plugins; 0: not
	slow               bool          // PreBind may take minutes: it holds a token of Scheduler.slow
}

// bindJobs binds one pod after the other until ctx ends.
func (s *Scheduler) bindJobs(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case j := <-s.jobs:
			s.bind(ctx, j)
		}
	}
}

// await lets a pod wait until Permit plugins allow it.
func (s *Scheduler) await(ctx context.Context, j *job) {
	st := j.fw.Await(ctx, s.cfg.Clock, j.Pod.UID, j.permit)
	if j.slow {
		defer func() { <-s.slow }()
	}
	switch {
	case !st.OK():
		s.finish(ctx, j, st)
		s.record(j, st, 0)
	case j.slow:
		s.bind(ctx, j)
	default:
		s.send(ctx, j)
	}
}

func (s *Scheduler) bind(ctx context.Context, j *job) {
	began := s.cfg.Clock.Now()
	st := j.fw.PreBind(ctx, j.state, j.PodInfo, j.decision.Node)
	if st.OK() {
		st = s.bindBy(ctx, j)
	}
	s.finish(ctx, j, st)
	s.record(j, st, s.cfg.Clock.Since(began))
}

// record tells of a decision and how it ended.
func (s *Scheduler) record(j *job, st *framework.Status, took time.Duration) {
	r := decision.Record{
		Time: j.decision.at, Component: "scheduler", Object: decision.RefTo(j.Pod),
		From: []decision.Ref{decision.RefTo(j.decision.nodes.At(j.decision.position).Node)},
		Plan: j.decision.String(), Took: took,
	}
	if err := st.Error(); err != nil {
		r.Error = err.Error()
	}
	s.cfg.Decisions.Add(r)
}

// bindBy lets the extender bind the pod that wants to, else the plugins.
func (s *Scheduler) bindBy(ctx context.Context, j *job) *framework.Status {
	e := s.extenders.binder(j.Pod)
	if e == nil {
		return j.fw.Bind(ctx, j.state, j.PodInfo, j.decision.Node)
	}
	switch err := e.bind(ctx, j.Pod, j.decision.Node); {
	case err == nil:
		return nil
	case !e.Ignorable || ctx.Err() != nil:
		return framework.Fail(err)
	default:
		s.log.Warn("going on without an extender", "pod", j.Name(), "error", err)
		return j.fw.Bind(ctx, j.state, j.PodInfo, j.decision.Node)
	}
}

// finish takes note of how a binding ended. After a failure the pod may be bound or not: if it
// is, the watch says so, and another try meets a conflict.
func (s *Scheduler) finish(ctx context.Context, j *job, st *framework.Status) {
	if st.OK() {
		s.cfg.Recorder.Event(j.Pod, corev1.EventTypeNormal, "Scheduled", "Successfully assigned %s to %s", j.Name(), j.decision.Node)
		j.fw.PostBind(j.PodInfo)
	} else {
		j.fw.Unreserve(ctx, j.state, j.PodInfo, j.decision.Node)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if st.OK() {
		s.cache.acknowledged(j.Pod.UID, s.cfg.Clock.Now().Add(s.cfg.Unconfirmed))
		s.signal() // there is a deadline to wait for
		return
	}
	if s.cache.isAssumed(j.Pod.UID) {
		s.left(s.cache.removePod(j.Pod.UID))
	}
	j.decision.undone = byWhom(st)
	s.retry(ctx, j, st)
	s.signal()
}

// retry gives a pod that could not be bound back to the queue, if it still waits.
func (s *Scheduler) retry(ctx context.Context, j *job, st *framework.Status) {
	now, ok := s.pods.Get(j.Pod.Namespace, j.Pod.Name)
	if !ok || now.UID != j.Pod.UID || !s.waits(now) || s.cache.has(now.UID) || apierrors.IsNotFound(st.Err) {
		return
	}
	j.waiter.PodInfo = framework.NewPodInfo(now)
	s.queue.retry(j.waiter)
	if ctx.Err() == nil {
		s.log.Info("cannot bind pod, will retry", "pod", j.Name(), "node", j.decision.Node, "error", st.Error())
		s.tell(j.waiter, reasonOf(st), st.Error().Error())
	}
}

// takeBack gives the decisions that no binder got to back to the queue, when Run ends.
func (s *Scheduler) takeBack() {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for {
		select {
		case j := <-s.jobs:
			s.finish(ended, j, framework.Fail(context.Canceled))
		default:
			return
		}
	}
}
