package podspec

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
	p := projection{files: files}
	if r := s.Secret; r != nil {
		p.keys(r.Name, r.Items, path.Child("secret"))
	}
	if r := s.ConfigMap; r != nil {
		p.keys(r.Name, r.Items, path.Child("configMap"))
	}
	if r := s.DownwardAPI; r != nil {
		at := path.Child("downwardAPI", "items")
		p.source(validateDownwardItems(r.Items, at))
		for i, item := range r.Items {
			p.writes(item.Path, at.Index(i).Child("path"))
		}
	}
	if r := s.ServiceAccountToken; r != nil {
		at := path.Child("serviceAccountToken")
		p.source(validateTokenProjection(r, at))
		p.writes(r.Path, at.Child("path"))
	}
	if r := s.ClusterTrustBundle; r != nil {
		at := path.Child("clusterTrustBundle", "path")
		p.source(validateFilePath(r.Path, at))
		p.writes(r.Path, at)
	}
	if s.PodCertificate != nil {
		p.source(nil)
	}
	switch {
	case p.sources == 0:
		return append(p.errs, field.Required(path, "must specify a projected volume source"))
	case p.sources > 1:
		return append(p.errs, field.Forbidden(path, "may not specify more than 1 volume type"))
	}
	return p.errs
}

// projection collects what is found out about one source.
type projection struct {
	files   map[string]bool
	sources int
	errs    field.ErrorList
}

// source counts a kind of source that is set.
func (p *projection) source(errs field.ErrorList) {
	p.sources++
	p.errs = append(p.errs, errs...)
}

// writes notes a file, which no other source of the volume may write.
func (p *projection) writes(name string, at *field.Path) {
	if name != "" && p.files[name] {
		p.errs = append(p.errs, field.Invalid(at, name, "conflicting duplicate paths"))
	}
	p.files[name] = true
}

// keys checks a source that makes files of an object's keys.
func (p *projection) keys(name string, items []corev1.KeyToPath, path *field.Path) {
	at := path.Child("items")
	p.source(append(requiredName(name, path.Child("name")), validateItems(items, at)...))
	for i, item := range items {
		p.writes(item.Path, at.Index(i).Child("path"))
	}
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
