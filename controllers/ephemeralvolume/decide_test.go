package ephemeralvolume

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func pod(change func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "p", UID: "u"},
		Spec: corev1.PodSpec{Volumes: []corev1.Volume{
			{Name: "scratch", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{
				VolumeClaimTemplate: &corev1.PersistentVolumeClaimTemplate{
					ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"l": "1"}, Annotations: map[string]string{"n": "2"}},
					Spec:       corev1.PersistentVolumeClaimSpec{VolumeName: "v"},
				}}}},
			{Name: "other"},
		}},
	}
	if change != nil {
		change(p)
	}
	return p
}

// https://kubernetes.io/docs/concepts/storage/ephemeral-volumes/#generic-ephemeral-volumes
func TestDecide(t *testing.T) {
	mine := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(pod(nil), kind)}}}
	now := metav1.Now()
	for _, tc := range []struct {
		name, reason string
		pod          *corev1.Pod
		have         *corev1.PersistentVolumeClaim
		want         Plan
	}{
		{"missing", "it is made as the template says", pod(nil), nil, Plan{Create: []*corev1.PersistentVolumeClaim{{
			ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "p-scratch", Labels: map[string]string{"l": "1"}, Annotations: map[string]string{"n": "2"},
				OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(pod(nil), kind)}},
			Spec: corev1.PersistentVolumeClaimSpec{VolumeName: "v"},
		}}}},
		{"there", "nothing is to be done", pod(nil), mine, Plan{}},
		{"somebody else's", "a user's claim is not taken for a scratch volume", pod(nil), &corev1.PersistentVolumeClaim{}, Plan{Foreign: []string{"p-scratch"}}},
		{"going", "the claim is going with it", pod(func(p *corev1.Pod) { p.DeletionTimestamp = &now }), nil, Plan{}},
		{"over", "it will not run again", pod(func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }), nil, Plan{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := decide(tc.pod, func(string) *corev1.PersistentVolumeClaim { return tc.have })
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}
