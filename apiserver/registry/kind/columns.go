package kind

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/miniorch/miniorch/pkg/api"
)

// None and Unknown stand for values that are not there or that nobody knows.
const (
	None    = "<none>"
	Unknown = "<unknown>"
)

// NameColumn is the first column of nearly every kind.
func NameColumn[T api.Object]() Column[T] {
	c := TextColumn("Name", "Name is unique within a namespace, or within the cluster for kinds without a namespace.", T.GetName)
	c.Format = "name"
	return c
}

// AgeColumn is the last of the narrow columns of nearly every kind.
func AgeColumn[T api.Object]() Column[T] {
	return TimedColumn("Age", "How long ago the object was created.", func(obj T, now time.Time) string {
		return AgeOf(obj.GetCreationTimestamp(), now)
	})
}

// TextColumn is a column of free text.
func TextColumn[T api.Object](name, description string, value func(obj T) string) Column[T] {
	return TimedColumn(name, description, func(obj T, _ time.Time) string { return value(obj) })
}

// TimedColumn is a column of text that depends on the time.
func TimedColumn[T api.Object](name, description string, value func(obj T, now time.Time) string) Column[T] {
	return Column[T]{Name: name, Type: "string", Description: description, text: value,
		Value: func(obj T, now time.Time) any { return value(obj, now) }}
}

// CountColumn is a column of whole numbers.
func CountColumn[T api.Object](name, description string, value func(obj T) int64) Column[T] {
	return Column[T]{Name: name, Type: "integer", Description: description,
		Value: func(obj T, _ time.Time) any { return value(obj) }}
}

// Wide marks a column as one of `kubectl get -o wide`.
func Wide[T api.Object](c Column[T]) Column[T] {
	c.Priority = 1
	return c
}

// AgeOf says how long ago t was, in the short form "3d4h".
func AgeOf(t metav1.Time, now time.Time) string {
	if t.IsZero() {
		return Unknown
	}
	return duration.HumanDuration(now.Sub(t.Time))
}

// OrNone prints an empty value as kubectl's users know it.
func OrNone(s string) string {
	if s == "" {
		return None
	}
	return s
}
