package admission

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/claims"
)

func TestNodesAndVolumes(t *testing.T) {
	now := metav1.Now()
	stored := func(change func(*corev1.PersistentVolume)) *corev1.PersistentVolume {
		v := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{
			Name: "v", ResourceVersion: "5", Finalizers: []string{claims.LocalPath}, DeletionTimestamp: &now,
			Labels: map[string]string{claims.LocalPathNode: "n1"}, Annotations: map[string]string{claims.ProvisionedBy: claims.LocalPath},
		}}
		v.Spec.Local = &corev1.LocalVolumeSource{Path: "/data/v"}
		if change != nil {
			change(v)
		}
		return v
	}
	free := func(v *corev1.PersistentVolume) { v.Finalizers = nil }
	for _, tc := range []struct {
		name      string
		operation Operation
		old, new  *corev1.PersistentVolume
		allowed   bool
	}{
		{"removed", Update, stored(nil), stored(free), true},
		{"made", Update, stored(nil), stored(func(v *corev1.PersistentVolume) { v.Annotations[claims.LocalPathMade] = "true" }), true},
		{"removed while it is wanted", Update, stored(func(v *corev1.PersistentVolume) { v.DeletionTimestamp = nil }),
			stored(func(v *corev1.PersistentVolume) { v.DeletionTimestamp, v.Finalizers = nil, nil }), false},
		{"on another node", Update, stored(func(v *corev1.PersistentVolume) { v.Labels[claims.LocalPathNode] = "n2" }),
			stored(func(v *corev1.PersistentVolume) { v.Labels[claims.LocalPathNode], v.Finalizers = "n2", nil }), false},
		{"of another maker", Update, stored(func(v *corev1.PersistentVolume) { v.Annotations = nil }), stored(free), false},
		{"another path", Update, stored(nil), stored(func(v *corev1.PersistentVolume) { v.Spec.Local.Path = "/etc" }), false},
		{"another's finalizer", Update, stored(func(v *corev1.PersistentVolume) { v.Finalizers = append(v.Finalizers, "x/y") }), stored(free), false},
		{"new", Create, nil, stored(nil), false},
		{"gone", Delete, stored(nil), nil, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := &Request{Operation: tc.operation, Resource: api.ResourceFor[*corev1.PersistentVolume](), Name: "v"}
			if tc.old != nil {
				r.Old = tc.old
			}
			if tc.new != nil {
				r.Object = tc.new
			}
			if err := restrictVolume(r, "n1"); (err == nil) != tc.allowed {
				t.Errorf("got %v, want allowed: %v", err, tc.allowed)
			}
		})
	}
}
