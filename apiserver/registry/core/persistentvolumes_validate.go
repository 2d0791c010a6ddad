package core

import (
	"path"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/registry/podspec"
	"github.com/miniorch/miniorch/pkg/claims"
)

func validatePersistentVolume(v *corev1.PersistentVolume) field.ErrorList {
	return validateVolumeSpec(&v.Spec, claims.ClassOfVolume(v), field.NewPath("spec"))
}

// validateVolumeSpec checks what a volume is and who may have it.
func validateVolumeSpec(s *corev1.PersistentVolumeSpec, class string, at *field.Path) field.ErrorList {
	errs := podspec.ValidateAccessModes(s.AccessModes, at.Child("accessModes"))
	errs = append(errs, validateCapacity(s.Capacity, at.Child("capacity"))...)
	errs = append(errs, kind.OneOf(s.PersistentVolumeReclaimPolicy, at.Child("persistentVolumeReclaimPolicy"),
		corev1.PersistentVolumeReclaimRecycle, corev1.PersistentVolumeReclaimDelete, corev1.PersistentVolumeReclaimRetain)...)
	errs = append(errs, podspec.ValidateVolumeMode(s.VolumeMode, at.Child("volumeMode"))...)
	if class != "" {
		errs = append(errs, kind.Invalids(at.Child("storageClassName"), class, utilvalidation.IsDNS1123Subdomain(class))...)
	}
	if s.NodeAffinity != nil {
		if s.NodeAffinity.Required == nil {
			errs = append(errs, field.Required(at.Child("nodeAffinity", "required"), "must specify required node constraints"))
		} else {
			errs = append(errs, podspec.ValidateNodeSelector(s.NodeAffinity.Required, at.Child("nodeAffinity", "required"))...)
		}
	}
	errs = append(errs, validateClaimRef(s.ClaimRef, at.Child("claimRef"))...)
	return append(errs, validateVolumeSource(s, at)...)
}

func validateCapacity(l corev1.ResourceList, at *field.Path) field.ErrorList {
	if len(l) == 0 {
		return field.ErrorList{field.Required(at, "")}
	}
	size, ok := l[corev1.ResourceStorage]
	if !ok || len(l) > 1 {
		return field.ErrorList{field.NotSupported(at, kind.SortedNames(l), []string{string(corev1.ResourceStorage)})}
	}
	if size.Sign() <= 0 {
		return field.ErrorList{field.Invalid(at.Key(string(corev1.ResourceStorage)), size.String(), "must be greater than zero")}
	}
	return nil
}

func validateClaimRef(ref *corev1.ObjectReference, at *field.Path) field.ErrorList {
	if ref == nil {
		return nil
	}
	var errs field.ErrorList
	if ref.Name == "" {
		errs = append(errs, field.Required(at.Child("name"), ""))
	}
	if ref.Namespace == "" {
		errs = append(errs, field.Required(at.Child("namespace"), ""))
	}
	return errs
}

// volumeSources lists the JSON names of the sources that are set.
func volumeSources(s *corev1.PersistentVolumeSource) []string {
	var names []string
	v := reflect.ValueOf(s).Elem()
	for i := range v.NumField() {
		if !v.Field(i).IsNil() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			names = append(names, name)
		}
	}
	return names
}

