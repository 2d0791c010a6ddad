package kubelet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/kubelet/container"
	"github.com/miniorch/miniorch/kubelet/lifecycle"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/decision"
)

// operation is an action under way.
type operation struct {
	cancel    context.CancelFunc
	cancelled bool
}

// outcome changes the worker's state after an operation; nil changes nothing.
type outcome func()

// apply starts the actions of a plan, each in its own goroutine, and records the decision
// once all have ended.
func (w *worker) apply(ctx context.Context, plan lifecycle.Plan) {
	if len(plan.Actions) == 0 {
		return
	}
	w.log.Debug("applying plan", "plan", plan.String())
	record := w.record(plan)
	for _, a := range plan.Actions {
		if a.Verb == lifecycle.Cancel {
			if op := w.operations[a.Name]; op != nil {
				op.cancelled = true
				op.cancel()
			}
			record(nil)
			continue
		}
		w.launch(ctx, a, record)
	}
}

// record returns a function that is told of the end of each action.
func (w *worker) record(plan lifecycle.Plan) func(error) {
	left, began := len(plan.Actions), w.k.cfg.Clock.Now()
	pod, text := w.pod, plan.String()
	var errs []error
	return func(err error) {
		errs = append(errs, err)
		if left--; left > 0 {
			return
		}
		r := decision.Record{
			Time: began, Component: "kubelet", Plan: text, Took: w.k.cfg.Clock.Since(began),
			Object: decision.Ref{Resource: "pods", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, ResourceVersion: pod.ResourceVersion},
		}
		if err := errors.Join(errs...); err != nil {
			r.Error = err.Error()
		}
		w.k.cfg.Decisions.Add(r)
	}
}

func (w *worker) launch(ctx context.Context, a lifecycle.Action, record func(error)) {
	key := a.Key()
	if old := w.operations[key]; old != nil {
		old.cancel() // a quicker stop takes over
	}
	ctx, cancel := context.WithCancel(ctx)
	op := &operation{cancel: cancel}
	w.operations[key] = op
	switch a.Verb {
	case lifecycle.Stop:
		w.deadlines[a.ID] = w.k.cfg.Clock.Now().Add(a.Grace)
		w.again[a.ID] = a.Again || w.again[a.ID]
	case lifecycle.Prepare:
		w.held = true
	}
	pod, around := w.pod, w.around
	w.running.Go(func() {
		done, err := w.perform(ctx, a, pod, around)
		cancel()
		w.post(func() {
			if w.operations[key] == op {
				delete(w.operations, key)
			}
			if done != nil {
				done()
			}
			w.ended(a, key, err, op.cancelled)
			record(err)
		})
	})
}

// perform does one action. It runs beside the worker: it must not touch its state.
func (w *worker) perform(ctx context.Context, a lifecycle.Action, pod *corev1.Pod, around surroundings) (outcome, error) {
	switch a.Verb {
	case lifecycle.Prepare:
		return w.prepare(ctx, pod)
	case lifecycle.Start:
		return w.startContainer(ctx, a, pod, around)
	case lifecycle.Stop:
		return nil, w.stopContainer(ctx, a, pod, around)
	case lifecycle.Remove:
		return nil, w.removeContainer(ctx, a)
	case lifecycle.ResizePod:
		return w.resize(ctx, pod, around)
	case lifecycle.Teardown:
		return w.teardown(ctx, pod)
	case lifecycle.Delete:
		return nil, w.deletePod(ctx, pod)
	}
	return nil, fmt.Errorf("no such verb: %s", a.Verb)
}

// ended notes a failure, so that the action is repeated after a while. Preparing and
// starting keep failures of their own: users see them.
func (w *worker) ended(a lifecycle.Action, key string, err error, cancelled bool) {
	if err == nil {
		delete(w.retries, key)
		if a.Verb == lifecycle.Delete {
			// The informer will say that it is gone; until then there is no need to ask again.
			w.retries[key] = retry{at: w.k.cfg.Clock.Now().Add(5 * time.Second)}
		}
		return
	}
	if cancelled || errors.Is(err, context.Canceled) {
		return
	}
	now := w.k.cfg.Clock.Now()
	switch a.Verb {
	case lifecycle.Prepare:
		attempts := 1
		if w.sandboxFailure != nil {
			attempts = w.sandboxFailure.Attempts + 1
		}
		w.sandboxFailure = &lifecycle.Failure{Reason: "FailedCreatePodSandBox", Message: err.Error(), At: now, Attempts: attempts}
	case lifecycle.Start:
		w.startFailed(a, err, now)
	default:
		if a.Verb == lifecycle.ResizePod {
			w.resizeError = err.Error()
		}
		delete(w.deadlines, a.ID) // a stop that failed is no stop: it is to be made again
		r := w.retries[key]
		r.attempts++
		r.at = now.Add(min(time.Second<<min(r.attempts-1, 10), 30*time.Second))
		w.retries[key] = r
	}
	w.k.metrics.failures.WithLabelValues(string(a.Verb)).Inc()
	w.log.Warn("operation failed", "action", a.String(), "err", err)
}

func (w *worker) removeContainer(ctx context.Context, a lifecycle.Action) error {
	if err := w.k.parts.Runtime.Remove(ctx, a.ID); err != nil && !errors.Is(err, container.ErrNotFound) {
		return fmt.Errorf("removing container %s: %w", a.Name, err)
	}
	w.k.seen.remove(a.ID)
	return nil
}

// teardown gives back what prepare took. Each part is idempotent.
func (w *worker) teardown(ctx context.Context, pod *corev1.Pod) (outcome, error) {
	p := w.k.parts
	err := errors.Join(
		wrap("tearing down network", p.Network.Teardown(ctx, pod.UID)),
		wrap("releasing image volumes", w.releaseImages(ctx, pod.UID)),
		wrap("tearing down volumes", p.Volumes.Teardown(ctx, pod.UID)),
		wrap("removing cgroup", p.Cgroups.RemovePod(pod.UID)),
	)
	if err != nil {
		return nil, err
	}
	if err := os.RemoveAll(w.k.podDir(pod.UID)); err != nil {
		return nil, fmt.Errorf("removing the pod's directory: %w", err)
	}
	return func() { w.held, w.prepared = false, false }, nil
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// deletePod ends the graceful deletion of the API object: this very object, not one that
// has its name by now.
func (w *worker) deletePod(ctx context.Context, pod *corev1.Pod) error {
	none := int64(0)
	err := client.Of[*corev1.Pod](w.k.transport).Delete(ctx, pod.Namespace, pod.Name, metav1.DeleteOptions{
		GracePeriodSeconds: &none, Preconditions: &metav1.Preconditions{UID: &pod.UID},
	})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("deleting the pod from the API: %w", err)
	}
	return nil
}
