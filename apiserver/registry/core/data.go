package core

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
)

// maxDataSize bounds what one ConfigMap or Secret holds: 1 MiB.
const maxDataSize = corev1.MaxSecretSize

// validateDataKeys checks that keys can be file names and returns the size of their values.
func validateDataKeys[V ~string | ~[]byte](data map[string]V, path *field.Path) (size int, errs field.ErrorList) {
	for _, key := range slices.Sorted(maps.Keys(data)) {
		errs = append(errs, kind.Invalids(path.Key(key), key, utilvalidation.IsConfigMapKey(key))...)
		size += len(data[key])
	}
	return size, errs
}

func validateDataSize(size int) field.ErrorList {
	if size <= maxDataSize {
		return nil
	}
	return field.ErrorList{field.TooLong(field.NewPath(""), "", maxDataSize)}
}

// frozen checks the rules of `immutable: true`: it cannot be taken back, and the named
// parts, which changed tells about, stay as they are.
func frozen(was, is *bool, changed map[string]bool) field.ErrorList {
	if was == nil || !*was {
		return nil
	}
	var errs field.ErrorList
	if is == nil || !*is {
		errs = append(errs, field.Forbidden(field.NewPath("immutable"), "field is immutable when `immutable` is set"))
	}
	for _, name := range slices.Sorted(maps.Keys(changed)) {
		if changed[name] {
			errs = append(errs, field.Forbidden(field.NewPath(name), fmt.Sprintf("%s when `immutable` is set", kind.Immutable)))
		}
	}
	return errs
}