func validateVolumeSource(s *corev1.PersistentVolumeSpec, at *field.Path) field.ErrorList {
	names := volumeSources(&s.PersistentVolumeSource)
	if len(names) == 0 {
		return field.ErrorList{field.Required(at, "must specify a volume type")}
	}
	var errs field.ErrorList
	for _, name := range names[1:] {
		errs = append(errs, field.Forbidden(at.Child(name), "may not specify more than 1 volume type"))
	}
	at2 := at.Child(names[0])
	required := func(value, name string) {
		if value == "" {
			errs = append(errs, field.Required(at2.Child(name), ""))
		}
	}
	switch {
	case len(errs) > 0:
	case s.HostPath != nil:
		required(s.HostPath.Path, "path")
		errs = append(errs, kind.NoBackstep(s.HostPath.Path, at2.Child("path"))...)
		if path.Clean(s.HostPath.Path) == "/" && s.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimRecycle {
			errs = append(errs, field.Forbidden(at.Child("persistentVolumeReclaimPolicy"), "may not be 'recycle' for a hostPath mount of '/'"))
		}
	case s.Local != nil:
		required(s.Local.Path, "path")
		errs = append(errs, kind.NoBackstep(s.Local.Path, at2.Child("path"))...)
		if s.NodeAffinity == nil {
			errs = append(errs, field.Required(at.Child("nodeAffinity"), "Local volume requires node affinity"))
		}
	case s.NFS != nil:
		required(s.NFS.Server, "server")
		required(s.NFS.Path, "path")
		if s.NFS.Path != "" && !strings.HasPrefix(s.NFS.Path, "/") {
			errs = append(errs, field.Invalid(at2.Child("path"), s.NFS.Path, "must be an absolute path"))
		}
	case s.CSI != nil:
		required(s.CSI.Driver, "driver")
		required(s.CSI.VolumeHandle, "volumeHandle")
	case s.FC != nil:
		errs = podspec.ValidateFC(s.FC, at2)
	default:
		errs = podspec.RequiredOfRemote(names[0], &s.PersistentVolumeSource, at2)
	}
	return errs
}

// validatePersistentVolumeUpdate: what a volume is stays; a node affinity may be added.
func validatePersistentVolumeUpdate(v, old *corev1.PersistentVolume) field.ErrorList {
	at := field.NewPath("spec")
	var errs field.ErrorList
	if !equality.Semantic.DeepEqual(v.Spec.PersistentVolumeSource, old.Spec.PersistentVolumeSource) {
		errs = append(errs, field.Forbidden(at.Child("persistentvolumesource"), "spec.persistentvolumesource is immutable after creation"))
	}
	if !equality.Semantic.DeepEqual(v.Spec.VolumeMode, old.Spec.VolumeMode) {
		errs = append(errs, field.Invalid(at.Child("volumeMode"), v.Spec.VolumeMode, kind.Immutable))
	}
	if old.Spec.NodeAffinity != nil && !equality.Semantic.DeepEqual(v.Spec.NodeAffinity, old.Spec.NodeAffinity) {
		errs = append(errs, field.Invalid(at.Child("nodeAffinity"), v.Spec.NodeAffinity, kind.Immutable))
	}
	return errs
}

// servedSources are the kinds of volumes that the nodes can mount.
var servedSources = []string{"hostPath", "local", "nfs", "csi"}

func warnPersistentVolume(v, _ *corev1.PersistentVolume, _ bool) []string {
	at := field.NewPath("spec")
	var all []string
	for _, name := range volumeSources(&v.Spec.PersistentVolumeSource) {
		if !slices.Contains(servedSources, name) {
			all = append(all, kind.Unserved(at.Child(name), "the nodes cannot mount this type of volume; pods that use it will not start"))
		}
	}
	if v.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimRecycle {
		all = append(all, "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning. "+
			"It is not supported here: the volume will fail when its claim goes.")
	}
	if _, ok := v.Annotations[claims.BetaClass]; ok {
		all = append(all, `metadata.annotations[volume.beta.kubernetes.io/storage-class]: deprecated since v1.8; use "storageClassName" attribute instead`)
	}
	if claims.ModeOf(v.Spec.VolumeMode) == corev1.PersistentVolumeBlock && v.Spec.Local == nil && v.Spec.CSI == nil {
		all = append(all, kind.Unserved(at.Child("volumeMode"), "the nodes provide block devices of local volumes and of CSI drivers only; pods that use the volume will not start"))
	}
	return all
}
