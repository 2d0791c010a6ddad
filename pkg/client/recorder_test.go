package client_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/client/clienttest"
)

// eventsIn renders the events that the server holds, in the order of their names.
func eventsIn(t *testing.T, s *clienttest.Server) []string {
	t.Helper()
	synctest.Wait()
	all, _, err := client.Of[*corev1.Event](s).List(t.Context(), "", metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, e := range all {
		out = append(out, fmt.Sprintf("%s/%s %s %s x%d: %s", e.Namespace, e.InvolvedObject.Kind, e.InvolvedObject.Name, e.Reason, e.Count, e.Message))
	}
	slices.Sort(out)
	return out
}

func startRecorder(t *testing.T, s *clienttest.Server, cfg client.RecorderConfig) *client.Recorder {
	r := client.NewRecorder(s, "tester", cfg)
	clienttest.Run(t, r.Run)
	return r
}

func TestRecorderCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := clienttest.NewServer(t)
		r := startRecorder(t, s, client.RecorderConfig{})
		for range 3 {
			r.Event(pod("a", ""), corev1.EventTypeNormal, "Pulled", "image %s", "x")
			time.Sleep(time.Second)
		}
		r.Event(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}, corev1.EventTypeNormal, "Ready", "it is")
		want := []string{"d/Pod a Pulled x3: image x", "default/Node n Ready x1: it is"}
		if diff := cmp.Diff(want, eventsIn(t, s)); diff != "" {
			t.Error(diff)
		}
		time.Sleep(time.Hour)
		r.Event(pod("a", ""), corev1.EventTypeNormal, "Pulled", "image x")
		if got := eventsIn(t, s); len(got) != 3 {
			t.Errorf("after a long silence it is a new event: %q", got)
		}
	})
}

// TestRecorderSpeaksForOthers: one writer, many names; the same sentence of two components
// is not the same event.
func TestRecorderSpeaksForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := clienttest.NewServer(t)
		r := startRecorder(t, s, client.RecorderConfig{Host: "h"})
		for _, from := range []*client.Recorder{r, r.As("deployment-controller"), r.As("x").As("deployment-controller")} {
			from.Event(pod("a", ""), corev1.EventTypeNormal, "Scaled", "up")
		}
		synctest.Wait()
		all, _, err := client.Of[*corev1.Event](s).List(t.Context(), "", metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]int32{}
		for _, e := range all {
			got[e.Source.Component+"@"+e.Source.Host+" "+e.ReportingController] = e.Count
		}
		if diff := cmp.Diff(map[string]int32{"tester@h tester": 1, "deployment-controller@h deployment-controller": 2}, got); diff != "" {
			t.Error(diff)
		}
		if (*client.Recorder)(nil).As("nobody") != nil {
			t.Error("a nil recorder speaks")
		}
	})
}

func TestRecorderCombinesAndLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := clienttest.NewServer(t)
		r := startRecorder(t, s, client.RecorderConfig{})
		for i := range 100 {
			r.Event(pod("a", ""), corev1.EventTypeWarning, "Failed", "try %d", i)
		}
		// 10 sentences of their own, and 15 more combined: one voice's share is 25 at once.
		got := eventsIn(t, s)
		if len(got) != 11 || got[0] != "d/Pod a Failed x15: (combined from similar events): try 24" {
			t.Errorf("%d events, first %q", len(got), got[0])
		}
		r.Event(pod("a", ""), corev1.EventTypeNormal, "Ready", "at last")
		r.As("another").Event(pod("a", ""), corev1.EventTypeWarning, "Failed", "seen too")
		if now := eventsIn(t, s); len(now) != len(got)+2 {
			t.Errorf("%d events are kept from others by so many warnings, want all of two heard", len(got)+2-len(now))
		}
	})
}

func TestRecorderNeverBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := clienttest.NewServer(t)
		s.FailWith(func(string, client.Request) error { return apierrors.NewServiceUnavailable("down") })
		r := startRecorder(t, s, client.RecorderConfig{Queue: 10})
		for i := range 1000 {
			r.Event(pod(fmt.Sprint("p", i), ""), corev1.EventTypeNormal, "R", "m")
		}
		s.FailWith(nil)
		time.Sleep(time.Minute)
		if n := len(eventsIn(t, s)); n < 10 || n > 11 {
			t.Errorf("%d events were kept, want those in the queue", n)
		}
	})
}

func TestRecorderPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := clienttest.NewServer(t)
		r := startRecorder(t, s, client.RecorderConfig{Rate: 1, Burst: 5})
		for i := range 20 {
			r.Event(pod(fmt.Sprint("p", i), ""), corev1.EventTypeNormal, "R", "m")
		}
		if n := len(eventsIn(t, s)); n != 5 {
			t.Errorf("%d events at once, want 5", n)
		}
		time.Sleep(10*time.Second + time.Millisecond)
		if n := len(eventsIn(t, s)); n != 15 {
			t.Errorf("%d events after 10 s, want 15", n)
		}
	})
}
