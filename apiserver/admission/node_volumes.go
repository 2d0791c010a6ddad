package admission

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/pkg/claims"
)

// restrictVolume: of the local-path volumes on it a node says that it has made the directory, and,
// when they are being deleted, that it has removed it. That is all it may write.
func restrictVolume(r *Request, node string) error {
	old, isOld := r.Old.(*corev1.PersistentVolume)
	now, isNow := r.Object.(*corev1.PersistentVolume)
	if r.Operation != Update || r.Subresource != "" || !isOld || !isNow {
		return Forbid(r, "node %q may not %s %s", node, strings.ToLower(string(r.Operation)), r.Resource)
	}
	if !claims.IsLocalPath(old) || old.Labels[claims.LocalPathNode] != node {
		return Forbid(r, "node %q can only update local volumes that are on it", node)
	}
	want := old.DeepCopy()
	if made, ok := now.Annotations[claims.LocalPathMade]; ok {
		metav1.SetMetaDataAnnotation(&want.ObjectMeta, claims.LocalPathMade, made)
	}
	if old.DeletionTimestamp != nil && !slices.Contains(now.Finalizers, claims.LocalPath) {
		want.Finalizers = slices.DeleteFunc(want.Finalizers, func(f string) bool { return f == claims.LocalPath })
	}
	have := now.DeepCopy()
	have.ManagedFields, want.ManagedFields = nil, nil
	have.ResourceVersion, want.ResourceVersion = "", ""
	if len(have.Finalizers) == 0 && len(want.Finalizers) == 0 {
		have.Finalizers, want.Finalizers = nil, nil
	}
	if !equality.Semantic.DeepEqual(have, want) {
		return Forbid(r, "node %q may only say of a local volume that its directory was made or removed", node)
	}
	return nil
}
