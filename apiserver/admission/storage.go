package admission

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/miniorch/miniorch/pkg/claims"
)

var storageClasses = storagev1.SchemeGroupVersion.WithResource("storageclasses")

// DefaultStorageClass gives a claim that names no class the default one, if there is one.
type DefaultStorageClass struct{ Read Reader }

// Name implements Plugin.
func (DefaultStorageClass) Name() string { return "DefaultStorageClass" }

// Admit implements Mutator.
func (p DefaultStorageClass) Admit(ctx context.Context, r *Request) error {
	claim, ok := r.Object.(*corev1.PersistentVolumeClaim)
	if !ok || r.Operation != Create || r.Subresource != "" || claims.NamesClass(claim) {
		return nil
	}
	objs, err := p.Read.List(ctx, storageClasses, "")
	if err != nil {
		return fmt.Errorf("looking for the default StorageClass: %w", err)
	}
	classes := make([]*storagev1.StorageClass, 0, len(objs))
	for _, obj := range objs {
		classes = append(classes, obj.(*storagev1.StorageClass))
	}
	if class := claims.Default(classes); class != nil {
		claim.Spec.StorageClassName = &class.Name
	}
	return nil
}

// ClaimResize lets a claim grow only if its class says that its volumes can.
type ClaimResize struct{ Read Reader }

// Name implements Plugin.
func (ClaimResize) Name() string { return "PersistentVolumeClaimResize" }

// Validate implements Validator.
func (p ClaimResize) Validate(ctx context.Context, r *Request) error {
	claim, isClaim := r.Object.(*corev1.PersistentVolumeClaim)
	old, isOld := r.Old.(*corev1.PersistentVolumeClaim)
	if !isClaim || !isOld || r.Operation != Update || r.Subresource != "" {
		return nil
	}
	now, was := claims.Request(claim), claims.Request(old)
	if now.Cmp(was) <= 0 {
		return nil
	}
	if old.Status.Phase != corev1.ClaimBound {
		return Forbid(r, "Only bound persistent volume claims can be expanded")
	}
	obj, err := p.Read.Get(ctx, storageClasses, "", claims.ClassOf(old))
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("looking the StorageClass up: %w", err)
	}
	class, ok := obj.(*storagev1.StorageClass)
	if err != nil || !ok || class.AllowVolumeExpansion == nil || !*class.AllowVolumeExpansion {
		return Forbid(r, "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize")
	}
	return nil
}
