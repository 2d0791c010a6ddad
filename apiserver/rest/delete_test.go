package rest_test

//lint:file-ignore SA1019 old clients still send orphanDependents.

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/apiserver/rest"
	"github.com/miniorch/miniorch/pkg/api"
)

func ptr[T any](v T) *T { return &v }

func TestDeletePreconditions(t *testing.T) {
	inBubble(t, func(t *testing.T, e *engine) {
		made := e.mustCreate("default", configMap("a"))
		configMaps := of[*corev1.ConfigMap](e)
		_, _, err := configMaps.Delete(e.ctx, "default", "a", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: ptr(types.UID("no"))}})
		wantReason(t, err, metav1.StatusReasonConflict)
		_, _, err = configMaps.Delete(e.ctx, "default", "a", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{ResourceVersion: ptr("1")}})
		wantReason(t, err, metav1.StatusReasonConflict)
		_, _, err = configMaps.Delete(e.ctx, "default", "a", metav1.DeleteOptions{OrphanDependents: ptr(true), PropagationPolicy: ptr(metav1.DeletePropagationOrphan)})
		wantReason(t, err, metav1.StatusReasonInvalid)
		_, deleted, err := configMaps.Delete(e.ctx, "default", "a", metav1.DeleteOptions{DryRun: []string{"All"}})
		if err != nil || !deleted {
			t.Fatalf("dry run: %v, %v", deleted, err)
		}
		it, deleted, err := configMaps.Delete(e.ctx, "default", "a", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: ptr(made.GetUID()), ResourceVersion: ptr(made.GetResourceVersion())}})
		if err != nil || !deleted || it.Object.GetUID() != made.GetUID() {
			t.Fatalf("delete = %v, %v, %v", it, deleted, err)
		}
		_, _, err = configMaps.Delete(e.ctx, "default", "a", metav1.DeleteOptions{})
		wantReason(t, err, metav1.StatusReasonNotFound)
	})
}

func TestGracefulDeletion(t *testing.T) {
	inBubble(t, func(t *testing.T, e *engine) {
		e.mustCreate("default", pod("waiting", ""))
		e.mustCreate("default", pod("running", "n"))
		pods := of[*corev1.Pod](e)
		if _, deleted, err := pods.Delete(e.ctx, "default", "waiting", metav1.DeleteOptions{}); err != nil || !deleted {
			t.Fatalf("an unscheduled pod goes at once: %v, %v", deleted, err)
		}
		check := func(asked *int64, wantSeconds int64) {
			t.Helper()
			it, deleted, err := pods.Delete(e.ctx, "default", "running", metav1.DeleteOptions{GracePeriodSeconds: asked})
			if err != nil || deleted {
				t.Fatalf("deleted %v, %v", deleted, err)
			}
			got := it.Object.(*corev1.Pod)
			if *got.DeletionGracePeriodSeconds != wantSeconds {
				t.Errorf("grace period = %d, want %d", *got.DeletionGracePeriodSeconds, wantSeconds)
			}
			if left := time.Until(got.DeletionTimestamp.Time); left < time.Duration(wantSeconds-1)*time.Second || left > time.Duration(wantSeconds)*time.Second {
				t.Errorf("%v left, want %ds", left, wantSeconds)
			}
		}
		check(nil, 30)
		check(ptr(int64(60)), 30) // never longer
		check(nil, 30)
		check(ptr(int64(10)), 10)
		check(ptr(int64(-5)), 1) // less than none is a second
		if _, deleted, err := pods.Delete(e.ctx, "default", "running", metav1.DeleteOptions{GracePeriodSeconds: ptr(int64(0))}); err != nil || !deleted {
			t.Fatalf("with no grace left: deleted %v, %v", deleted, err)
		}
	})
}

