package storage

import (
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/resource"
)

func volumeAttachments() resource.Descriptor {
	return kind.Describe(kind.Of[*storagev1.VolumeAttachment]{
		Singular:       "volumeattachment",
		New:            func() *storagev1.VolumeAttachment { return &storagev1.VolumeAttachment{} },
		NewList:        func() runtime.Object { return &storagev1.VolumeAttachmentList{} },
		PrepareCreate:  func(a *storagev1.VolumeAttachment) { a.Status = storagev1.VolumeAttachmentStatus{} },
		PrepareUpdate:  func(a, old *storagev1.VolumeAttachment) { a.Status = old.Status },
		Validate:       validateAttachment,
		ValidateUpdate: validateAttachmentUpdate,
		Columns: []kind.Column[*storagev1.VolumeAttachment]{
			kind.NameColumn[*storagev1.VolumeAttachment](),
			kind.TextColumn("Attacher", "The driver that attaches the volume.", func(a *storagev1.VolumeAttachment) string { return a.Spec.Attacher }),
			kind.TextColumn("PV", "The volume to be attached.", func(a *storagev1.VolumeAttachment) string {
				if name := a.Spec.Source.PersistentVolumeName; name != nil {
					return *name
				}
				return ""
			}),
			kind.TextColumn("Node", "Where the volume is to be attached.", func(a *storagev1.VolumeAttachment) string { return a.Spec.NodeName }),
			kind.TextColumn("Attached", "Whether it is.", func(a *storagev1.VolumeAttachment) string { return truth(&a.Status.Attached) }),
			kind.AgeColumn[*storagev1.VolumeAttachment](),
		},
		Subresources: []resource.Subresource{
			kind.StatusOf(func(a, old *storagev1.VolumeAttachment) { a.Spec = old.Spec }, validateAttachmentStatus),
		},
	})
}

func validateAttachment(a *storagev1.VolumeAttachment) field.ErrorList {
	spec := field.NewPath("spec")
	errs := validateDriverName(a.Spec.Attacher, spec.Child("attacher"))
	name, inline := a.Spec.Source.PersistentVolumeName, a.Spec.Source.InlineVolumeSpec
	source := spec.Child("source")
	switch {
	case name == nil && inline == nil:
		errs = append(errs, field.Required(source, "must specify exactly one of inlineVolumeSpec and persistentVolumeName"))
	case name != nil && inline != nil:
		errs = append(errs, field.Forbidden(source, "must specify exactly one of inlineVolumeSpec and persistentVolumeName"))
	case name != nil && *name == "":
		errs = append(errs, field.Required(source.Child("persistentVolumeName"), "must specify non empty persistentVolumeName"))
	case name != nil:
		errs = append(errs, kind.Invalids(source.Child("persistentVolumeName"), *name, utilvalidation.IsDNS1123Subdomain(*name))...)
	case inline != nil && inline.CSI == nil:
		errs = append(errs, field.Forbidden(source.Child("inlineVolumeSpec"), "only volumes of CSI drivers are attached"))
	case inline != nil && len(inline.AccessModes) == 0:
		errs = append(errs, field.Required(source.Child("inlineVolumeSpec", "accessModes"), "at least 1 access mode is required"))
	}
	if a.Spec.NodeName == "" {
		errs = append(errs, field.Required(spec.Child("nodeName"), ""))
	} else {
		errs = append(errs, kind.Invalids(spec.Child("nodeName"), a.Spec.NodeName, utilvalidation.IsDNS1123Subdomain(a.Spec.NodeName))...)
	}
	return append(errs, validateAttachmentStatus(a, nil)...)
}

func validateAttachmentUpdate(a, old *storagev1.VolumeAttachment) field.ErrorList {
	if equality.Semantic.DeepEqual(a.Spec, old.Spec) {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("spec"), a.Spec, kind.Immutable)}
}

func validateAttachmentStatus(a, _ *storagev1.VolumeAttachment) field.ErrorList {
	const longest = 1024 // of what a driver says about an error
	status := field.NewPath("status")
	size := 0
	for k, v := range a.Status.AttachmentMetadata {
		size += len(k) + len(v)
	}
	var errs field.ErrorList
	if size > maxParametersSize {
		errs = append(errs, field.TooLong(status.Child("attachmentMetadata"), "", maxParametersSize))
	}
	for name, e := range map[string]*storagev1.VolumeError{"attachError": a.Status.AttachError, "detachError": a.Status.DetachError} {
		if e != nil && len(e.Message) > longest {
			errs = append(errs, field.TooLong(status.Child(name, "message"), e.Message, longest))
		}
	}
	return errs
}
