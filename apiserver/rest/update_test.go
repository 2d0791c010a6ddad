package rest_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/apiserver/rest"
	"github.com/miniorch/miniorch/pkg/api"
)

func TestUpdateRefuses(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(cm *corev1.ConfigMap)
		reason metav1.StatusReason
		says   string
	}{
		{"an old resourceVersion", func(cm *corev1.ConfigMap) { cm.ResourceVersion = "1" }, metav1.StatusReasonConflict,
			`Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to the latest version and try again`},
		{"another uid", func(cm *corev1.ConfigMap) { cm.UID = "other" }, metav1.StatusReasonConflict, "Precondition failed: UID in precondition: other, UID in object meta: "},
		{"another name", func(cm *corev1.ConfigMap) { cm.Name = "b" }, metav1.StatusReasonBadRequest, "the name of the object (b) does not match the name on the URL (a)"},
		{"another namespace", func(cm *corev1.ConfigMap) { cm.Namespace = "b" }, metav1.StatusReasonBadRequest, "does not match the namespace"},
		{"a deletionTimestamp", func(cm *corev1.ConfigMap) { now := metav1.Now(); cm.DeletionTimestamp = &now }, metav1.StatusReasonInvalid, "metadata.deletionTimestamp"},
		{"a bad annotation", func(cm *corev1.ConfigMap) { cm.Annotations = map[string]string{"a b": ""} }, metav1.StatusReasonInvalid, "metadata.annotations"},
		{"what the kind refuses", func(cm *corev1.ConfigMap) { cm.Data = map[string]string{"bad": ""} }, metav1.StatusReasonInvalid, "is bad"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, e *engine) {
				e.mustCreate("default", configMap("a"))
				mustUpdate(e, "default", "a", func(cm *corev1.ConfigMap) { cm.Data = map[string]string{"k": "v"} })
				_, err := update(e, "default", "a", "", tc.change)
				if status := wantReason(t, err, tc.reason); !strings.Contains(status.Message, tc.says) {
					t.Errorf("message = %q, want it to contain %q", status.Message, tc.says)
				}
				if got := mustGet[*corev1.ConfigMap](e, "default", "a"); got.Data["k"] != "v" {
					t.Errorf("a refused update changed the object: %v", got)
				}
			})
		})
	}
}

func TestUpdateKeepsMetadata(t *testing.T) {
	inBubble(t, func(t *testing.T, e *engine) {
		before := e.mustCreate("default", configMap("a"))
		it, _, err := of[*corev1.ConfigMap](e).Update(e.ctx, "default", "a", "", rest.Replace(configMap("a", "k", "v")), rest.UpdateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got := it.Object
		if got.GetUID() != before.GetUID() || !got.GetCreationTimestamp().Time.Equal(before.GetCreationTimestamp().Time) {
			t.Errorf("identity changed: %v", got)
		}
		if revision(got.GetResourceVersion()) <= revision(before.GetResourceVersion()) {
			t.Errorf("resourceVersion %s is not after %s", got.GetResourceVersion(), before.GetResourceVersion())
		}
	})
}

func TestUpdateThatChangesNothingIsNotWritten(t *testing.T) {
	inBubble(t, func(t *testing.T, e *engine) {
		before := e.mustCreate("default", configMap("a", "k", "v", "l", "w"))
		revBefore, _ := e.store.Revision(e.ctx)
		got := mustUpdate(e, "default", "a", func(cm *corev1.ConfigMap) { cm.Data["k"] = "v" })
		if rev, _ := e.store.Revision(e.ctx); rev != revBefore || got.ResourceVersion != before.GetResourceVersion() {
			t.Errorf("store %d → %d, object %s → %s: want no write", revBefore, rev, before.GetResourceVersion(), got.ResourceVersion)
		}
	})
}

func TestUpdateDryRun(t *testing.T) {
	inBubble(t, func(t *testing.T, e *engine) {
		e.mustCreate("default", configMap("a"))
		opts := rest.UpdateOptions{UpdateOptions: metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}}}
		it, _, err := of[*corev1.ConfigMap](e).Update(e.ctx, "default", "a", "", rest.Replace(configMap("a", "k", "v")), opts)
		if err != nil || it.Object.(*corev1.ConfigMap).Data["k"] != "v" {
			t.Fatalf("dry run = %v, %v", it, err)
		}
		if got := mustGet[*corev1.ConfigMap](e, "default", "a"); got.Data != nil {
			t.Errorf("the dry run stored %v", got.Data)
		}
	})
}

