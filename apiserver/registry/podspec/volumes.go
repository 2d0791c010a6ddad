package podspec

import (
	"reflect"
	"strings"

	corev1 "k8s.io/api/core/v1"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
)

// volumesOf checks the volumes and remembers them by name for the mounts.
func (c *podSpecCheck) volumesOf(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	names := map[string]bool{}
	for i := range c.spec.Volumes {
		v := &c.spec.Volumes[i]
		at := path.Index(i)
		errs = append(errs, uniqueLabel(v.Name, names, at.Child("name"))...)
		errs = append(errs, validateVolumeSource(&v.VolumeSource, at)...)
		c.volumes[v.Name] = v
	}
	return errs
}

// sourceNames lists the JSON names of the sources that are set.
func sourceNames(s *corev1.VolumeSource) []string {
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

func validateVolumeSource(s *corev1.VolumeSource, path *field.Path) field.ErrorList {
	names := sourceNames(s)
	if len(names) == 0 {
		return field.ErrorList{field.Required(path, "must specify a volume type")}
	}
	var errs field.ErrorList
	for _, name := range names[1:] {
		errs = append(errs, field.Forbidden(path.Child(name), "may not specify more than 1 volume type"))
	}
	if len(errs) > 0 {
		return errs
	}
	at := path.Child(names[0])
	switch {
	case s.HostPath != nil:
		return validateHostPath(s.HostPath, at)
	case s.EmptyDir != nil:
		return validateEmptyDir(s.EmptyDir, at)
	case s.Secret != nil:
		errs = requiredName(s.Secret.SecretName, at.Child("secretName"))
		errs = append(errs, validateMode(s.Secret.DefaultMode, at.Child("defaultMode"))...)
		return append(errs, validateItems(s.Secret.Items, at.Child("items"))...)
	case s.ConfigMap != nil:
		errs = requiredName(s.ConfigMap.Name, at.Child("name"))
		errs = append(errs, validateMode(s.ConfigMap.DefaultMode, at.Child("defaultMode"))...)
		return append(errs, validateItems(s.ConfigMap.Items, at.Child("items"))...)
	case s.DownwardAPI != nil:
		errs = validateMode(s.DownwardAPI.DefaultMode, at.Child("defaultMode"))
		return append(errs, validateDownwardItems(s.DownwardAPI.Items, at.Child("items"))...)
	case s.Projected != nil:
		return validateProjected(s.Projected, at)
	}
	return append(validateRemoteVolume(s, at), RequiredOfRemote(names[0], s, at)...)
}

func validateHostPath(h *corev1.HostPathVolumeSource, path *field.Path) field.ErrorList {
	if h.Path == "" {
		return field.ErrorList{field.Required(path.Child("path"), "")}
	}
	errs := kind.NoBackstep(h.Path, path.Child("path"))
	if h.Type != nil {
		errs = append(errs, kind.OneOf(*h.Type, path.Child("type"), corev1.HostPathUnset, corev1.HostPathDirectoryOrCreate,
			corev1.HostPathDirectory, corev1.HostPathFileOrCreate, corev1.HostPathFile, corev1.HostPathSocket,
			corev1.HostPathCharDev, corev1.HostPathBlockDev)...)
	}
	return errs
}

func validateEmptyDir(e *corev1.EmptyDirVolumeSource, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if e.SizeLimit != nil && e.SizeLimit.Sign() < 0 {
		errs = append(errs, field.Forbidden(path.Child("sizeLimit"), "SizeLimit field must be a valid resource quantity"))
	}
	return append(errs, validateMode(e.Mode, path.Child("mode"))...)
}

func validateMode(mode *int32, path *field.Path) field.ErrorList {
	if mode != nil && (*mode < 0 || *mode > 0o777) {
		return field.ErrorList{field.Invalid(path, *mode, "must be a number between 0 and 0777 (octal), both inclusive")}
	}
	return nil
}

func validateItems(items []corev1.KeyToPath, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, item := range items {
		at := path.Index(i)
		if item.Key == "" {
			errs = append(errs, field.Required(at.Child("key"), ""))
		}
		errs = append(errs, validateFilePath(item.Path, at.Child("path"))...)
		errs = append(errs, validateMode(item.Mode, at.Child("mode"))...)
	}
	return errs
}

// validateFilePath checks where in a volume a file goes. A leading ".." is kept for the
// links by which the files are replaced all at once.
func validateFilePath(p string, path *field.Path) field.ErrorList {
	if p == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	errs := kind.RelativeInside(p, path)
	if strings.HasPrefix(p, "..") && !strings.HasPrefix(p, "../") && p != ".." {
		errs = append(errs, field.Invalid(path, p, "must not start with '..'"))
	}
	return errs
}

func validateDownwardItems(items []corev1.DownwardAPIVolumeFile, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, item := range items {
		at := path.Index(i)
		errs = append(errs, validateFilePath(item.Path, at.Child("path"))...)
		errs = append(errs, validateMode(item.Mode, at.Child("mode"))...)
		switch {
		case item.FieldRef != nil && item.ResourceFieldRef != nil:
			errs = append(errs, field.Invalid(at, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously"))
		case item.FieldRef != nil:
			errs = append(errs, validateFieldRef(item.FieldRef, fileFieldPaths, at.Child("fieldRef"))...)
		case item.ResourceFieldRef != nil:
			errs = append(errs, validateResourceFieldRef(item.ResourceFieldRef, true, at.Child("resourceFieldRef"))...)
		default:
			errs = append(errs, field.Required(at, "one of fieldRef and resourceFieldRef is required"))
		}
	}
	return errs
}

// validateRemoteVolume checks the little that can be known here of storage systems.
func validateRemoteVolume(s *corev1.VolumeSource, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	required := func(value, name string) {
		if value == "" {
			errs = append(errs, field.Required(path.Child(name), ""))
		}
	}
	switch {
	case s.PersistentVolumeClaim != nil:
		required(s.PersistentVolumeClaim.ClaimName, "claimName")
	case s.Image != nil:
		required(s.Image.Reference, "reference")
		errs = append(errs, kind.OneOf(s.Image.PullPolicy, path.Child("pullPolicy"), corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever)...)
	case s.NFS != nil:
		required(s.NFS.Server, "server")
		required(s.NFS.Path, "path")
		if s.NFS.Path != "" && !strings.HasPrefix(s.NFS.Path, "/") {
			errs = append(errs, field.Invalid(path.Child("path"), s.NFS.Path, "must be an absolute path"))
		}
	case s.CSI != nil:
		required(s.CSI.Driver, "driver")
		if s.CSI.Driver != "" {
			errs = append(errs, kind.Invalids(path.Child("driver"), s.CSI.Driver, utilvalidation.IsDNS1123Subdomain(strings.ToLower(s.CSI.Driver)))...)
		}
	case s.Ephemeral != nil:
		if t := s.Ephemeral.VolumeClaimTemplate; t == nil {
			errs = append(errs, field.Required(path.Child("volumeClaimTemplate"), ""))
		} else {
			errs = append(errs, validateClaimTemplate(t, path.Child("volumeClaimTemplate"))...)
		}
	case s.FC != nil:
		errs = append(errs, ValidateFC(s.FC, path)...)
	case s.GitRepo != nil:
		errs = append(errs, field.Forbidden(path, "gitRepo volumes run the repository's code on the node; clone in an init container instead"))
	}
	return errs
}
