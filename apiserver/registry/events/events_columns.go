package events

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// lastSeen is the latest time that either generation of recorders wrote.
func lastSeen(e *corev1.Event) metav1.Time {
	switch {
	case e.Series != nil:
		return metav1.Time{Time: e.Series.LastObservedTime.Time}
	case !e.LastTimestamp.IsZero():
		return e.LastTimestamp
	}
	return firstSeen(e)
}

func firstSeen(e *corev1.Event) metav1.Time {
	if e.FirstTimestamp.IsZero() {
		return metav1.Time{Time: e.EventTime.Time}
	}
	return e.FirstTimestamp
}

func timesSeen(e *corev1.Event) int32 {
	switch {
	case e.Series != nil:
		return e.Series.Count
	case e.Count > 1:
		return e.Count
	}
	return 1
}

// objectOf prints a reference as "pod/web-1".
func objectOf(ref corev1.ObjectReference) string {
	return strings.ToLower(ref.Kind) + "/" + ref.Name
}

func printSource(e *corev1.Event) string {
	component := sourceComponent(e.Source.Component, e.ReportingController)
	host := sourceComponent(e.Source.Host, e.ReportingInstance)
	if host == "" {
		return component
	}
	return component + ", " + host
}

func trimmed(s string) string { return strings.TrimSpace(s) }
