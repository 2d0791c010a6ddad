package core

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/apiserver/registry/kindtest"
)

func TestNamespaces(t *testing.T) {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "a", Labels: map[string]string{corev1.LabelMetadataName: "lie"}}}
	defaultNamespace(ns)
	prepareNamespaceCreate(ns)
	want := corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{Name: "a", Labels: map[string]string{"kubernetes.io/metadata.name": "a"}},
		Spec:       corev1.NamespaceSpec{Finalizers: []corev1.FinalizerName{"kubernetes"}},
		Status:     corev1.NamespaceStatus{Phase: corev1.NamespaceActive},
	}
	if diff := cmp.Diff(want, *ns); diff != "" {
		t.Errorf("a new namespace:\n%s", diff)
	}
	changed := ns.DeepCopy()
	changed.Spec.Finalizers, changed.Status.Phase = nil, corev1.NamespaceTerminating
	prepareNamespaceUpdate(changed, ns)
	if diff := cmp.Diff(*ns, *changed); diff != "" {
		t.Errorf("an update may change neither finalizers nor status:\n%s", diff)
	}
	generated := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "a-"}}
	defaultNamespace(generated)
	generated.Name = "a-1"
	prepareNamespaceCreate(generated)
	if got := generated.Labels[corev1.LabelMetadataName]; got != "a-1" {
		t.Errorf("a generated name is labelled %q", got)
	}
	ns.Spec.Finalizers = append(ns.Spec.Finalizers, "mine", "example.com/mine")
	kindtest.WantErrors(t, validateNamespace(ns), "spec.finalizers[1]: Invalid value: \"mine\": name is neither a standard finalizer name nor is it fully qualified")
	ns.Status.Phase = corev1.NamespaceTerminating
	kindtest.WantErrors(t, validateNamespaceStatus(ns, ns), "may only be 'Active' if `deletionTimestamp` is empty")
	ns.DeletionTimestamp = ptr.To(metav1.Now())
	kindtest.WantErrors(t, validateNamespaceStatus(ns, ns))
	ns.Status.Phase = corev1.NamespaceActive
	kindtest.WantErrors(t, validateNamespaceStatus(ns, ns), "may only be 'Terminating' if `deletionTimestamp` is not empty")
}