// Writers who do not name a version must all get their change in, however they collide.
func TestConcurrentUnconditionalUpdates(t *testing.T) {
	inBubble(t, func(t *testing.T, e *engine) {
		e.mustCreate("default", configMap("a"))
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				for i := range 20 {
					patch := fmt.Sprintf(`{"data":{"w%d":"%d"}}`, w, i)
					if _, err := of[*corev1.ConfigMap](e).Patch(e.ctx, "default", "a", "", "application/merge-patch+json", []byte(patch), metav1.PatchOptions{}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		got := mustGet[*corev1.ConfigMap](e, "default", "a")
		for w := range 8 {
			if got.Data[fmt.Sprintf("w%d", w)] != "19" {
				t.Errorf("data = %v: a change was lost", got.Data)
			}
		}
	})
}

func TestRemovingTheLastFinalizerDeletes(t *testing.T) {
	inBubble(t, func(t *testing.T, e *engine) {
		cm := configMap("a")
		cm.Finalizers = []string{"example.com/one", "example.com/two"}
		e.mustCreate("default", cm)
		if _, deleted, err := of[*corev1.ConfigMap](e).Delete(e.ctx, "default", "a", metav1.DeleteOptions{}); err != nil || deleted {
			t.Fatalf("deleted %v, %v", deleted, err)
		}
		_, err := update(e, "default", "a", "", func(cm *corev1.ConfigMap) { cm.Finalizers = append(cm.Finalizers, "example.com/three") })
		if status := wantReason(t, err, metav1.StatusReasonInvalid); !strings.Contains(status.Message, "no new finalizers can be added if the object is being deleted") {
			t.Errorf("message = %q", status.Message)
		}
		mustUpdate(e, "default", "a", func(cm *corev1.ConfigMap) { cm.Finalizers = cm.Finalizers[1:] })
		mustGet[*corev1.ConfigMap](e, "default", "a")
		mustUpdate(e, "default", "a", func(cm *corev1.ConfigMap) { cm.Finalizers = nil })
		_, err = get[*corev1.ConfigMap](e, "default", "a")
		wantReason(t, err, metav1.StatusReasonNotFound)
	})
}

func TestStatusSubresource(t *testing.T) {
	inBubble(t, func(t *testing.T, e *engine) {
		e.mustCreate("default", pod("p", "n"))
		mustUpdate(e, "default", "p", func(p *corev1.Pod) { p.Status.Phase = corev1.PodRunning; p.Labels = map[string]string{"a": "b"} })
		if got := mustGet[*corev1.Pod](e, "default", "p"); got.Status.Phase != corev1.PodPending || got.Labels["a"] != "b" {
			t.Errorf("after an update: phase %s, labels %v", got.Status.Phase, got.Labels)
		}
		if _, err := update(e, "default", "p", "status", func(p *corev1.Pod) { p.Status.Phase = corev1.PodRunning; p.Spec.NodeName = "other" }); err != nil {
			t.Fatal(err)
		}
		if got := mustGet[*corev1.Pod](e, "default", "p"); got.Status.Phase != corev1.PodRunning || got.Spec.NodeName != "n" {
			t.Errorf("after a status update: phase %s, node %s", got.Status.Phase, got.Spec.NodeName)
		}
		_, err := update(e, "default", "p", "nothing", func(*corev1.Pod) {})
		wantReason(t, err, metav1.StatusReasonNotFound)
	})
}

func TestScaleSubresource(t *testing.T) {
	inBubble(t, func(t *testing.T, e *engine) {
		one := int32(1)
		e.mustCreate("default", &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "d", Namespace: "default"}, Spec: appsv1.DeploymentSpec{Replicas: &one}})
		deployments := of[*appsv1.Deployment](e)
		it, err := deployments.GetSubresource(e.ctx, "default", "d", "scale", metav1.GetOptions{})
		if err != nil || it.Object.(*autoscalingv1.Scale).Spec.Replicas != 1 {
			t.Fatalf("scale = %v, %v", it, err)
		}
		it, _, err = deployments.Update(e.ctx, "default", "d", "scale", func(current api.Object) (api.Object, error) {
			scale := current.(*autoscalingv1.Scale).DeepCopy()
			scale.Spec.Replicas = 3
			return scale, nil
		}, rest.UpdateOptions{})
		if err != nil || it.Object.(*autoscalingv1.Scale).Spec.Replicas != 3 {
			t.Fatalf("scaled = %v, %v", it, err)
		}
		if _, err = deployments.Patch(e.ctx, "default", "d", "scale", "application/merge-patch+json", []byte(`{"spec":{"replicas":5}}`), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		if got := mustGet[*appsv1.Deployment](e, "default", "d"); *got.Spec.Replicas != 5 || got.Generation != 3 {
			t.Errorf("replicas %d, generation %d; want 5 and 3", *got.Spec.Replicas, got.Generation)
		}
		stale := it.Object.(*autoscalingv1.Scale).DeepCopy()
		_, _, err = deployments.Update(e.ctx, "default", "d", "scale", rest.Replace(stale), rest.UpdateOptions{})
		wantReason(t, err, metav1.StatusReasonConflict)
	})
}
