package registry

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// A projected token lives for ten minutes at least.
const (
	minTokenExpiry int64 = 10 * 60
	maxTokenExpiry int64 = 1 << 32
)

func validateProjected(p *corev1.ProjectedVolumeSource, path *field.Path) field.ErrorList {
	errs := validateMode(p.DefaultMode, path.Child("defaultMode"))
	files := map[string]bool{}
	for i := range p.Sources {
		errs = append(errs, validateProjection(&p.Sources[i], files, path.Child("sources").Index(i))...)
	}
	return errs
}

// validateProjection checks one source. files are the paths that the sources before it write.
func validateProjection(s *corev1.VolumeProjection, files map[string]bool, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	sources := 0
	file := func(name string, at *field.Path) {
		if name != "" && files[name] {
			errs = append(errs, field.Invalid(at, name, "conflicting duplicate paths"))
		}
		files[name] = true
	}
	items := func(items []corev1.KeyToPath, at *field.Path) {
		errs = append(errs, validateItems(items, at)...)
		for i, item := range items {
			file(item.Path, at.Index(i).Child("path"))
		}
	}
	if r := s.Secret; r != nil {
		sources++
		errs = append(errs, requiredName(r.Name, path.Child("secret", "name"))...)
		items(r.Items, path.Child("secret", "items"))
	}
	if r := s.ConfigMap; r != nil {
		sources++
		errs = append(errs, requiredName(r.Name, path.Child("configMap", "name"))...)
		items(r.Items, path.Child("configMap", "items"))
	}
	if r := s.DownwardAPI; r != nil {
		sources++
		at := path.Child("downwardAPI", "items")
		errs = append(errs, validateDownwardItems(r.Items, at)...)
		for i, item := range r.Items {
			file(item.Path, at.Index(i).Child("path"))
		}
	}
	if r := s.ServiceAccountToken; r != nil {
		sources++
		errs = append(errs, validateTokenProjection(r, path.Child("serviceAccountToken"))...)
		file(r.Path, path.Child("serviceAccountToken", "path"))
	}
	if r := s.ClusterTrustBundle; r != nil {
		sources++
		errs = append(errs, validateFilePath(r.Path, path.Child("clusterTrustBundle", "path"))...)
		file(r.Path, path.Child("clusterTrustBundle", "path"))
	}
	if s.PodCertificate != nil {
		sources++
	}
	switch {
	case sources == 0:
		errs = append(errs, field.Required(path, "must specify a projected volume source"))
	case sources > 1:
		errs = append(errs, field.Forbidden(path, "may not specify more than 1 volume type"))
	}
	return errs
}

func validateTokenProjection(t *corev1.ServiceAccountTokenProjection, path *field.Path) field.ErrorList {
	errs := validateFilePath(t.Path, path.Child("path"))
	at := path.Child("expirationSeconds")
	switch s := t.ExpirationSeconds; {
	case s == nil:
		errs = append(errs, field.Required(at, ""))
	case *s < minTokenExpiry:
		errs = append(errs, field.Invalid(at, *s, "may not specify a duration less than 10 minutes"))
	case *s > maxTokenExpiry:
		errs = append(errs, field.Invalid(at, *s, fmt.Sprintf("may not specify a duration larger than 2^32 seconds (%d)", maxTokenExpiry)))
	}
	return errs
}