func TestPropagationBecomesFinalizers(t *testing.T) {
	for _, tc := range []struct {
		name   string
		opts   metav1.DeleteOptions
		has    []string
		want   []string
		remove bool
	}{
		{name: "nothing said", remove: true},
		{name: "background", opts: metav1.DeleteOptions{PropagationPolicy: ptr(metav1.DeletePropagationBackground)}, remove: true},
		{name: "foreground", opts: metav1.DeleteOptions{PropagationPolicy: ptr(metav1.DeletePropagationForeground)}, want: []string{"foregroundDeletion"}},
		{name: "orphan", opts: metav1.DeleteOptions{PropagationPolicy: ptr(metav1.DeletePropagationOrphan)}, want: []string{"orphan"}},
		{name: "legacy orphan", opts: metav1.DeleteOptions{OrphanDependents: ptr(true)}, want: []string{"orphan"}},
		{name: "legacy delete", opts: metav1.DeleteOptions{OrphanDependents: ptr(false)}, has: []string{"orphan"}, remove: true},
		{name: "nothing said, marked before", has: []string{"foregroundDeletion"}, want: []string{"foregroundDeletion"}},
		{name: "background overrides the mark", opts: metav1.DeleteOptions{PropagationPolicy: ptr(metav1.DeletePropagationBackground)}, has: []string{"a/b", "foregroundDeletion"}, want: []string{"a/b"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, e *engine) {
				cm := configMap("a")
				cm.Finalizers = tc.has
				e.mustCreate("default", cm)
				it, deleted, err := of[*corev1.ConfigMap](e).Delete(e.ctx, "default", "a", tc.opts)
				if err != nil || deleted != tc.remove {
					t.Fatalf("deleted %v, %v", deleted, err)
				}
				if tc.remove {
					return
				}
				got := it.Object
				if !slices.Equal(got.GetFinalizers(), tc.want) || got.GetDeletionTimestamp() == nil || *got.GetDeletionGracePeriodSeconds() != 0 {
					t.Errorf("finalizers %v, deletion %v; want %v", got.GetFinalizers(), got.GetDeletionTimestamp(), tc.want)
				}
				again, _, err := of[*corev1.ConfigMap](e).Delete(e.ctx, "default", "a", metav1.DeleteOptions{})
				if err != nil || again.Object.GetResourceVersion() != got.GetResourceVersion() {
					t.Errorf("deleting it again wrote it again: %v, %v", again, err)
				}
			})
		})
	}
}

func TestNamespaceLifeCycle(t *testing.T) {
	inBubble(t, func(t *testing.T, e *engine) {
		namespaces := of[*corev1.Namespace](e)
		_, _, err := namespaces.Delete(e.ctx, "", "default", metav1.DeleteOptions{})
		wantReason(t, err, metav1.StatusReasonForbidden)

		e.mustCreate("", &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ns"}})
		it, deleted, err := namespaces.Delete(e.ctx, "", "ns", metav1.DeleteOptions{})
		if err != nil || deleted || it.Object.(*corev1.Namespace).Status.Phase != corev1.NamespaceTerminating {
			t.Fatalf("delete = %+v, %v, %v", it, deleted, err)
		}
		mustUpdate(e, "", "ns", func(ns *corev1.Namespace) { ns.Spec.Finalizers = nil })
		if got := mustGet[*corev1.Namespace](e, "", "ns"); len(got.Spec.Finalizers) != 1 {
			t.Fatalf("an ordinary update took the finalizer: %v", got.Spec)
		}
		if _, err := update(e, "", "ns", "finalize", func(ns *corev1.Namespace) { ns.Spec.Finalizers = nil }); err != nil {
			t.Fatal(err)
		}
		_, err = get[*corev1.Namespace](e, "", "ns")
		wantReason(t, err, metav1.StatusReasonNotFound)
	})
}

func TestDeleteCollection(t *testing.T) {
	inBubble(t, func(t *testing.T, e *engine) {
		for _, name := range []string{"a", "b", "c", "d"} {
			cm := configMap(name)
			if name != "d" {
				cm.Labels = map[string]string{"go": "yes"}
			}
			if name == "c" {
				cm.Finalizers = []string{"a/b"}
			}
			e.mustCreate("default", cm)
		}
		items, err := of[*corev1.ConfigMap](e).DeleteCollection(e.ctx, "default", metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "go=yes"})
		if err != nil || len(items) != 3 {
			t.Fatalf("%d items, %v", len(items), err)
		}
		left, err := of[*corev1.ConfigMap](e).List(e.ctx, "default", metav1.ListOptions{})
		if err != nil || !slices.Equal(names(left), []string{"c", "d"}) {
			t.Errorf("left = %v, %v", names(left), err)
		}
	})
}

