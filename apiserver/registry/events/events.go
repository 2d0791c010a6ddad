package events

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/resource"
	"github.com/miniorch/miniorch/pkg/api"
)

func events(ttl time.Duration) resource.Descriptor {
	return kind.Describe(kind.Of[*corev1.Event]{
		Singular:            "event",
		ShortNames:          []string{"ev"},
		New:                 func() *corev1.Event { return &corev1.Event{} },
		NewList:             func() runtime.Object { return &corev1.EventList{} },
		Validate:            validateEvent,
		CreateOnUpdate:      true,
		UnconditionalUpdate: true,
		TTL:                 func(*corev1.Event) time.Duration { return ttl },
		FieldNames: append(referenceFieldNames("involvedObject"),
			"reason", "reportingComponent", "source", "type"),
		Fields: func(e *corev1.Event) fields.Set {
			set := referenceFields("involvedObject", e.InvolvedObject)
			set["reason"] = e.Reason
			set["type"] = e.Type
			set["reportingComponent"] = e.ReportingController
			set["source"] = sourceComponent(e.Source.Component, e.ReportingController)
			return set
		},
		Columns: eventColumns(func(e *corev1.Event) *corev1.Event { return e }),
	})
}

// referenceFieldNames lists what a selector may ask about the object of an event.
func referenceFieldNames(prefix string) []string {
	names := []string{"kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"}
	for i := range names {
		names[i] = prefix + "." + names[i]
	}
	return names
}

func referenceFields(prefix string, ref corev1.ObjectReference) fields.Set {
	values := []string{ref.Kind, ref.Namespace, ref.Name, string(ref.UID), ref.APIVersion, ref.ResourceVersion, ref.FieldPath}
	set := fields.Set{}
	for i, name := range referenceFieldNames(prefix) {
		set[name] = values[i]
	}
	return set
}

// sourceComponent is the component as old recorders write it, else as new ones do.
func sourceComponent(source, controller string) string {
	if source == "" {
		return controller
	}
	return source
}

// eventColumns prints both versions of Event; stored brings either into the stored type.
func eventColumns[T api.Object](stored func(T) *corev1.Event) []kind.Column[T] {
	text := func(name, description string, value func(*corev1.Event) string) kind.Column[T] {
		return kind.TextColumn(name, description, func(e T) string { return value(stored(e)) })
	}
	aged := func(name, description string, value func(*corev1.Event) metav1.Time) kind.Column[T] {
		return kind.Column[T]{Name: name, Type: "string", Description: description,
			Value: func(e T, now time.Time) any { return kind.AgeOf(value(stored(e)), now) }}
	}
	return []kind.Column[T]{
		aged("Last Seen", "How long ago this was seen last.", lastSeen),
		text("Type", "Normal or Warning.", func(e *corev1.Event) string { return e.Type }),
		text("Reason", "One word for what happened.", func(e *corev1.Event) string { return e.Reason }),
		text("Object", "What it happened to.", func(e *corev1.Event) string { return objectOf(e.InvolvedObject) }),
		kind.Wide(text("Subobject", "The part of the object that it happened to.", func(e *corev1.Event) string { return e.InvolvedObject.FieldPath })),
		kind.Wide(text("Source", "Who says so.", printSource)),
		text("Message", "What happened, for people.", func(e *corev1.Event) string { return trimmed(e.Message) }),
		kind.Wide(aged("First Seen", "How long ago this was seen first.", firstSeen)),
		kind.Wide(kind.CountColumn("Count", "How often it was seen.", func(e T) int64 { return int64(timesSeen(stored(e))) })),
		kind.Wide(kind.NameColumn[T]()),
	}
}
