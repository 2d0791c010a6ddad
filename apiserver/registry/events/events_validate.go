package events

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
)

// How long the parts of an event may be.
const (
	maxEventWord = 128
	maxEventNote = 1024
	minSeries    = 2
)

// eventFields are the names of an event's fields in one of its two versions.
type eventFields struct{ object, controller, message string }

var (
	coreEventFields = eventFields{"involvedObject", "reportingComponent", "message"}
	newEventFields  = eventFields{"regarding", "reportingController", "note"}
)

func validateEvent(e *corev1.Event) field.ErrorList { return validateAnyEvent(e, coreEventFields) }

// validateAnyEvent holds for both versions. An event that has eventTime was made by a new
// recorder, and must be complete.
func validateAnyEvent(e *corev1.Event, names eventFields) field.ErrorList {
	errs := validateEventNamespace(e, field.NewPath(names.object, "namespace"))
	if e.EventTime.IsZero() {
		return errs
	}
	if e.ReportingController == "" {
		errs = append(errs, field.Required(field.NewPath(names.controller), ""))
	} else {
		errs = append(errs, kind.Invalids(field.NewPath(names.controller), e.ReportingController,
			utilvalidation.IsQualifiedName(e.ReportingController))...)
	}
	for _, word := range []struct{ name, value string }{
		{"reportingInstance", e.ReportingInstance}, {"action", e.Action}, {"reason", e.Reason},
	} {
		if word.value == "" {
			errs = append(errs, field.Required(field.NewPath(word.name), ""))
		}
		errs = append(errs, atMost(word.value, maxEventWord, field.NewPath(word.name))...)
	}
	return append(errs, atMost(e.Message, maxEventNote, field.NewPath(names.message))...)
}

func atMost(value string, limit int, path *field.Path) field.ErrorList {
	if len(value) <= limit {
		return nil
	}
	return field.ErrorList{field.Invalid(path, value, fmt.Sprintf("can have at most %d characters", limit))}
}

// validateEventNamespace keeps an event beside its object. Those of objects without a
// namespace are in default, or in kube-system.
func validateEventNamespace(e *corev1.Event, path *field.Path) field.ErrorList {
	ref := e.InvolvedObject.Namespace
	homeless := ref == "" && (e.Namespace == metav1.NamespaceDefault || e.Namespace == metav1.NamespaceSystem)
	if homeless || (ref != "" && ref == e.Namespace) {
		return nil
	}
	return field.ErrorList{field.Invalid(path, ref, "does not match event.namespace")}
}

// validateEventsV1 adds what only the new version demands: a new event is of the new
// form. Events of the old form can still be updated. An object that has no
// resourceVersion yet is being created.
func validateEventsV1(e *eventsv1.Event) field.ErrorList {
	errs := validateAnyEvent(storedEvent(e), newEventFields)
	if s := e.Series; s != nil {
		if s.Count < minSeries {
			errs = append(errs, field.Invalid(field.NewPath("series", "count"), s.Count, "should be at least 2"))
		}
		if s.LastObservedTime.IsZero() {
			errs = append(errs, field.Required(field.NewPath("series", "lastObservedTime"), ""))
		}
	}
	if e.ResourceVersion != "" {
		return errs
	}
	if e.EventTime.IsZero() {
		errs = append(errs, field.Required(field.NewPath("eventTime"), ""))
	}
	errs = append(errs, kind.OneOf(e.Type, field.NewPath("type"), corev1.EventTypeNormal, corev1.EventTypeWarning)...)
	for _, old := range []kind.Given{
		{Name: "deprecatedFirstTimestamp", Set: !e.DeprecatedFirstTimestamp.IsZero()},
		{Name: "deprecatedLastTimestamp", Set: !e.DeprecatedLastTimestamp.IsZero()},
		{Name: "deprecatedCount", Set: e.DeprecatedCount != 0},
		{Name: "deprecatedSource", Set: e.DeprecatedSource != corev1.EventSource{}},
	} {
		if old.Set {
			errs = append(errs, field.Invalid(field.NewPath(old.Name), "", "needs to be unset"))
		}
	}
	return errs
}

// validateEventsV1Update lets a recorder count on and reword, but not tell another story.
func validateEventsV1Update(e, old *eventsv1.Event) field.ErrorList {
	var errs field.ErrorList
	same := func(name string, is, was any) {
		errs = append(errs, validation.ValidateImmutableField(is, was, field.NewPath(name))...)
	}
	same("regarding", e.Regarding, old.Regarding)
	same("reason", e.Reason, old.Reason)
	same("type", e.Type, old.Type)
	same("action", e.Action, old.Action)
	same("related", e.Related, old.Related)
	same("reportingController", e.ReportingController, old.ReportingController)
	same("reportingInstance", e.ReportingInstance, old.ReportingInstance)
	if !e.EventTime.Equal(&old.EventTime) {
		errs = append(errs, field.Invalid(field.NewPath("eventTime"), e.EventTime, kind.Immutable))
	}
	return errs
}
