package registry

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
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
	wantErrors(t, validateNamespace(ns), "spec.finalizers[1]: Invalid value: \"mine\": name is neither a standard finalizer name nor is it fully qualified")
	ns.Status.Phase = corev1.NamespaceTerminating
	wantErrors(t, validateNamespaceStatus(ns, ns), "may only be 'Active' if `deletionTimestamp` is empty")
	ns.DeletionTimestamp = ptr.To(metav1.Now())
	wantErrors(t, validateNamespaceStatus(ns, ns))
	ns.Status.Phase = corev1.NamespaceActive
	wantErrors(t, validateNamespaceStatus(ns, ns), "may only be 'Terminating' if `deletionTimestamp` is not empty")
}

func TestLeases(t *testing.T) {
	for _, c := range []struct {
		name, spec string
		want       []string
	}{
		{"good", "{holderIdentity: a, leaseDurationSeconds: 15, leaseTransitions: 0}", nil},
		{"no time", "{leaseDurationSeconds: 0}", []string{"spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"}},
		{"transitions", "{leaseTransitions: -1}", []string{"spec.leaseTransitions: Invalid value: -1"}},
		{"strategy", "{strategy: Loudest}", []string{"spec.strategy: Unsupported value"}},
		{"preference", "{preferredHolder: a}", []string{"spec.preferredHolder: Forbidden"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantErrors(t, validateLease(from[coordinationv1.Lease](t, "spec: "+c.spec)), c.want...)
		})
	}
}

func TestControllerRevisions(t *testing.T) {
	revision := func(data string) *appsv1.ControllerRevision {
		return &appsv1.ControllerRevision{Revision: 1, Data: runtime.RawExtension{Raw: []byte(data)}}
	}
	for _, c := range []struct{ name, data, want string }{
		{"none", "", "data: Required value: data is mandatory"},
		{"null", " null", "data: Required value"},
		{"list", "[]", "data: Invalid value: \"[]\": must be a valid JSON object"},
		{"broken", "{", "data: Invalid value: \"{\": must be valid JSON"},
	} {
		t.Run(c.name, func(t *testing.T) { wantErrors(t, validateControllerRevision(revision(c.data)), c.want) })
	}
	wantErrors(t, validateControllerRevision(revision("{}")))
	wantErrors(t, validateControllerRevisionUpdate(revision("{}"), revision("{}")))
	wantErrors(t, validateControllerRevisionUpdate(revision(`{"a":1}`), revision("{}")), "data: Invalid value: \"\": field is immutable")
	owners := []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: "n"}, {APIVersion: "apps/v1", Kind: "DaemonSet", Name: "d", Controller: ptr.To(true)}}
	if got := controllerOf(owners); got != "daemonset.apps/d" {
		t.Errorf("the controller is %q", got)
	}
}

// TestNames: each kind takes the names that Kubernetes documents for it.
func TestNames(t *testing.T) {
	for _, d := range All(Config{}) {
		var dotted, digit bool
		if d.ValidateName == nil {
			dotted, digit = true, true // a DNS subdomain
		} else {
			dotted, digit = len(d.ValidateName("a.b", false)) == 0, len(d.ValidateName("1a", false)) == 0
		}
		wantDotted := d.Kind != "Namespace" && d.Kind != "Service"
		if dotted != wantDotted || digit != (d.Kind != "Service") {
			t.Errorf("%s: dots allowed: %t, leading digits: %t", d, dotted, digit)
		}
	}
}
