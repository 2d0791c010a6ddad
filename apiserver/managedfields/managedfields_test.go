package managedfields

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
	"sigs.k8s.io/yaml"

	"github.com/miniorch/miniorch/pkg/api"
)

var (
	early = metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	late  = metav1.NewTime(early.Add(time.Hour))
)

func keeper(kind string, new func() api.Object, subresource string, ignore ...string) *Keeper {
	gv := corev1.SchemeGroupVersion
	if kind == "Deployment" {
		gv = appsv1.SchemeGroupVersion
	}
	return New(Kind{GroupVersionKind: gv.WithKind(kind), New: new, Subresource: subresource, Ignore: ignore})
}

func deployments(subresource string, ignore ...string) *Keeper {
	return keeper("Deployment", func() api.Object { return &appsv1.Deployment{} }, subresource, ignore...)
}

func deployment() *appsv1.Deployment {
	labels := map[string]string{"app": "web"}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop", UID: "u", ResourceVersion: "7", Generation: 3, Labels: labels},
		Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To[int32](3), Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{
				Containers: []corev1.Container{{Name: "c", Image: "i:1", Ports: []corev1.ContainerPort{
					{ContainerPort: 53, Protocol: corev1.ProtocolUDP}, {ContainerPort: 53, Protocol: corev1.ProtocolTCP}}}},
			}},
		},
		Status: appsv1.DeploymentStatus{Replicas: 1},
	}
}

func apply(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		t.Fatal(err)
	}
	return u
}

// ownedBy returns the fields that a manager owns, as JSON.
func ownedBy(obj api.Object, manager string) string {
	for _, e := range obj.GetManagedFields() {
		if e.Manager == manager {
			return e.FieldsV1.GetRawString()
		}
	}
	return ""
}

func TestCreated(t *testing.T) {
	obj := deployment()
	if err := deployments("", "status").Created(obj, "kubectl-create", early); err != nil {
		t.Fatal(err)
	}
	if len(obj.ManagedFields) != 1 {
		t.Fatalf("%d entries", len(obj.ManagedFields))
	}
	e := obj.ManagedFields[0]
	var tree map[string]any
	if err := json.Unmarshal(e.FieldsV1.GetRawBytes(), &tree); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"f:metadata": map[string]any{"f:labels": map[string]any{".": map[string]any{}, "f:app": map[string]any{}}},
		"f:spec": map[string]any{
			"f:replicas": map[string]any{}, "f:selector": map[string]any{},
			"f:template": map[string]any{
				"f:metadata": map[string]any{"f:labels": map[string]any{".": map[string]any{}, "f:app": map[string]any{}}},
				"f:spec": map[string]any{"f:containers": map[string]any{`k:{"name":"c"}`: map[string]any{
					".": map[string]any{}, "f:name": map[string]any{}, "f:image": map[string]any{}, "f:resources": map[string]any{},
					"f:ports": map[string]any{".": map[string]any{},
						`k:{"containerPort":53,"protocol":"TCP"}`: map[string]any{".": map[string]any{}, "f:containerPort": map[string]any{}, "f:protocol": map[string]any{}},
						`k:{"containerPort":53,"protocol":"UDP"}`: map[string]any{".": map[string]any{}, "f:containerPort": map[string]any{}, "f:protocol": map[string]any{}}},
				}}},
			},
		},
	}
	if diff := cmp.Diff(want, tree); diff != "" {
		t.Error(diff)
	}
	e.FieldsV1, e.Time = nil, nil
	if diff := cmp.Diff(metav1.ManagedFieldsEntry{Manager: "kubectl-create", Operation: "Update", APIVersion: "apps/v1", FieldsType: "FieldsV1"}, e); diff != "" {
		t.Error(diff)
	}
}

// TestCreatedIsUpdateOfNothing: the short way and the library's come to the same.
func TestCreatedIsUpdateOfNothing(t *testing.T) {
	k := deployments("", "status")
	short, long := deployment(), deployment()
	if err := k.Created(short, "me", early); err != nil {
		t.Fatal(err)
	}
	if err := k.byLibrary(&appsv1.Deployment{}, long, "me", early); err != nil {
		t.Fatal(err)
	}
	if ownedBy(short, "me") != ownedBy(long, "me") || ownedBy(short, "me") == "" {
		t.Errorf("%s\nis not\n%s", ownedBy(short, "me"), ownedBy(long, "me"))
	}
}

// TestSchemaReadsLikeTheWhole: for every kind, the cut schema finds the same fields in an
// object as the one that it was cut from.
func TestSchemaReadsLikeTheWhole(t *testing.T) {
	all := applyconfigurations.NewTypeConverter(api.Scheme)
	for _, d := range storedKinds() {
		obj := d.New()
		if dep, ok := obj.(*appsv1.Deployment); ok {
			deployment().DeepCopyInto(dep)
		}
		obj.GetObjectKind().SetGroupVersionKind(d.GVK())
		obj.SetOwnerReferences([]metav1.OwnerReference{{UID: "o", Name: "o"}})
		obj.SetFinalizers([]string{"a/b"})
		if d.Default != nil {
			d.Default(obj)
		}
		want, err := all.ObjectToTyped(obj)
		if err != nil {
			t.Fatal(err)
		}
		got, err := New(Kind{GroupVersionKind: d.GVK(), New: d.New}).library().converter.ObjectToTyped(obj)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := fieldSet(t, want), fieldSet(t, got); !bytes.Equal(a, b) {
			t.Errorf("%s: %s\nis not\n%s", d.GVK(), b, a)
		}
	}
}

