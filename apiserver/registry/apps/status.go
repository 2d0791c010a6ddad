package apps

import (
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
)

// count is a number of a status, by the name of its field.
type count struct {
	name  string
	value int32
}

func notNegative(path *field.Path, counts []count) field.ErrorList {
	var errs field.ErrorList
	for _, c := range counts {
		errs = append(errs, kind.NotNegative(c.value, path.Child(c.name))...)
	}
	return errs
}

// validateCollisions refuses to forget that a name was found to be taken.
func validateCollisions(is, was *int32) field.ErrorList {
	var errs field.ErrorList
	path := field.NewPath("status", "collisionCount")
	if is != nil {
		errs = kind.NotNegative(*is, path)
	}
	if was != nil && ptr.Deref(is, -1) < *was {
		errs = append(errs, field.Invalid(path, is, "cannot be decremented"))
	}
	return errs
}
