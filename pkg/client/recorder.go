package client

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/pkg/api"
)

// RecorderConfig tunes a Recorder; zero fields have defaults.
type RecorderConfig struct {
	Config
	Host  string  // the node that the component runs on, if that says anything
	Rate  float64 // writes per second to the API on average; default 100
	Burst int     // writes at once; default 500
	Queue int     // events that wait to be written, more are dropped; default 4096
}

func (c RecorderConfig) withDefaults() RecorderConfig {
	c.Config = c.Config.withDefaults()
	if c.Rate == 0 {
		c.Rate = 100
	}
	if c.Burst == 0 {
		c.Burst = 500
	}
	if c.Queue == 0 {
		c.Queue = 4096
	}
	return c
}

// Recorder tells users, by Event objects, what has happened to an object. Event never
// blocks: events wait in a bounded queue for Run, which writes them at a bounded rate.
// What repeats is counted in one object.
type Recorder struct {
	events Client[*corev1.Event]
	source corev1.EventSource
	cfg    RecorderConfig
	log    *slog.Logger
	queue  chan *happening // pointers: a process that plays many nodes has many of these
	root   *Recorder       // that writes for this one; nil: it does so itself

	mu      sync.Mutex
	dropped int // guarded by mu: since the last one that fitted in the queue
}

// happening is one call of Event.
type happening struct {
	source              corev1.EventSource
	about               corev1.ObjectReference
	kind, reason, words string
	at                  time.Time
}

// NewRecorder returns a recorder that writes in the name of component. It starts nothing.
func NewRecorder(t Transport, component string, cfg RecorderConfig) *Recorder {
	cfg = cfg.withDefaults()
	return &Recorder{
		events: Of[*corev1.Event](t),
		source: corev1.EventSource{Component: component, Host: cfg.Host},
		cfg:    cfg,
		log:    cfg.Logger.With("component", component),
		queue:  make(chan *happening, cfg.Queue),
	}
}

// As returns a recorder that speaks in the name of another component. What it records is
// written by r's Run and counts as r's.
func (r *Recorder) As(component string) *Recorder {
	if r == nil {
		return nil
	}
	root := r
	if r.root != nil {
		root = r.root
	}
	return &Recorder{root: root, cfg: root.cfg, source: corev1.EventSource{Component: component, Host: root.source.Host}}
}

// Event records that something has happened to obj. kind is corev1.EventTypeNormal or
// corev1.EventTypeWarning, reason a CamelCase word, format and args make the sentence.
// A nil Recorder drops everything.
func (r *Recorder) Event(obj api.Object, kind, reason, format string, args ...any) {
	if r == nil {
		return
	}
	r.EventAbout(ReferenceTo(obj), kind, reason, format, args...)
}

// EventAbout is Event for a part of an object, which the reference's FieldPath names.
func (r *Recorder) EventAbout(about corev1.ObjectReference, kind, reason, format string, args ...any) {
	if r == nil {
		return
	}
	h := &happening{source: r.source, about: about, kind: kind, reason: reason, words: fmt.Sprintf(format, args...), at: r.cfg.Clock.Now()}
	if r.root != nil {
		r = r.root
	}
	select {
	case r.queue <- h:
	default:
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.dropped++; r.dropped == 1 {
			r.log.Warn("event queue is full, dropping events", "reason", reason)
		}
	}
}

// ReferenceTo returns a reference to obj at its version, for events.
func ReferenceTo(obj api.Object) corev1.ObjectReference {
	gvk := obj.GetObjectKind().GroupVersionKind()
	if r, ok := api.ResourceOf(obj); ok {
		gvk = r.GVK()
	}
	apiVersion, kind := gvk.ToAPIVersionAndKind()
	return corev1.ObjectReference{
		APIVersion: apiVersion, Kind: kind, Namespace: obj.GetNamespace(), Name: obj.GetName(),
		UID: obj.GetUID(), ResourceVersion: obj.GetResourceVersion(),
	}
}

// Run writes events until ctx ends; what is queued then is lost.
func (r *Recorder) Run(ctx context.Context) error {
	limiter := rate.NewLimiter(rate.Limit(r.cfg.Rate), r.cfg.Burst)
	known := newCorrelator()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case h := <-r.queue:
			w, ok := known.next(*h)
			if !ok {
				continue
			}
			if d := limiter.ReserveN(r.cfg.Clock.Now(), 1).DelayFrom(r.cfg.Clock.Now()); d > 0 && !sleep(ctx, r.cfg.Clock, d) {
				return ctx.Err()
			}
			r.write(ctx, known, w)
			r.reportDropped()
		}
	}
}

// write tries a few times, then gives the event up: events are no place to be stubborn.
func (r *Recorder) write(ctx context.Context, known *correlator, w writing) {
	wait := backoff{min: 100 * time.Millisecond, max: 2 * time.Second, rand: r.cfg.Rand}
	for try := 1; ; try++ {
		err := r.writeOnce(ctx, known, &w)
		switch {
		case err == nil || ctx.Err() != nil:
			return
		case try == 5 || !worthRetrying(err):
			r.log.Info("cannot write event, giving it up", "about", w.event.InvolvedObject.Name, "reason", w.event.Reason, "error", err)
			known.failed(w)
			return
		}
		if !sleep(ctx, r.cfg.Clock, wait.Next()) {
			return
		}
	}
}

func (r *Recorder) writeOnce(ctx context.Context, known *correlator, w *writing) error {
	if w.event.Count > 1 {
		patch, err := json.Marshal(map[string]any{
			"count": w.event.Count, "lastTimestamp": w.event.LastTimestamp, "message": w.event.Message,
		})
		if err != nil {
			return fmt.Errorf("encoding event patch: %w", err)
		}
		_, err = r.events.Patch(ctx, w.event.Namespace, w.event.Name, types.MergePatchType, patch, "")
		if !apierrors.IsNotFound(err) {
			return err
		}
		// It expired meanwhile: the count starts again.
		w.event.Count, w.event.FirstTimestamp = 1, w.event.LastTimestamp
	}
	_, err := r.events.Create(ctx, w.event.DeepCopy())
	if apierrors.IsAlreadyExists(err) {
		known.rename(w)
		_, err = r.events.Create(ctx, w.event.DeepCopy())
	}
	return err
}

// worthRetrying tells trouble on the way from a refusal.
func worthRetrying(err error) bool {
	reason := apierrors.ReasonForError(err)
	return reason == metav1.StatusReasonUnknown || apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err) ||
		apierrors.IsTooManyRequests(err) || apierrors.IsServiceUnavailable(err) || apierrors.IsInternalError(err)
}

func (r *Recorder) reportDropped() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dropped > 0 && len(r.queue) == 0 {
		r.log.Warn("events were dropped", "count", r.dropped)
		r.dropped = 0
	}
}