func fieldSet(t *testing.T, value *typed.TypedValue) []byte {
	t.Helper()
	set, err := value.ToFieldSet()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := set.ToJSON()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestUpdated(t *testing.T) {
	k, status := deployments("", "status"), deployments("status", "spec")
	old := deployment()
	if err := k.Created(old, "maker", early); err != nil {
		t.Fatal(err)
	}
	before := old.DeepCopy()
	obj := old.DeepCopy()
	obj.Spec.Replicas = ptr.To[int32](5)
	if err := k.Updated(old, obj, "scaler", late); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, old); diff != "" {
		t.Errorf("the old object was changed: %s", diff)
	}
	if obj.APIVersion != "" || obj.Kind != "" {
		t.Error("the object was given a type")
	}
	if got := ownedBy(obj, "scaler"); got != `{"f:spec":{"f:replicas":{}}}` {
		t.Errorf("the new owner has %s", got)
	}
	if strings.Contains(ownedBy(obj, "maker"), "replicas") {
		t.Error("the old owner still has the replicas")
	}
	for _, e := range obj.ManagedFields {
		if e.Manager == "scaler" && !e.Time.Equal(&late) || e.Manager == "maker" && !e.Time.Equal(&early) {
			t.Errorf("%s at %v", e.Manager, e.Time)
		}
	}
	reported := obj.DeepCopy()
	reported.Status.Replicas = 5
	if err := status.Updated(obj, reported, "controller", late); err != nil {
		t.Fatal(err)
	}
	last := reported.ManagedFields[1] // of two of the same time, the first by name
	if last.Subresource != "status" || ownedBy(reported, "controller") != `{"f:status":{"f:replicas":{}}}` {
		t.Errorf("the status's owner: %+v", last)
	}
	cleared := reported.DeepCopy()
	cleared.ManagedFields = []metav1.ManagedFieldsEntry{{}}
	if err := k.Updated(reported, cleared, "somebody", late); err != nil {
		t.Fatal(err)
	}
	if len(cleared.ManagedFields) != 0 {
		t.Errorf("one empty entry clears them all: %v", cleared.ManagedFields)
	}
}

// TestApplied follows Kubernetes' page on server-side apply.
func TestApplied(t *testing.T) {
	k := deployments("", "status")
	head := "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop}\n"
	live := deployment()
	if err := k.Created(live, "maker", early); err != nil {
		t.Fatal(err)
	}
	use := func(text, manager string, force bool) (*appsv1.Deployment, error) {
		obj, err := k.Applied(live, apply(t, head+text), manager, force, late)
		if err != nil {
			return nil, err
		}
		live = obj.(*appsv1.Deployment)
		return live, nil
	}
	if d, err := use("spec: {replicas: 3}", "a", false); err != nil || *d.Spec.Replicas != 3 || !strings.Contains(ownedBy(d, "maker"), "replicas") {
		t.Errorf("what others own may be wanted alike: %v", err)
	}
	_, err := use("spec: {replicas: 4}", "a", false)
	if !apierrors.IsConflict(err) || !strings.Contains(err.Error(), `conflict with "maker" using apps/v1: .spec.replicas`) {
		t.Errorf("another's field: %v", err)
	}
	if causes := err.(apierrors.APIStatus).Status().Details.Causes; len(causes) != 1 || causes[0].Type != metav1.CauseTypeFieldManagerConflict || causes[0].Field != ".spec.replicas" {
		t.Errorf("causes: %+v", causes)
	}
	d, err := use("spec: {replicas: 4}", "a", true)
	if err != nil || *d.Spec.Replicas != 4 || strings.Contains(ownedBy(d, "maker"), "replicas") {
		t.Errorf("by force: %v", err)
	}
	again := live.DeepCopy()
	if _, err := use("spec: {replicas: 4}", "a", false); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(again.ManagedFields, live.ManagedFields); diff != "" {
		t.Errorf("applying the same again: %s", diff)
	}
	if d, err = use("spec: {template: {spec: {containers: [{name: side, image: s}]}}}", "a", false); err != nil {
		t.Fatal(err)
	}
	if len(d.Spec.Template.Spec.Containers) != 2 || d.Spec.Replicas != nil {
		t.Errorf("containers merge by name, and what is no longer applied goes: %v, %d containers", ptr.Deref(d.Spec.Replicas, -1), len(d.Spec.Template.Spec.Containers))
	}
	for text, want := range map[string]string{
		"spec: {foo: bar}":       ".spec.foo: field not declared in schema",
		"spec: {replicas: many}": "replicas",
	} {
		if _, err := use(text, "a", false); !apierrors.IsBadRequest(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestAppliedToNothing is a creation.
func TestAppliedToNothing(t *testing.T) {
	k := deployments("", "status")
	obj, err := k.Applied(&appsv1.Deployment{}, apply(t, "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 2}\nstatus: {replicas: 9}"), "a", false, late)
	if err != nil {
		t.Fatal(err)
	}
	if got := ownedBy(obj, "a"); got != `{"f:spec":{"f:replicas":{}}}` || obj.GetManagedFields()[0].Operation != metav1.ManagedFieldsOperationApply {
		t.Errorf("owned: %s", got)
	}
}

func BenchmarkCreated(b *testing.B) {
	k := deployments("", "status")
	b.ReportAllocs()
	for b.Loop() {
		if err := k.Created(deployment(), "me", early); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUpdated(b *testing.B) {
	k, status := deployments("", "status"), deployments("status", "spec")
	old := deployment()
	if err := k.Created(old, "me", early); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		obj := old.DeepCopy()
		obj.Status.Replicas++
		if err := status.Updated(old, obj, "controller", late); err != nil {
			b.Fatal(err)
		}
	}
}
