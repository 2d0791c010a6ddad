package podspec

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
)

// mounts checks where a container sees the pod's volumes.
func (c *podSpecCheck) mounts(ctr *corev1.Container, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	used := map[string]bool{}
	for i := range ctr.VolumeMounts {
		m := &ctr.VolumeMounts[i]
		at := path.Child("volumeMounts").Index(i)
		errs = append(errs, c.mount(m, at)...)
		if m.MountPath != "" && used[m.MountPath] {
			errs = append(errs, field.Invalid(at.Child("mountPath"), m.MountPath, "must be unique"))
		}
		used[m.MountPath] = true
		errs = append(errs, validatePropagation(m, ctr.SecurityContext, at)...)
	}
	for i, d := range ctr.VolumeDevices {
		at := path.Child("volumeDevices").Index(i)
		switch v := c.volumes[d.Name]; {
		case d.Name == "":
			errs = append(errs, field.Required(at.Child("name"), ""))
		case v == nil:
			errs = append(errs, field.NotFound(at.Child("name"), d.Name))
		case v.PersistentVolumeClaim == nil && v.Ephemeral == nil:
			errs = append(errs, field.Invalid(at.Child("name"), d.Name, "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"))
		}
		if d.DevicePath == "" {
			errs = append(errs, field.Required(at.Child("devicePath"), ""))
		} else {
			errs = append(errs, kind.NoBackstep(d.DevicePath, at.Child("devicePath"))...)
		}
		if d.DevicePath != "" && used[d.DevicePath] {
			errs = append(errs, field.Invalid(at.Child("devicePath"), d.DevicePath, "must not already exist as a path in volumeMounts"))
		}
		used[d.DevicePath] = true
	}
	return errs
}

func (c *podSpecCheck) mount(m *corev1.VolumeMount, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	switch {
	case m.Name == "":
		errs = append(errs, field.Required(path.Child("name"), ""))
	case c.volumes[m.Name] == nil:
		errs = append(errs, field.NotFound(path.Child("name"), m.Name))
	}
	if m.MountPath == "" {
		errs = append(errs, field.Required(path.Child("mountPath"), ""))
	}
	if m.SubPath != "" {
		errs = append(errs, kind.RelativeInside(m.SubPath, path.Child("subPath"))...)
	}
	if m.SubPathExpr != "" {
		if m.SubPath != "" {
			errs = append(errs, field.Invalid(path.Child("subPathExpr"), m.SubPathExpr, "subPathExpr and subPath are mutually exclusive"))
		}
		errs = append(errs, kind.RelativeInside(m.SubPathExpr, path.Child("subPathExpr"))...)
	}
	if r := m.RecursiveReadOnly; r != nil {
		at := path.Child("recursiveReadOnly")
		errs = append(errs, kind.OneOf(*r, at, corev1.RecursiveReadOnlyDisabled, corev1.RecursiveReadOnlyEnabled, corev1.RecursiveReadOnlyIfPossible)...)
		if *r != corev1.RecursiveReadOnlyDisabled && !m.ReadOnly {
			errs = append(errs, field.Forbidden(at, "may only be specified when readOnly is true"))
		}
	}
	return errs
}

func validatePropagation(m *corev1.VolumeMount, sc *corev1.SecurityContext, path *field.Path) field.ErrorList {
	if m.MountPropagation == nil {
		return nil
	}
	at := path.Child("mountPropagation")
	errs := kind.OneOf(*m.MountPropagation, at, corev1.MountPropagationBidirectional,
		corev1.MountPropagationHostToContainer, corev1.MountPropagationNone)
	privileged := sc != nil && sc.Privileged != nil && *sc.Privileged
	if *m.MountPropagation == corev1.MountPropagationBidirectional && !privileged {
		errs = append(errs, field.Forbidden(at, "Bidirectional mount propagation is available only to privileged containers"))
	}
	return errs
}
