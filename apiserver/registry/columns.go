package registry

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/miniorch/miniorch/pkg/api"
)

// none and unknown stand for values that are not there or that nobody knows.
const (
	none    = "<none>"
	unknown = "<unknown>"
)

func nameColumn[T api.Object]() column[T] {
	return column[T]{
		name: "Name", typ: "string", format: "name",
		description: "Name is unique within a namespace, or within the cluster for kinds without a namespace.",
		value:       func(obj T, _ time.Time) any { return obj.GetName() },
	}
}

func ageColumn[T api.Object]() column[T] {
	return column[T]{
		name: "Age", typ: "string",
		description: "How long ago the object was created.",
		value:       func(obj T, now time.Time) any { return ageOf(obj.GetCreationTimestamp(), now) },
	}
}

// textColumn is a column of free text.
func textColumn[T api.Object](name, description string, value func(obj T) string) column[T] {
	return column[T]{name: name, typ: "string", description: description,
		value: func(obj T, _ time.Time) any { return value(obj) }}
}

// countColumn is a column of whole numbers.
func countColumn[T api.Object](name, description string, value func(obj T) int64) column[T] {
	return column[T]{name: name, typ: "integer", description: description,
		value: func(obj T, _ time.Time) any { return value(obj) }}
}

// wide marks a column as one of `kubectl get -o wide`.
func wide[T api.Object](c column[T]) column[T] {
	c.priority = 1
	return c
}

// ageOf says how long ago t was, in the short form "3d4h".
func ageOf(t metav1.Time, now time.Time) string {
	if t.IsZero() {
		return unknown
	}
	return duration.HumanDuration(now.Sub(t.Time))
}

func orNone(s string) string {
	if s == "" {
		return none
	}
	return s
}
