// Package control holds what every controller is given (clock, logger, decision log,
// event recorder) and the one way in which a plan is applied: timed and put on record.
// It knows nothing about any kind.
package control

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"

	"github.com/miniorch/miniorch/controllers/brake"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/decision"
	"github.com/miniorch/miniorch/pkg/reconcile"
)

// Config is what controllers share. Zero fields have defaults.
type Config struct {
	Clock     clock.WithTicker
	Rand      func() float64
	Logger    *slog.Logger
	Decisions *decision.Log
	Recorder  *client.Recorder // nil: no events
}

// WithDefaults fills the zero fields and attaches the controller's name to the logger.
func (c Config) WithDefaults(name string) Config {
	if c.Clock == nil {
		c.Clock = clock.RealClock{}
	}
	if c.Rand == nil {
		c.Rand = rand.Float64
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.Logger = c.Logger.With("controller", name)
	return c
}

// Loop returns the configuration of a reconcile loop with so many workers.
func (c Config) Loop(workers int) reconcile.Config {
	return reconcile.Config{Clock: c.Clock, Rand: c.Rand, Logger: c.Logger, Decisions: c.Decisions, Workers: workers}
}

// Eventf records an event of the given type ("Normal", "Warning") about obj.
func (c Config) Eventf(obj api.Object, eventType, reason, format string, args ...any) {
	c.Recorder.Event(obj, eventType, reason, format, args...)
}

// HeldBack tells users that most of what belongs to obj would have gone, and that a consistent read said otherwise.
func (c Config) HeldBack(obj api.Object, remove, existing int, what string, confirmed fmt.Stringer) {
	c.Eventf(obj, corev1.EventTypeWarning, "DeletionHeldBack", "%s", brake.Message(remove, existing, what, confirmed.String()))
}

// WriteStatus stores an object with another status, which set gives it, unless it is the same. An object
// that is gone needs none.
func WriteStatus[T api.Object, S any](ctx context.Context, c client.Client[T], obj T, was, is S, set func(changed T)) error {
	if equality.Semantic.DeepEqual(was, is) {
		return nil
	}
	changed := obj.DeepCopyObject().(T)
	set(changed)
	if _, err := c.UpdateStatus(ctx, changed); err != nil {
		return IgnoreGone(fmt.Errorf("writing the status: %w", err))
	}
	return nil
}

// Apply runs a plan's effects and adds the decision record: component, the object and
// version decided about, what else was read, the plan and how it ended.
func (c Config) Apply(component string, obj api.Object, from []decision.Ref, plan fmt.Stringer, effects func() error) error {
	start := c.Clock.Now()
	err := effects()
	record := decision.Record{
		Time: start, Component: "controller/" + component, Object: Ref(obj), From: from,
		Plan: plan.String(), Took: c.Clock.Since(start),
	}
	if err != nil {
		record.Error = err.Error()
	}
	c.Decisions.Add(record)
	return err
}

// Ref names obj at its version.
func Ref(obj api.Object) decision.Ref {
	ref := decision.Ref{Namespace: obj.GetNamespace(), Name: obj.GetName(), UID: obj.GetUID(), ResourceVersion: obj.GetResourceVersion()}
	if r, ok := api.ResourceOf(obj); ok {
		ref.Resource = r.String()
	}
	return ref
}

// maxRefs bounds what one decision record lists, because the log is kept in memory.
const maxRefs = 100

// Refs names objects at their versions, the first hundred of them.
func Refs[T api.Object](objs []T) []decision.Ref {
	objs = objs[:min(len(objs), maxRefs)]
	refs := make([]decision.Ref, len(objs))
	for i, o := range objs {
		refs[i] = Ref(o)
	}
	return refs
}

// IgnoreGone drops the error that says that an object does not exist: what was to be written
// to it does not matter any more.
func IgnoreGone(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// IgnoreTerminating drops the error of creating in a namespace that is going: nothing will ever
// make it succeed, and who wants it goes as well.
func IgnoreTerminating(err error) error {
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return nil
	}
	return err
}
