package rest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/miniorch/miniorch/apiserver/rest"
)

func (e *engine) watch(opts metav1.ListOptions) *rest.Watch {
	e.Helper()
	w, err := of[*corev1.Pod](e).Watch(e.ctx, "default", opts)
	if err != nil {
		e.Fatalf("watching with %+v: %v", opts, err)
	}
	e.Cleanup(w.Stop)
	return w
}

func (e *engine) deletePod(name string) {
	e.Helper()
	if _, _, err := of[*corev1.Pod](e).Delete(e.ctx, "default", name, metav1.DeleteOptions{GracePeriodSeconds: ptr(int64(0))}); err != nil {
		e.Fatal(err)
	}
}

func TestWatchStartsWhereItIsAsked(t *testing.T) {
	inBubble(t, func(t *testing.T, e *engine) {
		e.mustCreate("default", pod("a", "n"))
		b := e.mustCreate("default", pod("b", "n"))
		e.mustCreate("default", pod("c", "n"))
		e.deletePod("a")

		expect(e, e.watch(metav1.ListOptions{}), "ADDED b", "ADDED c")
		expect(e, e.watch(metav1.ListOptions{ResourceVersion: "0"}), "ADDED b")
		expect(e, e.watch(metav1.ListOptions{ResourceVersion: b.GetResourceVersion()}), "ADDED c", "DELETED a")
		streaming := e.watch(metav1.ListOptions{SendInitialEvents: ptr(true), AllowWatchBookmarks: true, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan})
		expect(e, streaming, "ADDED b", "ADDED c", "BOOKMARK end of initial events")
		future := e.watch(metav1.ListOptions{SendInitialEvents: ptr(false), ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan})
		e.mustCreate("default", pod("d", "n"))
		expect(e, streaming, "ADDED d")
		expect(e, future, "ADDED d")
	})
}

func TestWatchRefuses(t *testing.T) {
	inBubble(t, func(t *testing.T, e *engine) {
		for _, tc := range []struct {
			opts   metav1.ListOptions
			reason metav1.StatusReason
		}{
			{metav1.ListOptions{ResourceVersion: "x"}, metav1.StatusReasonBadRequest},
			{metav1.ListOptions{LabelSelector: "a in"}, metav1.StatusReasonBadRequest},
			{metav1.ListOptions{FieldSelector: "no=1"}, metav1.StatusReasonBadRequest},
			{metav1.ListOptions{SendInitialEvents: ptr(true)}, metav1.StatusReasonInvalid},
			{metav1.ListOptions{ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan}, metav1.StatusReasonInvalid},
		} {
			_, err := of[*corev1.Pod](e).Watch(e.ctx, "default", tc.opts)
			wantReason(t, err, tc.reason)
		}
	})
}

func TestWatchSelectorTransitions(t *testing.T) {
	for _, tc := range []struct {
		name  string
		opts  metav1.ListOptions
		enter func(p *corev1.Pod)
		leave func(p *corev1.Pod)
	}{
		{
			"labels", metav1.ListOptions{LabelSelector: "in=yes"},
			func(p *corev1.Pod) { p.Labels = map[string]string{"in": "yes"} },
			func(p *corev1.Pod) { p.Labels = nil },
		},
		{
			"an indexed field", metav1.ListOptions{FieldSelector: "spec.nodeName=n"},
			func(p *corev1.Pod) { p.Spec.NodeName = "n" },
			func(p *corev1.Pod) { p.Spec.NodeName = "m" },
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, e *engine) {
				w := e.watch(tc.opts)
				e.mustCreate("default", pod("p", "m"))
				mustUpdate(e, "default", "p", tc.enter)
				inside := mustUpdate(e, "default", "p", func(p *corev1.Pod) { p.Annotations = map[string]string{"a": "1"} })
				left := mustUpdate(e, "default", "p", func(p *corev1.Pod) { tc.leave(p); p.Annotations = map[string]string{"a": "2"} })
				mustUpdate(e, "default", "p", func(p *corev1.Pod) { p.Annotations = map[string]string{"a": "3"} })
				expect(e, w, "ADDED p", "MODIFIED p")
				gone := next(e, w)
				obj := gone.Item.Object.(*corev1.Pod)
				if gone.Type != watch.Deleted || obj.Annotations["a"] != inside.Annotations["a"] || obj.ResourceVersion != left.ResourceVersion || gone.ResourceVersion != left.ResourceVersion {
					t.Errorf("%s %v at %s; want the last state that matched, at %s", gone.Type, obj.Annotations, obj.ResourceVersion, left.ResourceVersion)
				}
				mustUpdate(e, "default", "p", tc.enter)
				e.deletePod("p")
				expect(e, w, "ADDED p", "DELETED p")
			})
		})
	}
}

func TestWatchTooOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := start(t, rest.Config{CacheHistory: 4})
		first := e.mustCreate("default", pod("p", "n"))
		for i := range 20 {
			mustUpdate(e, "default", "p", func(p *corev1.Pod) { p.Annotations = map[string]string{"i": fmt.Sprint(i)} })
		}
		rev, _ := e.store.Revision(e.ctx)
		if err := e.store.Compact(e.ctx, rev); err != nil {
			t.Fatal(err)
		}
		if _, err := of[*corev1.Pod](e).List(e.ctx, "", metav1.ListOptions{}); err != nil { // the cache has seen it all
			t.Fatal(err)
		}
		w := e.watch(metav1.ListOptions{ResourceVersion: first.GetResourceVersion()})
		ev := next(e, w)
		if ev.Type != watch.Error || ev.Err.ErrStatus.Code != 410 || ev.Err.ErrStatus.Reason != metav1.StatusReasonExpired {
			t.Fatalf("event = %+v, want 410 Expired", ev)
		}
		if _, err := w.Next(e.ctx); err == nil {
			t.Error("the watch goes on after its error")
		}
	})
}

func TestWatchBookmarksAndTimeout(t *testing.T) {
	inBubble(t, func(t *testing.T, e *engine) {
		w := e.watch(metav1.ListOptions{AllowWatchBookmarks: true, TimeoutSeconds: ptr(int64(90)), FieldSelector: "spec.nodeName=none"})
		quiet := e.watch(metav1.ListOptions{TimeoutSeconds: ptr(int64(90))})
		began := time.Now()
		last := e.mustCreate("default", pod("p", "n"))
		expect(e, quiet, "ADDED p")
		ev := next(e, w)
		if ev.Type != watch.Bookmark || ev.InitialEventsEnd || revision(ev.ResourceVersion) < revision(last.GetResourceVersion()) {
			t.Errorf("event = %+v, want a bookmark at %s or later", ev, last.GetResourceVersion())
		}
		if waited := time.Since(began); waited < 50*time.Second || waited > 70*time.Second {
			t.Errorf("the bookmark came after %v", waited)
		}
		expect(e, w, "BOOKMARK") // before the end
		for _, w := range []*rest.Watch{w, quiet} {
			if _, err := w.Next(e.ctx); !errors.Is(err, rest.ErrWatchEnded) {
				t.Errorf("at the end: %v", err)
			}
		}
		if waited := time.Since(began); waited != 90*time.Second {
			t.Errorf("the watch ended after %v", waited)
		}
	})
}

func TestSlowWatchIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := start(t, rest.Config{CacheHistory: 8})
		w := e.watch(metav1.ListOptions{})
		e.mustCreate("default", pod("p", "n"))
		for i := range 200 {
			mustUpdate(e, "default", "p", func(p *corev1.Pod) { p.Annotations = map[string]string{"i": fmt.Sprint(i)} })
		}
		for {
			if _, err := w.Next(e.ctx); err != nil {
				if errors.Is(err, rest.ErrWatchEnded) || errors.Is(err, context.Canceled) {
					t.Errorf("the watch ended with %v, want it closed for being slow", err)
				}
				return
			}
		}
	})
}

func TestWatchEventsChannel(t *testing.T) {
	inBubble(t, func(t *testing.T, e *engine) {
		ctx, cancel := context.WithCancel(e.ctx)
		w, err := of[*corev1.Pod](e).Watch(ctx, "default", metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		events := w.Events(ctx)
		e.mustCreate("default", pod("p", "n"))
		if got := said(<-events); got != "ADDED p" {
			t.Errorf("event = %q", got)
		}
		cancel()
		if ev, open := <-events; open {
			t.Errorf("after the end of the context: %+v", ev)
		}
	})
}
