package events

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/randfill"

	"github.com/miniorch/miniorch/apiserver/registry/kindtest"
)

const coreEvent = `
metadata: {name: e, namespace: default}
involvedObject: {kind: Pod, namespace: default, name: web-1, fieldPath: "spec.containers{web}"}
reason: Pulled
message: " Container image is present "
source: {component: kubelet, host: node-1}
firstTimestamp: "2026-01-01T11:00:00Z"
lastTimestamp: "2026-01-01T11:55:00Z"
count: 3
type: Normal`

const newEvent = `
metadata: {name: e, namespace: default}
regarding: {kind: Pod, namespace: default, name: web-1}
eventTime: "2026-01-01T11:58:00.000000Z"
reason: Scheduled
action: Binding
note: assigned
type: Normal
reportingController: default-scheduler
reportingInstance: master-1`

func TestEventColumns(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	core := kindtest.From[corev1.Event](t, coreEvent)
	columns := eventColumns(func(e *corev1.Event) *corev1.Event { return e })
	for _, c := range []struct{ name, got, want string }{
		{"narrow", kindtest.Row(columns, core, now, false), "5m | Normal | Pulled | pod/web-1 | Container image is present"},
		{"wide", kindtest.Row(columns, core, now, true),
			"5m | Normal | Pulled | pod/web-1 | spec.containers{web} | kubelet, node-1 | Container image is present | 60m | 3 | e"},
		{"new", kindtest.Row(eventColumns(storedEvent), kindtest.From[eventsv1.Event](t, newEvent), now, true),
			"2m | Normal | Scheduled | pod/web-1 |  | default-scheduler, master-1 | assigned | 2m | 1 | e"},
	} {
		if c.got != c.want {
			t.Errorf("%s: printed\n  %s\nwant\n  %s", c.name, c.got, c.want)
		}
	}
	series := kindtest.From[corev1.Event](t, coreEvent)
	series.Series = &corev1.EventSeries{Count: 7, LastObservedTime: metav1.NewMicroTime(now.Add(-time.Minute))}
	if got := kindtest.Row(columns, series, now, false); got[:3] != "60s" {
		t.Errorf("a series was seen %s", got)
	}
}

func TestValidateEvents(t *testing.T) {
	for _, c := range []struct {
		name, reason string
		change       func(*corev1.Event)
		want         []string
	}{
		{"old form", "what recorders always wrote", func(*corev1.Event) {}, nil},
		{"elsewhere", "an event is beside its object", func(e *corev1.Event) { e.InvolvedObject.Namespace = "other" },
			[]string{"involvedObject.namespace: Invalid value: \"other\": does not match event.namespace"}},
		{"of a node", "nodes have no namespace, their events are in default", func(e *corev1.Event) { e.InvolvedObject.Namespace = "" }, nil},
		{"of a node elsewhere", "only there", func(e *corev1.Event) { e.InvolvedObject.Namespace, e.Namespace = "", "other" }, []string{"does not match event.namespace"}},
		{"new form", "an event time makes the rest required", func(e *corev1.Event) { e.EventTime = metav1.NowMicro() },
			[]string{"reportingComponent: Required value", "reportingInstance: Required value", "action: Required value"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Log(c.reason)
			e := kindtest.From[corev1.Event](t, coreEvent)
			c.change(e)
			kindtest.WantErrors(t, validateEvent(e), c.want...)
		})
	}
}

func TestValidateEventsV1(t *testing.T) {
	good := kindtest.From[eventsv1.Event](t, newEvent)
	kindtest.WantErrors(t, validateEventsV1(good))
	for _, c := range []struct {
		name   string
		change func(*eventsv1.Event)
		want   []string
	}{
		{"no time", func(e *eventsv1.Event) { e.EventTime = metav1.MicroTime{} }, []string{"eventTime: Required value"}},
		{"type", func(e *eventsv1.Event) { e.Type = "Bad" }, []string{`type: Unsupported value: "Bad": supported values: "Normal", "Warning"`}},
		{"old fields", func(e *eventsv1.Event) { e.DeprecatedCount = 1 }, []string{"deprecatedCount: Invalid value: \"\": needs to be unset"}},
		{"series", func(e *eventsv1.Event) { e.Series = &eventsv1.EventSeries{Count: 1} },
			[]string{"series.count: Invalid value: 1: should be at least 2", "series.lastObservedTime: Required value"}},
		{"stored of the old form", func(e *eventsv1.Event) {
			*e = *viewedEvent(kindtest.From[corev1.Event](t, coreEvent))
			e.ResourceVersion = "5"
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := good.DeepCopy()
			c.change(e)
			kindtest.WantErrors(t, validateEventsV1(e), c.want...)
		})
	}
	e := good.DeepCopy()
	e.Note, e.Series = "again", &eventsv1.EventSeries{Count: 2, LastObservedTime: metav1.NowMicro()}
	kindtest.WantErrors(t, validateEventsV1Update(e, good))
	e.Reason, e.Regarding.Name = "Other", "web-2"
	kindtest.WantErrors(t, validateEventsV1Update(e, good), "reason: Invalid value: \"Other\": field is immutable", "regarding: Invalid value")
}

// TestEventViewRoundTrip: nothing is lost between the two versions, whatever is set.
func TestEventViewRoundTrip(t *testing.T) {
	fill := randfill.NewWithSeed(1).NilChance(0.2).NumElements(1, 3)
	for range 200 {
		var core corev1.Event
		fill.Fill(&core)
		core.TypeMeta = metav1.TypeMeta{}
		if diff := cmp.Diff(&core, storedEvent(viewedEvent(&core))); diff != "" {
			t.Fatalf("core → events → core:\n%s", diff)
		}
		var view eventsv1.Event
		fill.Fill(&view)
		view.TypeMeta = metav1.TypeMeta{}
		if diff := cmp.Diff(&view, viewedEvent(storedEvent(&view))); diff != "" {
			t.Fatalf("events → core → events:\n%s", diff)
		}
	}
	if _, err := fromStoredEvent(&corev1.Pod{}); err == nil {
		t.Error("a Pod was taken for an Event")
	}
}
