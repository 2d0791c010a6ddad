package rest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/pkg/api"
)

// TestPartsAreTheWhole: a patch that is applied to the parts that it names gives what it gives
// when it is applied to the whole object, and the result shares nothing with the object.
func TestPartsAreTheWhole(t *testing.T) {
	now := metav1.NewTime(time.Unix(1_800_000_000, 0))
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "n", UID: "u", ResourceVersion: "5", CreationTimestamp: now, Labels: map[string]string{"a": "b"},
			Finalizers: []string{"x/y"}, ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "m", Operation: "Update", FieldsV1: metav1.NewFieldsV1("{}")}}},
		Spec:   corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{{Name: "c", Image: "i", Env: []corev1.EnvVar{{Name: "A", Value: "1"}}}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, StartTime: &now, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	}
	patches := []string{
		`{}`, `{"metadata":{"labels":{"c":"d"}}}`, `{"metadata":null}`, `{"spec":{"nodeName":null}}`, `{"spec":null}`,
		`{"status":{"conditions":[{"type":"Ready","status":"False"},{"type":"Other","status":"True"}]}}`,
		`{"metadata":{"finalizers":["q/r"]},"status":{"phase":"Failed"}}`, `{"metadata":{"managedFields":[]}}`,
		`{"spec":{"containers":[{"name":"c","$patch":"delete"},{"name":"d","image":"j"}]}}`, `{"spec":{"$setElementOrder/containers":[{"name":"c"}],"containers":[{"name":"c","image":"k"}]}}`,
		`{"apiVersion":"v1","kind":"Pod","metadata":{"annotations":{"k":"v"}}}`, `{"nothing":1}`, `{"$patch":"replace","spec":{"nodeName":"n2"}}`, `{"kind":"Node"}`,
		`{"spec":"text"}`, `{"metadata":{"resourceVersion":"7","uid":"v"}}`,
	}
	for _, text := range patches {
		for _, kind := range []types.PatchType{types.MergePatchType, types.StrategicMergePatchType} {
			t.Run(string(kind)+" "+text, func(t *testing.T) {
				p := patch{kind: corev1.SchemeGroupVersion.WithKind("Pod"), empty: func() runtime.Object { return &corev1.Pod{} }, data: []byte(text)}
				if err := p.parse(kind); err != nil {
					t.Fatal(err)
				}
				before := pod.DeepCopy()
				got, gotErr := p.applyTo(t.Context(), pod)
				p.parts = nil
				want, wantErr := p.applyTo(t.Context(), pod)
				if (gotErr == nil) != (wantErr == nil) || gotErr != nil && gotErr.Error() != wantErr.Error() {
					t.Fatalf("by parts %v, as a whole %v", gotErr, wantErr)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("the whole and its parts differ (-whole +parts):\n%s", diff)
				}
				if got != nil {
					scribble(got)
				}
				if diff := cmp.Diff(before, pod); diff != "" {
					t.Errorf("the object has changed:\n%s", diff)
				}
			})
		}
	}
}

// scribble changes what an object refers to.
func scribble(obj api.Object) {
	p := obj.(*corev1.Pod)
	for k := range p.Labels {
		p.Labels[k] = "scribble"
	}
	for i := range p.Spec.Containers {
		p.Spec.Containers[i].Image = "scribble"
	}
	for i := range p.Status.Conditions {
		p.Status.Conditions[i].Status = "scribble"
	}
	for i := range p.Finalizers {
		p.Finalizers[i] = "scribble"
	}
}