func TestEventsExpire(t *testing.T) {
	inBubble(t, func(t *testing.T, e *engine) {
		event := func(name string) *corev1.Event {
			return &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}}
		}
		e.mustCreate("default", event("once"))
		e.mustCreate("default", event("again"))
		time.Sleep(40 * time.Minute)
		mustUpdate(e, "default", "again", func(ev *corev1.Event) { ev.LastTimestamp = metav1.Now() })
		time.Sleep(22 * time.Minute)
		_, err := get[*corev1.Event](e, "default", "once")
		wantReason(t, err, metav1.StatusReasonNotFound)
		mustGet[*corev1.Event](e, "default", "again")
		time.Sleep(40 * time.Minute)
		_, err = get[*corev1.Event](e, "default", "again")
		wantReason(t, err, metav1.StatusReasonNotFound)
	})
}

func TestBinding(t *testing.T) {
	inBubble(t, func(t *testing.T, e *engine) {
		pods := of[*corev1.Pod](e)
		made := e.mustCreate("default", pod("p", ""))
		bind := func(change func(*corev1.Binding)) error {
			b := &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: "p", Annotations: map[string]string{"a": "b"}}, Target: corev1.ObjectReference{Kind: "Node", Name: "n"}}
			change(b)
			_, err := pods.CreateSubresource(e.ctx, "default", "p", "binding", b, metav1.CreateOptions{})
			return err
		}
		wantReason(t, bind(func(b *corev1.Binding) { b.UID = "other" }), metav1.StatusReasonConflict)
		wantReason(t, bind(func(b *corev1.Binding) { b.Target.Name = "" }), metav1.StatusReasonInvalid)
		wantReason(t, bind(func(b *corev1.Binding) { b.Target.Kind = "Pod" }), metav1.StatusReasonInvalid)
		if err := bind(func(b *corev1.Binding) { b.UID = made.GetUID() }); err != nil {
			t.Fatal(err)
		}
		got := mustGet[*corev1.Pod](e, "default", "p")
		if got.Spec.NodeName != "n" || got.Annotations["a"] != "b" || len(got.Status.Conditions) != 1 || got.Status.Conditions[0].Type != corev1.PodScheduled ||
			got.Status.Conditions[0].ObservedGeneration != got.Generation {
			t.Errorf("bound pod = %+v", got)
		}
		status := wantReason(t, bind(func(*corev1.Binding) {}), metav1.StatusReasonConflict)
		if want := `Operation cannot be fulfilled on pods "p": pod p is already assigned to node "n"`; status.Message != want {
			t.Errorf("message = %q, want %q", status.Message, want)
		}
	})
}

// An object that goes while an update looks at it must not come back.
func TestUpdateOfWhatWasDeletedMeanwhile(t *testing.T) {
	inBubble(t, func(t *testing.T, e *engine) {
		e.mustCreate("default", configMap("a"))
		configMaps := of[*corev1.ConfigMap](e)
		first := true
		_, _, err := configMaps.Update(e.ctx, "default", "a", "", func(current api.Object) (api.Object, error) {
			if first {
				first = false
				if _, _, err := configMaps.Delete(e.ctx, "default", "a", metav1.DeleteOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			return configMap("a", "k", "v"), nil
		}, rest.UpdateOptions{})
		wantReason(t, err, metav1.StatusReasonNotFound)
	})
}
