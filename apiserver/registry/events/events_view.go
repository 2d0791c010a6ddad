package events

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/resource"
	"github.com/miniorch/miniorch/pkg/api"
)

// eventsView is events.k8s.io/v1: the same stored objects under newer names.
func eventsView(ttl time.Duration) resource.Descriptor {
	d := kind.Describe(kind.Of[*eventsv1.Event]{
		Singular:            "event",
		ShortNames:          []string{"ev"},
		New:                 func() *eventsv1.Event { return &eventsv1.Event{} },
		NewList:             func() runtime.Object { return &eventsv1.EventList{} },
		Validate:            validateEventsV1,
		ValidateUpdate:      validateEventsV1Update,
		CreateOnUpdate:      true,
		UnconditionalUpdate: true,
		TTL:                 func(*eventsv1.Event) time.Duration { return ttl },
		FieldNames: append(referenceFieldNames("regarding"),
			"reason", "reportingController", "type"),
		Fields: func(e *eventsv1.Event) fields.Set {
			set := referenceFields("regarding", e.Regarding)
			set["reason"] = e.Reason
			set["type"] = e.Type
			set["reportingController"] = e.ReportingController
			return set
		},
		Columns: eventColumns(storedEvent),
	})
	d.View = &resource.View{
		Of:   api.ResourceFor[*corev1.Event](),
		To:   toStoredEvent,
		From: fromStoredEvent,
	}
	return d
}

func toStoredEvent(obj api.Object) (api.Object, error) {
	e, ok := obj.(*eventsv1.Event)
	if !ok {
		return nil, fmt.Errorf("converting %T: it is no events.k8s.io/v1 Event", obj)
	}
	return storedEvent(e), nil
}

func fromStoredEvent(obj api.Object) (api.Object, error) {
	e, ok := obj.(*corev1.Event)
	if !ok {
		return nil, fmt.Errorf("converting %T: it is no v1 Event", obj)
	}
	return viewedEvent(e), nil
}

// storedEvent turns the view into the stored type. The two share what they point at.
func storedEvent(e *eventsv1.Event) *corev1.Event {
	out := &corev1.Event{
		ObjectMeta:          e.ObjectMeta,
		InvolvedObject:      e.Regarding,
		Reason:              e.Reason,
		Message:             e.Note,
		Source:              e.DeprecatedSource,
		FirstTimestamp:      e.DeprecatedFirstTimestamp,
		LastTimestamp:       e.DeprecatedLastTimestamp,
		Count:               e.DeprecatedCount,
		Type:                e.Type,
		EventTime:           e.EventTime,
		Action:              e.Action,
		Related:             e.Related,
		ReportingController: e.ReportingController,
		ReportingInstance:   e.ReportingInstance,
	}
	if e.Series != nil {
		out.Series = &corev1.EventSeries{Count: e.Series.Count, LastObservedTime: e.Series.LastObservedTime}
	}
	return out
}

// viewedEvent is the inverse of storedEvent.
func viewedEvent(e *corev1.Event) *eventsv1.Event {
	out := &eventsv1.Event{
		ObjectMeta:               e.ObjectMeta,
		Regarding:                e.InvolvedObject,
		Reason:                   e.Reason,
		Note:                     e.Message,
		DeprecatedSource:         e.Source,
		DeprecatedFirstTimestamp: e.FirstTimestamp,
		DeprecatedLastTimestamp:  e.LastTimestamp,
		DeprecatedCount:          e.Count,
		Type:                     e.Type,
		EventTime:                e.EventTime,
		Action:                   e.Action,
		Related:                  e.Related,
		ReportingController:      e.ReportingController,
		ReportingInstance:        e.ReportingInstance,
	}
	if e.Series != nil {
		out.Series = &eventsv1.EventSeries{Count: e.Series.Count, LastObservedTime: e.Series.LastObservedTime}
	}
	return out
}
