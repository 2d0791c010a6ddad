package apps

import (
	"bytes"
	"encoding/json"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/resource"
)

func controllerRevisions() resource.Descriptor {
	type revision = *appsv1.ControllerRevision
	return kind.Describe(kind.Of[revision]{
		Singular:            "controllerrevision",
		New:                 func() revision { return &appsv1.ControllerRevision{} },
		NewList:             func() runtime.Object { return &appsv1.ControllerRevisionList{} },
		Validate:            validateControllerRevision,
		ValidateUpdate:      validateControllerRevisionUpdate,
		UnconditionalUpdate: true,
		Columns: []kind.Column[revision]{
			kind.NameColumn[revision](),
			kind.TextColumn("Controller", "The object whose history this is part of.", func(r revision) string {
				return controllerOf(r.OwnerReferences)
			}),
			kind.CountColumn("Revision", "The number of the revision.", func(r revision) int64 { return r.Revision }),
			kind.AgeColumn[revision](),
		},
	})
}

// controllerOf names a controlling owner as "deployment.apps/web".
func controllerOf(owners []metav1.OwnerReference) string {
	for _, o := range owners {
		if o.Controller == nil || !*o.Controller {
			continue
		}
		kind := strings.ToLower(o.Kind)
		if group, _, ok := strings.Cut(o.APIVersion, "/"); ok {
			kind += "." + group
		}
		return kind + "/" + o.Name
	}
	return kind.None
}

func validateControllerRevision(r *appsv1.ControllerRevision) field.ErrorList {
	var errs field.ErrorList
	if r.Revision < 0 {
		errs = append(errs, field.Invalid(field.NewPath("revision"), r.Revision, "must be greater than or equal to 0"))
	}
	data := field.NewPath("data")
	raw := bytes.TrimSpace(r.Data.Raw)
	switch {
	case r.Data.Object != nil:
	case len(raw) == 0 || bytes.Equal(raw, []byte("null")):
		errs = append(errs, field.Required(data, "data is mandatory"))
	case !json.Valid(raw):
		errs = append(errs, field.Invalid(data, string(raw), "must be valid JSON"))
	case raw[0] != '{':
		errs = append(errs, field.Invalid(data, string(raw), "must be a valid JSON object"))
	}
	return errs
}

func validateControllerRevisionUpdate(r, old *appsv1.ControllerRevision) field.ErrorList {
	if equality.Semantic.DeepEqual(r.Data, old.Data) {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("data"), "", kind.Immutable)}
}
