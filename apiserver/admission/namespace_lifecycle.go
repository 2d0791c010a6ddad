package admission

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// immortal are the namespaces that the cluster cannot do without.
var immortal = []string{metav1.NamespaceDefault, metav1.NamespaceSystem, metav1.NamespacePublic}

// NamespaceLifecycle lets objects be created only in namespaces that exist and are not
// being deleted, and keeps the cluster's own namespaces from being deleted.
type NamespaceLifecycle struct {
	Read Reader
}

// Name implements Plugin.
func (NamespaceLifecycle) Name() string { return "NamespaceLifecycle" }

// Admit implements Mutator. It changes nothing, but runs with the mutators so that
// nothing else is done for an object that has nowhere to live.
func (p NamespaceLifecycle) Admit(ctx context.Context, r *Request) error {
	if r.Operation == Delete && r.Is("", "namespaces") && slices.Contains(immortal, r.Name) {
		return Forbid(r, "this namespace may not be deleted")
	}
	if r.Operation != Create || !r.Resource.Namespaced || r.Subresource != "" || r.Is("authorization.k8s.io", "localsubjectaccessreviews") {
		return nil
	}
	obj, err := p.Read.Get(ctx, corev1.SchemeGroupVersion.WithResource("namespaces"), "", r.Namespace)
	if err != nil {
		return err // NotFound: namespaces "x" not found, which is what clients expect
	}
	ns, ok := obj.(*corev1.Namespace)
	if !ok || ns.Status.Phase != corev1.NamespaceTerminating && ns.DeletionTimestamp.IsZero() {
		return nil
	}
	return terminating(r)
}

func terminating(r *Request) error {
	err := apierrors.NewForbidden(r.Resource.GroupResource(), r.Name,
		fmt.Errorf("unable to create new content in namespace %s because it is being terminated", r.Namespace))
	err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes, metav1.StatusCause{
		Type:    corev1.NamespaceTerminatingCause,
		Message: fmt.Sprintf("namespace %s is being terminated", r.Namespace),
		Field:   "metadata.namespace",
	})
	return err
}
