package admission_test

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/apiserver/admission"
	"github.com/miniorch/miniorch/pkg/api"
)

func storageClass(name string, isDefault, grows bool, age time.Duration) *storagev1.StorageClass {
	class := &storagev1.StorageClass{
		ObjectMeta:           metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(time.Unix(100000, 0).Add(-age))},
		AllowVolumeExpansion: &grows,
	}
	if isDefault {
		class.Annotations = map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}
	}
	return class
}

func claimOf(class *string, size string) *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "c"}, Spec: corev1.PersistentVolumeClaimSpec{
		StorageClassName: class, Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{"storage": resource.MustParse(size)}},
	}}
}

func claimRequest(op admission.Operation, claim *corev1.PersistentVolumeClaim, old *corev1.PersistentVolumeClaim) *admission.Request {
	r := &admission.Request{Operation: op, Resource: api.ResourceFor[*corev1.PersistentVolumeClaim](), Namespace: "default", Name: "c", Object: claim}
	if old != nil {
		r.Old = old
	}
	return r
}

// https://kubernetes.io/docs/concepts/storage/storage-classes/#default-storageclass
func TestDefaultStorageClass(t *testing.T) {
	for _, tc := range []struct {
		name    string
		cluster cluster
		asked   *string
		want    string // "-": none
	}{
		{"the default", cluster{storageClass("a", false, false, 0), storageClass("b", true, false, 0)}, nil, "b"},
		{"no default", cluster{storageClass("a", false, false, 0)}, nil, "-"},
		{"the newest of several", cluster{storageClass("a", true, false, time.Hour), storageClass("b", true, false, time.Minute)}, nil, "b"},
		{"another was asked for", cluster{storageClass("b", true, false, 0)}, ptr("a"), "a"},
		{"none was asked for", cluster{storageClass("b", true, false, 0)}, ptr(""), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			claim := claimOf(tc.asked, "1Gi")
			if err := (admission.DefaultStorageClass{Read: tc.cluster}).Admit(t.Context(), claimRequest(admission.Create, claim, nil)); err != nil {
				t.Fatal(err)
			}
			got := "-"
			if claim.Spec.StorageClassName != nil {
				got = *claim.Spec.StorageClassName
			}
			if got != tc.want {
				t.Errorf("got class %q, want %q", got, tc.want)
			}
		})
	}
}

// https://kubernetes.io/docs/concepts/storage/persistent-volumes/#expanding-persistent-volumes-claims
func TestClaimResize(t *testing.T) {
	classes := cluster{storageClass("grows", false, true, 0), storageClass("stays", false, false, 0)}
	for _, tc := range []struct {
		name, class, size string
		phase             corev1.PersistentVolumeClaimPhase
		refusal           string
	}{
		{"allowed", "grows", "2Gi", corev1.ClaimBound, ""},
		{"not allowed", "stays", "2Gi", corev1.ClaimBound, "only dynamically provisioned pvc can be resized"},
		{"no class", "", "2Gi", corev1.ClaimBound, "only dynamically provisioned pvc can be resized"},
		{"same size", "stays", "1Gi", corev1.ClaimBound, ""},
		{"not bound", "grows", "2Gi", corev1.ClaimPending, "Only bound persistent volume claims can be expanded"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			old := claimOf(&tc.class, "1Gi")
			old.Status.Phase = tc.phase
			err := admission.ClaimResize{Read: classes}.Validate(t.Context(), claimRequest(admission.Update, claimOf(&tc.class, tc.size), old))
			if tc.refusal == "" && err != nil || tc.refusal != "" && (!apierrors.IsForbidden(err) || !strings.Contains(err.Error(), tc.refusal)) {
				t.Errorf("%v, want %q", err, tc.refusal)
			}
		})
	}
}
